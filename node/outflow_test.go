package node

import (
	"strings"
	"testing"

	"posthaste/config"
	"posthaste/queue"
	"posthaste/store"
)

func TestABurstIsHeldAndTheOwnerIsTold(t *testing.T) {
	n := startNode(t, func(c *config.Config) { c.Limits.Exempt, c.Outflow.FirstDay = nil, 1 })
	const login = "EHLO c.test\r\nAUTH PLAIN AGFubgBjb3JyZWN0IGhvcnNl\r\n"
	message := "MAIL FROM:<ann@north.test>\r\nRCPT TO:<ann@north.test>\r\nRCPT TO:<ann+x@north.test>\r\nDATA\r\nSubject: burst\r\n\r\nx\r\n.\r\n"
	if got := talk(t, n, "submission", login+message+message+"QUIT\r\n", 0); strings.Count(got, "accepted as") != 2 {
		t.Fatalf("%q", got)
	}
	held := 0
	for e, err := range n.queue.List(t.Context(), queue.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		held++
		if r := e.Recipients[0]; r.State != queue.Held || !strings.Contains(r.Status.Text, "more than 1 first-time recipients in a day") {
			t.Errorf("%+v", r)
		}
	}
	if held != 2 {
		t.Errorf("%d messages are held, want 2", held)
	}
	ann, err := n.directory.AccountByLogin(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	view, err := n.store.Account(ann.ID).View(t.Context(), store.Inbox)
	// The owner is the postmaster too, where nobody else is.
	if err != nil || view.Len() != 2 {
		t.Errorf("%d notes, %v; want one for the owner and one for the postmaster", view.Len(), err)
	}
}
