package remote

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/mail"
)

// rounds counts connections, transactions and the most recipients of one that h saw.
func rounds(h *host) (conns, mails, most int) {
	n := 0
	for _, line := range h.seen() {
		switch {
		case strings.HasPrefix(line, "MAIL"):
			mails++
			n = 0
		case strings.HasPrefix(line, "RCPT"):
			n++
			most = max(most, n)
		}
	}
	return h.conns, mails, most
}

// RFC 9422.
func TestLimits(t *testing.T) {
	for _, c := range []struct {
		claim  string
		limits string
		conns  int
		mails  int
		most   int
	}{
		{"without limits one transaction does", "LIMITS", 1, 1, 6},
		{"RCPTMAX bounds a transaction", "LIMITS RCPTMAX=4", 1, 2, 4},
		{"MAILMAX bounds a connection", "LIMITS MAILMAX=1 RCPTMAX=2", 3, 3, 2},
		{"RCPTDOMAINMAX bounds the domains of a transaction", "LIMITS RCPTDOMAINMAX=1", 1, 2, 3},
		{"what is not understood is passed over", "LIMITS RCPTMAX=x FUTURE=1 RCPTMAX=0", 1, 1, 6},
	} {
		t.Run(c.claim, func(t *testing.T) {
			h := offering("PIPELINING", c.limits)
			w := newWorld(t, Config{}, h)
			dest, err := w.agent.Route(t.Context(), "", "south.test")
			if err != nil {
				t.Fatal(err)
			}
			var rcpts []mail.Recipient
			for i := range 6 {
				rcpts = append(rcpts, mail.Recipient{Address: mail.Address{Local: fmt.Sprint("u", i), Domain: []string{"south.test", "east.test"}[i%2]}})
			}
			for i, status := range w.agent.Deliver(t.Context(), mailFromAnn(), rcpts, mail.Bytes(plainContent), dest) {
				if !status.OK() {
					t.Errorf("recipient %d: %v", i, status)
				}
			}
			if conns, mails, most := rounds(h); conns != c.conns || mails != c.mails || most != c.most {
				t.Errorf("%d connections, %d transactions, at most %d recipients; want %d, %d, %d", conns, mails, most, c.conns, c.mails, c.most)
			}
		})
	}
}

func TestAnswerInTheMiddleOfContentIsTheAnswer(t *testing.T) {
	for reply, want := range map[string]string{
		"552 5.3.4 too large": "552 5.3.4 too large", "451 4.3.1 disk full": "451 4.3.1 disk full", "drop": "451 4.4.2", "250 2.0.0 ok?": "451 4.4.2",
	} {
		h := offering()
		h.replies["content"] = []string{reply}
		w := newWorld(t, Config{}, h)
		got := w.send(t, mail.Envelope{}, "A: b\r\n\r\n"+strings.Repeat("x", 16<<20)+"\r\n", "bob")
		if !strings.HasPrefix(got[0], want) {
			t.Errorf("%s: got %q, want %q", reply, got, want)
		}
	}
}

// RFC 2852 and RFC 6710.
func TestDeadlineAndPriority(t *testing.T) {
	for _, c := range []struct {
		claim  string
		offers []string
		mode   mail.ByMode
		left   time.Duration
		want   string // outcome
		line   string // in MAIL
	}{
		{"the time left is passed on", []string{"DELIVERBY 10"}, mail.ByReturn, time.Minute, "250", " BY=60;R"},
		{"a deadline to report may have passed", []string{"DELIVERBY"}, mail.ByNotify, -time.Minute, "250", " BY=-60;N"},
		{"a deadline to return that has passed is the end", []string{"DELIVERBY"}, mail.ByReturn, -time.Minute, "550 5.4.7", ""},
		{"a host that keeps to no deadline is none for it", nil, mail.ByReturn, time.Minute, "550 5.4.7", ""},
		{"nor is one that is too slow", []string{"DELIVERBY 100"}, mail.ByReturn, time.Minute, "550 5.4.7", ""},
		{"a deadline to report goes anywhere", nil, mail.ByNotify, time.Minute, "250", ""},
		{"priority is passed on", []string{"MT-PRIORITY"}, "", 0, "250", " MT-PRIORITY=-3"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := offering(c.offers...)
				w := newWorld(t, Config{Idle: -1}, h)
				w.pipes = true
				env := mail.Envelope{ByMode: c.mode, DeliverBy: time.Now().Add(c.left), Priority: -3}
				got := w.send(t, env, plainContent, "bob")
				mailed := ""
				for _, line := range h.seen() {
					if strings.HasPrefix(line, "MAIL") {
						mailed = strings.TrimPrefix(line, "MAIL FROM:<ann@north.test>")
					}
				}
				if !strings.HasPrefix(got[0], c.want) || mailed != c.line {
					t.Errorf("got %q after %q; want %q, %q", got, mailed, c.want, c.line)
				}
			})
		})
	}
}

// RFC 3461 section 5.2.2 d.
func TestNotifyNeverWithoutDSN(t *testing.T) {
	for _, c := range []struct {
		offers string
		want   string
	}{
		{"PIPELINING", "MAIL FROM:<ann@north.test>|RCPT TO:<a@south.test>|MAIL FROM:<>|RCPT TO:<b@south.test>"},
		{"DSN", "MAIL FROM:<ann@north.test>|RCPT TO:<a@south.test>|RCPT TO:<b@south.test> NOTIFY=NEVER"},
	} {
		h := offering(c.offers)
		w := newWorld(t, Config{}, h)
		dest, err := w.agent.Route(t.Context(), "", "south.test")
		if err != nil {
			t.Fatal(err)
		}
		rcpts := []mail.Recipient{{Address: mail.Address{Local: "a", Domain: "south.test"}}, {Address: mail.Address{Local: "b", Domain: "south.test"}, Notify: mail.NotifyNever}}
		w.agent.Deliver(t.Context(), mailFromAnn(), rcpts, mail.Bytes(plainContent), dest)
		var got []string
		for _, line := range h.seen() {
			if strings.HasPrefix(line, "MAIL") || strings.HasPrefix(line, "RCPT") {
				got = append(got, line)
			}
		}
		if strings.Join(got, "|") != c.want {
			t.Errorf("%s: got %q, want %q", c.offers, got, c.want)
		}
	}
}
