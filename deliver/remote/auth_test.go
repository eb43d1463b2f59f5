package remote

import (
	"strings"
	"testing"

	"posthaste/mail"
)

// A host may offer channel binding and not know our kind of it.
func TestLoginGoesOnWithoutChannelBinding(t *testing.T) {
	for _, c := range []struct{ claim, reply, want string }{
		{"PLUS refused: the next mechanism", "501 5.5.2 unknown channel binding", "AUTH SCRAM-SHA-256-PLUS|AUTH SCRAM-SHA-256"},
		{"the connection lost: no more", "drop", "AUTH SCRAM-SHA-256-PLUS"},
	} {
		w, h, _ := secureWorld(t, "mx1.south.test", false)
		h.offers = append(h.offers, "250-AUTH SCRAM-SHA-256 SCRAM-SHA-256-PLUS")
		h.replies["AUTH"] = []string{c.reply, "535 5.7.8 no"}
		dest := Fixed("mx1.south.test", 25)
		dest.TLS, dest.Login = Verified, &Login{"ann", "secret"}
		got := w.sendTo(t.Context(), dest, mail.Envelope{}, plainContent, "bob")
		var tried []string
		for _, line := range h.seen() {
			if strings.HasPrefix(line, "AUTH ") {
				tried = append(tried, strings.Join(strings.Fields(line)[:2], " "))
			}
		}
		if strings.Join(tried, "|") != c.want || !strings.HasPrefix(got[0], "451") {
			t.Errorf("%s: tried %q, got %q; want %q", c.claim, tried, got, c.want)
		}
	}
}
