package queue

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/mail"
	"posthaste/message"
)

// part returns the body of a part of a report.
func part(t *testing.T, content, kind string) string {
	t.Helper()
	m := message.Parse([]byte(content))
	if got := m.Root.Type(); got != "multipart/report" {
		t.Fatalf("a report is %s", got)
	}
	for _, p := range m.Root.Children {
		if p.Type() == kind {
			return string(p.Body())
		}
	}
	t.Fatalf("the report has no %s:\n%s", kind, content)
	return ""
}

func TestReportTells(t *testing.T) {
	refused := &mail.Status{Code: 550, Enhanced: "5.1.1", Text: "no such user\nask <postmaster@south.test>", Peer: "mx.south.test"}
	international := letter + "Grüße\r\n"
	for _, c := range []struct {
		claim    string
		env      func(*mail.Envelope)
		content  string
		answer   *mail.Status
		kind     string // of the part to look into
		want     []string
		unwanted []string
	}{
		{claim: "people what happened, who can help and what to do, verbatim", answer: refused, kind: "text/plain",
			want: []string{"could not be delivered", "bob@south.test", "There is no such address", "you, the sender", "Check the part before the @",
				"The answer of mx.south.test:", "550 5.1.1 no such user", "ask <postmaster@south.test>", "Lunch on Friday", "<lunch@north.test>"}},
		{claim: "programs the status", answer: refused, kind: "message/delivery-status",
			env:  func(e *mail.Envelope) { e.EnvID = "QQ314"; e.Recipients[0].ORcpt = "rfc822;Bob@south.test" },
			want: []string{"Original-Envelope-Id: QQ314", "Reporting-MTA: dns; mx.north.test", "Original-Recipient: rfc822; Bob@south.test", "Final-Recipient: rfc822; bob@south.test", "Action: failed", "Status: 5.1.1", "Remote-MTA: dns; mx.south.test", "Diagnostic-Code: smtp; 550 5.1.1 no such user"}},
		{claim: "the header alone unless asked for more", answer: refused, kind: "text/rfc822-headers",
			want: []string{"Subject: Lunch on Friday"}, unwanted: []string{"At noon?"}},
		{claim: "the whole message with RET=FULL", answer: refused, kind: "message/rfc822",
			env: func(e *mail.Envelope) { e.Ret = mail.RetFull }, want: []string{"At noon?"}},
		{claim: "a whole message of eight bits", answer: refused, kind: "message/rfc822", content: international,
			env: func(e *mail.Envelope) { e.Ret = mail.RetFull }, want: []string{"Grüße"}},
		{claim: "success alone when asked, and nothing of the text", answer: fine, kind: "message/delivery-status",
			env:  func(e *mail.Envelope) { e.Recipients[0].Notify = mail.NotifySuccess; e.Ret = mail.RetFull },
			want: []string{"Action: delivered", "Status: 2.1.5"}},
		{claim: "in the terms of RFC 6533 where an address is international", answer: unknown, kind: "message/global-delivery-status",
			env:  func(e *mail.Envelope) { e.Recipients[0].Address.Local = "jörg"; e.SMTPUTF8 = true },
			want: []string{"Final-Recipient: utf-8; jörg@south.test"}},
		{claim: "in those terms where the original recipient alone is", answer: unknown, kind: "message/global-delivery-status",
			env:  func(e *mail.Envelope) { e.Recipients[0].ORcpt = "utf-8;jörg@south.test" },
			want: []string{"Original-Recipient: utf-8; jörg@south.test", "Final-Recipient: rfc822; bob@south.test"}},
		{claim: "in the terms of RFC 3464 where SMTPUTF8 was said and not needed", answer: unknown, kind: "message/delivery-status",
			env: func(e *mail.Envelope) { e.SMTPUTF8 = true }, want: []string{"Final-Recipient: rfc822; bob@south.test"}},
		{claim: "a failure without enhanced code", answer: &mail.Status{Code: 554, Text: "no"}, kind: "message/delivery-status",
			want: []string{"Status: 5.0.0", "smtp; 554 no"}},
		{claim: "no field twice, whatever the peer says", answer: &mail.Status{Code: 550, Enhanced: "5.7.1", Text: "go\r\n\r\nAction: delivered", Peer: "mx\r\nX: y"}, kind: "message/delivery-status",
			want: []string{"Action: failed"}, unwanted: []string{"\nAction: delivered", "\nX: y"}},
		{claim: "as 5.4.7 what was tried too long, in words", answer: expired(greylist, 5*24*time.Hour), kind: "text/plain",
			want: []string{"It was tried until its time was over", "451 4.7.1 greylisted"}},
	} {
		t.Run(c.claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Config{})
				defer w.stop()
				w.answer = func(to mail.Address, _ time.Time) *mail.Status {
					if to.Domain == "south.test" {
						return c.answer
					}
					return nil
				}
				env := envelope("ann@north.test", "bob@south.test")
				if c.env != nil {
					c.env(&env)
				}
				if c.content == "" {
					c.content = letter
				}
				_, err := w.q.Put(t.Context(), env, mail.Bytes(c.content))
				must(t, err)
				synctest.Wait()
				body := part(t, w.read("ann@north.test"), c.kind)
				for _, want := range c.want {
					if !strings.Contains(body, want) {
						t.Errorf("%s lacks %q:\n%s", c.kind, want, body)
					}
				}
				for _, unwanted := range c.unwanted {
					if strings.Contains(body, unwanted) {
						t.Errorf("%s has %q:\n%s", c.kind, unwanted, body)
					}
				}
			})
		})
	}
}

func TestReportEnvelope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.stop()
		w.answer = func(to mail.Address, _ time.Time) *mail.Status {
			if to.Domain == "south.test" {
				return unknown
			}
			return nil
		}
		id := w.put("ann@north.test", "bob@south.test")
		synctest.Wait()
		env := w.jobs[len(w.jobs)-1].Envelope
		if !env.From.Null() || env.Recipients[0].Notify != mail.NotifyNever || shardOf(env.ID) != shardOf(id) {
			t.Errorf("envelope %+v", env)
		}
		h := message.Parse([]byte(w.read("ann@north.test"))).Header
		for name, want := range map[string]string{
			"Auto-Submitted": "auto-replied", "Subject": "Not delivered: Lunch on Friday",
			"In-Reply-To": "<lunch@north.test>", "To": "<ann@north.test>",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	})
}

// Every report that our own words go into must explain itself: none of the codes of RFC 3463 that we
// or a peer may give leaves the reader without words.
func TestEveryCodeIsExplained(t *testing.T) {
	for subject := range 8 {
		for detail := range 30 {
			s := &mail.Status{Code: 550, Enhanced: fmt.Sprintf("5.%d.%d", subject, detail), Peer: "mx"}
			if e := explain(s, false); e.what == "" || e.whose == "" || e.remedy == "" {
				t.Errorf("%s: %+v", s.Enhanced, e)
			}
		}
	}
	for _, odd := range []string{"", "5", "5.", "5.1", "xyz"} {
		if e := explain(&mail.Status{Code: 550, Enhanced: odd}, false); e.what == "" {
			t.Errorf("%q is not explained", odd)
		}
	}
}
