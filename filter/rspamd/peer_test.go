package rspamd

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"posthaste/filter"
	"posthaste/filter/filtertest"
	"posthaste/mail"
)

func TestRealRspamd(t *testing.T) {
	p := filtertest.StartRspamd(t, filtertest.Dir(t))
	c := newClient(t, Config{URL: fmt.Sprintf("http://127.0.0.1:%d", p.Normal), Follow: true})
	r, err := c.Scan(t.Context(), filtertest.Mail(t, filtertest.Message(filtertest.GTUBE)))
	if err != nil || r.Action != mail.Reject || r.Reply == nil || r.Reply.Text != "Gtube pattern" || !hasRule(r, "RSPAMD_GTUBE") {
		t.Fatalf("GTUBE: got %+v, %v", r, err)
	}
	ham := filtertest.Mail(t, filtertest.Message("hello, this is about the meeting"))
	harmless := func(r filter.Result) error {
		if r.Action != mail.Accept || !hasRule(r, "RSPAMD_R_DKIM_NA") && !hasRule(r, "RSPAMD_MIME_GOOD") {
			return errors.New("ham is not accepted, or not looked at")
		}
		return nil
	}
	controller := newClient(t, Config{URL: fmt.Sprintf("http://127.0.0.1:%d", p.Controller)})
	if err := controller.Learn(t.Context(), ham.Content, false); err == nil {
		t.Error("learned without a store for it: rspamd has no Redis here")
	}
	filtertest.Storm{Engine: c, Process: p.Process, Mail: ham, Good: harmless, Idle: func() { c.Close(); controller.Close() }, Brief: true}.Run(t)
}

func hasRule(r filter.Result, rule string) bool {
	return slices.ContainsFunc(r.Findings, func(f mail.Finding) bool { return f.Rule == rule })
}
