package dns_test

import (
	"testing"

	"posthaste/dns"
)

// TestNamesMayHoldAnyCharacter asks for names that no host has, but that macros of SPF records make of
// local-parts and blanks.
func TestNamesMayHoldAnyCharacter(t *testing.T) {
	server, r := newPair(t, dns.Config{})
	for _, name := range []string{"o'brien.north.test", "two words.north.test", `a"b.north.test`, "a@b(c);d.north.test",
		"50%+$.north.test", "a:b/c=d.north.test"} {
		server.Addr(name, "127.0.0.2")
		if got, err := r.A(t.Context(), name); err != nil || got.Name != name {
			t.Errorf("%q: %v, %v", name, got, err)
		}
		if _, err := r.TXT(t.Context(), name); err == nil {
			t.Errorf("%q has a TXT record", name)
		}
	}
}
