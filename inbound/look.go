package inbound

import (
	"context"

	"posthaste/filter/dnsbl"
	"posthaste/filter/lookalike"
	"posthaste/filter/urls"
	"posthaste/mail"
	"posthaste/mailauth/bimi"
	"posthaste/mailauth/dmarc"
)

// Links is the check of the links in a message: what they lead to, and whether they deceive. Lists are
// asked about their hosts, so it comes before [Listed].
type Links struct{}

// Check implements [Check].
func (Links) Check(_ context.Context, m *Message) Report {
	found := urls.Extract(m.parse())
	m.Evidence.Hosts = found.Hosts
	return Report{Findings: found.Findings}
}

// Lookalike is the check whether the author looks like somebody else.
type Lookalike struct {
	// Known returns who is known now.
	Known func() lookalike.Known
}

// Check implements [Check].
func (c Lookalike) Check(_ context.Context, m *Message) Report {
	return Report{Findings: lookalike.Check(m.Header, c.Known())}
}

// Early is the check whether the client spoke before it was greeted.
type Early struct{}

// Check implements [Check].
func (Early) Check(_ context.Context, m *Message) (r Report) {
	if m.early {
		r.Findings = []mail.Finding{{Rule: "EARLY_TALKER", Weight: 3, Evidence: m.peer(),
			Meaning: "The client spoke before it was greeted, as programs do that do not wait for answers."}}
	}
	return r
}

// Lists is what knows of addresses and domains in the DNS, as *dnsbl.Lists does.
type Lists interface {
	Check(ctx context.Context, s dnsbl.Subject) dnsbl.Report
}

// Listed is the check whether lists in the DNS know the client or a domain of the message.
type Listed struct{ Lists Lists }

// maxListed bounds the hosts of links that lists are asked about.
const maxListed = 20

// Check implements [Check].
func (c Listed) Check(ctx context.Context, m *Message) Report {
	var s dnsbl.Subject
	add := func(role dnsbl.Role, domain string) {
		if domain != "" {
			s.Names = append(s.Names, dnsbl.Name{Role: role, Domain: domain})
		}
	}
	if m.direct() {
		s.Client = m.Envelope.Origin.IP
		add(dnsbl.Helo, m.Envelope.Origin.Helo)
	}
	add(dnsbl.Sender, m.Envelope.From.Domain)
	for _, domain := range dmarc.Authors(m.Header) {
		add(dnsbl.From, domain)
	}
	for _, host := range m.Evidence.Hosts[:min(len(m.Evidence.Hosts), maxListed)] {
		add(dnsbl.URL, host)
	}
	return Report{Findings: c.Lists.Check(ctx, s).Findings()}
}

// BIMI is the look for what a domain shows beside its mail. It comes after DMARC.
type BIMI struct{ Resolver dmarc.Resolver }

// Check implements [Check].
func (c BIMI) Check(ctx context.Context, m *Message) Report {
	if m.Evidence.DMARC.Verdict != dmarc.Pass || !m.Evidence.DMARC.Enforced() {
		return Report{}
	}
	found := bimi.Lookup(ctx, c.Resolver, m.Header, m.Evidence.DMARC)
	return one(Result{Method: "bimi", Result: string(found.Verdict), Reason: found.Reason, Info: found.ResInfo().String()})
}
