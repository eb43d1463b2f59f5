package interop

import (
	"strings"
	"testing"
	"time"

	"posthaste/dns"
	"posthaste/mailauth/dkim"
	posthaste "posthaste/message"
)

// TestMailIsSigned follows a message of a user, and a report of the node, from the submission to a mailbox:
// both carry signatures that verify by what the node told us to publish.
func TestMailIsSigned(t *testing.T) {
	w := newSite(t, settings{})
	for record := range strings.Lines(strings.ReplaceAll(strings.TrimSpace(w.cli(t, "dkim", "dns", domain)), "\n\t", " ")) {
		must(t, w.dns.Add(strings.TrimSpace(record)))
	}
	w.cli(t, "dkim", "check", domain)

	w.submit(t, "From: Ann <ann@north.test>\r\nSubject: signed\r\n\r\nGrüße,\r\n.\r\nAnn  \r\n", bob)
	w.submit(t, "From: Ann <ann@north.test>\r\nSubject: lost\r\n\r\nHello\r\n", "nobody@gone.test")
	for _, c := range []struct{ who, want string }{{bob, "Subject: signed"}, {ann, "Mail Delivery System"}} {
		var got []message
		eventually(t, c.want+" reaches "+c.who, func() bool { got = w.mailbox(t, c.who, "INBOX"); return len(got) > 0 })
		if !strings.Contains(got[0].content, c.want) {
			t.Errorf("%s got\n%s", c.who, got[0].content)
		}
		w.wantSigned(t, got[0].content)
	}
}

// wantSigned fails the test unless both signatures of our domain are on a message and verify.
func (w *site) wantSigned(t *testing.T, content string) {
	t.Helper()
	r, err := dns.New(dns.Config{Servers: []string{w.dns.Address()}})
	must(t, err)
	got := dkim.NewVerifier(r).Verify(t.Context(), posthaste.ParseHeader([]byte(content)), []byte(content), time.Now())
	if len(got) != 2 {
		t.Errorf("%d signatures, want 2:\n%s", len(got), content)
	}
	for _, v := range got {
		if v.Result != dkim.Pass || v.Domain != domain {
			t.Errorf("%s\n%s", v.Resinfo(), content)
		}
	}
}
