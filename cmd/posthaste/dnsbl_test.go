package main

import (
	"strings"
	"testing"

	"posthaste/filter/dnsbl"
)

func TestSilenceIsNotTakenForAnAnswer(t *testing.T) {
	addresses, domains := dnsbl.Status{Name: "a"}, dnsbl.Status{Name: "d", Domains: true}
	for _, c := range []struct {
		name, subject string
		lists         []dnsbl.Status
		want          string
	}{
		{"an address that no list has", "192.0.2.1", []dnsbl.Status{domains, addresses}, "no list has an entry"},
		{"a domain that no list has", "example.org", []dnsbl.Status{domains, addresses}, "no list has an entry"},
		{"a domain, and only lists of addresses", "example.org", []dnsbl.Status{addresses}, "nothing was asked about example.org"},
		{"an address, and only lists of domains", "2001:db8::1", []dnsbl.Status{domains}, "nothing was asked about 2001:db8::1"},
	} {
		if got := noEntry(c.subject, c.lists); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
