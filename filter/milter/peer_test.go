package milter

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"posthaste/filter"
	"posthaste/filter/filtertest"
	"posthaste/mail"
)

// startOpendkim runs opendkim as a verifier without DNS.
func startOpendkim(t *testing.T) (*filtertest.Process, *Client) {
	t.Helper()
	program := filtertest.Peer(t, "opendkim", "opendkim")
	dir, port := filtertest.Dir(t), filtertest.FreePort(t)
	conf := filtertest.Write(t, dir, "opendkim.conf", fmt.Sprintf("Mode v\nSocket inet:%d@127.0.0.1\nSyslog no\nBackground no\nAlwaysAddARHeader yes\nAuthservID mx.north.test\nNameservers 127.0.0.1\nTestDNSData %s\n",
		port, filtertest.Write(t, dir, "dns", "")))
	p := filtertest.Start(t, dir, port, program, "-f", "-x", conf)
	return p, newClient(t, fmt.Sprintf("inet:127.0.0.1:%d", port))
}

// verified tells whether opendkim told its result.
func verified(r filter.Result) error {
	for _, f := range r.Edits.Fields {
		if f.Op == filter.InsertField && f.Name == "Authentication-Results" && strings.Contains(f.Value, "mx.north.test") && strings.Contains(f.Value, "dkim=") {
			return nil
		}
	}
	return errors.New("no Authentication-Results")
}

func TestOpendkimInsertsItsResult(t *testing.T) {
	_, c := startOpendkim(t)
	m := filtertest.Mail(t, filtertest.Message("hello"), "ann@north.test", "eve@north.test")
	r, err := c.Scan(t.Context(), m)
	if err != nil || r.Action != mail.Accept || verified(r) != nil {
		t.Fatalf("got %+v, %v", r, err)
	}
	if changed := string(r.Edits.Apply(m.Content)); !strings.HasPrefix(changed, "Authentication-Results: mx.north.test; dkim=none") || !strings.HasSuffix(changed, string(m.Content)) {
		t.Errorf("got %q", changed)
	}
}

func TestOpendkimKilledUnderLoad(t *testing.T) {
	p, c := startOpendkim(t)
	filtertest.Storm{Engine: c, Process: p, Mail: filtertest.Mail(t, filtertest.Message("hello")), Good: verified, Closed: true, Brief: true}.Run(t)
}

func TestRspamdAsMilter(t *testing.T) {
	if !filtertest.Torture() {
		t.Skip("POSTHASTE_TORTURE is not set: rspamd takes seconds to start")
	}
	dir := filtertest.Dir(t)
	p := filtertest.StartRspamd(t, dir)
	c := newClient(t, fmt.Sprintf("inet:127.0.0.1:%d", p.Milter))
	r, err := c.Scan(t.Context(), filtertest.Mail(t, filtertest.Message(filtertest.GTUBE)))
	if err != nil || r.Action != mail.Reject || r.Reply == nil || !strings.Contains(r.Reply.Text, "Gtube") {
		t.Fatalf("GTUBE: got %+v, %v", r, err)
	}
	ham := filtertest.Mail(t, filtertest.Message("hello"))
	harmless := func(r filter.Result) error {
		if r.Action != mail.Accept || len(r.Findings) != 0 {
			return errors.New("ham is not accepted")
		}
		return nil
	}
	filtertest.Storm{Engine: c, Process: p.Process, Mail: ham, Good: harmless}.Run(t)
}
