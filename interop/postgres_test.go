package interop

import (
	"fmt"
	"testing"

	"posthaste/kv/pgkv/pgtest"
)

// TestStoreInPostgreSQL runs two nodes on one PostgreSQL: what one takes both show, also after both were
// restarted.
func TestStoreInPostgreSQL(t *testing.T) {
	program(t, "swaks")
	inDatabase := settings{extra: fmt.Sprintf("[store]\nurl = %q\n", pgtest.Start(t).Database(t))}
	a := newSite(t, inDatabase)
	b := prepareSite(t, inDatabase)
	b.start(t)

	a.delivers(t, b, "to a", 1)
	b.delivers(t, a, "to b", 2)
	for _, w := range []*site{a, b} {
		must(t, w.end())
		must(t, w.run())
	}
	a.delivers(t, b, "after a restart", 3)
}

// delivers submits a message to w and reads it, as message n of bob's inbox, at both.
func (w *site) delivers(t *testing.T, other *site, subject string, n int) {
	t.Helper()
	out, status := w.swaks(t, "submission", "--tls", "--tls-verify", "--auth", "PLAIN", "--auth-user", ann, "--auth-password", password,
		"--from", ann, "--to", bob, "--h-Subject", subject, "--body", "hello")
	if status != 0 {
		t.Fatalf("exit status %d:\n%s", status, out)
	}
	for _, reader := range []*site{w, other} {
		contains(t, "header", reader.arrived(t, bob, n)[n-1].header(), "Subject: "+subject+"\r\n")
	}
}
