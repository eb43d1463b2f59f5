package dns_test

import (
	"testing"

	"posthaste/dns"
)

func TestValidation(t *testing.T) {
	server := world(t)
	_, r := newPair(t, dns.Config{Exchange: server.Exchange, Validate: true, Anchors: []string{server.Anchor(".")}})
	for _, c := range claims {
		got, err := verdict(t, r, c.qtype, c.name)
		if got != c.want {
			t.Errorf("%s %s: %s (%v), want %s", c.qtype, c.name, got, err, c.want)
		} else if err != nil {
			t.Logf("%v", err)
		}
	}
}
