package dmarc

import (
	"strings"
	"testing"

	"posthaste/dns/dnstest"
)

func TestDestinations(t *testing.T) {
	long := strings.Repeat("x23456789.", 23) + "example"
	for _, c := range []struct {
		name, domain, rua, want string
		records                 []string
	}{
		{"the domain itself", "example.com", "mailto:a@example.com", "a@example.com", nil},
		{"the same organization", "sub.example.com", "mailto:a@mail.example.com", "a@mail.example.com", []string{"_dmarc.example.com", "v=DMARC1; p=none"}},
		{"elsewhere without consent", "example.com", "mailto:a@other.example", "", nil},
		{"elsewhere with consent", "example.com", "mailto:a@other.example,mailto:b@example.com", "a@other.example b@example.com", []string{"example.com._report._dmarc.other.example", "v=DMARC1;"}},
		{"the consent is no DMARC record", "example.com", "mailto:a@other.example", "", []string{"example.com._report._dmarc.other.example", "v=spf1"}},
		{"another address there", "example.com", "mailto:a@other.example", "new@other.example", []string{"example.com._report._dmarc.other.example", "v=DMARC1; rua=mailto:new@other.example"}},
		{"another address of the other kind", "example.com", "mailto:a@other.example", "a@other.example", []string{"example.com._report._dmarc.other.example", "v=DMARC1; ruf=mailto:new@other.example"}},
		{"another address, at a third", "example.com", "mailto:a@other.example", "", []string{"example.com._report._dmarc.other.example", "v=DMARC1; rua=mailto:victim@third.example"}},
		{"a name too long to ask for", long, "mailto:a@other.example", "", []string{"_dmarc.other.example", "v=DMARC1; p=none"}},
		{"other schemes", "example.com", "https://example.com/r,ftp://x.example,mailto:a%2Bb@example.com?subject=x", "a+b@example.com", nil},
		{"no address", "example.com", "mailto:nobody,mailto:@example.com,mailto:a@[192.0.2.1]", "", nil},
		{"five are enough", "example.com", "mailto:1@example.com,mailto:2@example.com,mailto:3@example.com,mailto:4@example.com,mailto:5@example.com,mailto:6@example.com", "1@example.com 2@example.com 3@example.com 4@example.com 5@example.com", nil},
		{"two public suffixes that are no neighbours", "a.bank.example", "mailto:x@b.bank.example", "", []string{"_dmarc.bank.example", "v=DMARC1; psd=y"}},
	} {
		r, _ := newWorld(t, c.records...)
		record, _ := ParseRecord("v=DMARC1; p=none; rua=" + c.rua)
		got, err := Destinations(t.Context(), r, c.domain, record, AggregateReport)
		var all []string
		for _, a := range got {
			all = append(all, a.String())
		}
		if strings.Join(all, " ") != c.want || err != nil {
			t.Errorf("%s: %v, %v, want %q", c.name, all, err, c.want)
		}
	}
}

func TestDestinationsWhenTheDNSFails(t *testing.T) {
	r, server := newWorld(t)
	server.SetFault("example.com._report._dmarc.down.example", dnstest.Fault{Kind: dnstest.ServFail})
	record, _ := ParseRecord("v=DMARC1; p=none; rua=mailto:a@down.example,mailto:b@example.com")
	got, err := Destinations(t.Context(), r, "example.com", record, AggregateReport)
	if err == nil || len(got) != 1 || got[0].Local != "b" {
		t.Errorf("got %v, %v, want the one that is known and an error", got, err)
	}
}
