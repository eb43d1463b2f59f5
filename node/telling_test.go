package node

import (
	"strings"
	"testing"

	"posthaste/config"
	"posthaste/mail"
	"posthaste/trace"
)

// TestNothingLeavesWithoutATrace: what a transport table discards or refuses can be found out later.
func TestNothingLeavesWithoutATrace(t *testing.T) {
	n := startNode(t, func(c *config.Config) {
		c.Route.Transports = []string{"inline:{discard.test=discard, error.test=error:5.1.2 that domain has closed, typo.test=pigeon:x}"}
	})
	told := make(chan trace.Event, 100)
	defer n.trace.Watch(func(e trace.Event) {
		if e.Step == trace.Deliver && e.To[0].Local == "dan" {
			told <- e
		}
	})()
	for domain, want := range map[string]struct{ answer, reason string }{
		"discard.test": {"250 2.1.5 discarded, as the transport table says", ""},
		"error.test":   {"550 5.1.2 that domain has closed", ""},
		"typo.test":    {"451 4.3.5 this mail system cannot find out where the message goes", `"pigeon" is no kind of transport`},
	} {
		env := mail.Envelope{From: mail.ReversePath{Address: mail.Address{Local: "ann", Domain: "north.test"}},
			Recipients: []mail.Recipient{{Address: mail.Address{Local: "dan", Domain: domain}}}}
		id, err := n.queue.Put(t.Context(), env, mail.Bytes([]byte("Subject: x\r\n\r\nx\r\n")))
		if err != nil {
			t.Fatal(err)
		}
		if e := <-told; e.ID != id || !strings.HasPrefix(e.Answered, want.answer) || !strings.Contains(e.Reason, want.reason) {
			t.Errorf("%s: %+v, want %s: %s", domain, e, id, want)
		}
	}
}
