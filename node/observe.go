package node

import (
	"context"
	"sync"
	"time"

	"posthaste/directory"
	"posthaste/filter/greylist"
	"posthaste/filter/lookalike"
	"posthaste/inbound"
	"posthaste/mail"
	"posthaste/mailauth/dkim"
	"posthaste/mailauth/dmarc"
	"posthaste/mailauth/dmarc/aggregate"
	"posthaste/mailauth/dmarc/failure"
	"posthaste/mailauth/results"
	"posthaste/mailauth/spf"
)

// reporting counts what became of mail for the reports that domains ask for (DMARC).
type reporting struct{ reports *mailReports }

// Judged counts one message. It does no I/O.
func (r reporting) Judged(m *inbound.Message, v mail.Verdict, answer *mail.Status) {
	if r.reports.dmarcCounts == nil {
		return
	}
	e, env := &m.Evidence, m.Envelope
	done := dmarc.None
	switch {
	case e.DMARC.Verdict != dmarc.Fail:
	case answer != nil && answer.Permanent():
		done = dmarc.Reject
	case v.Action >= mail.Junk:
		done = dmarc.Quarantine
	}
	signatures := make([]aggregate.Auth, len(e.Signatures))
	for i, s := range e.Signatures {
		signatures[i] = aggregate.Auth{Domain: s.Domain, Selector: s.Selector, Result: string(s.Result), Text: s.Reason}
	}
	var sender aggregate.Auth
	if e.SPF.Identity == spf.MailFrom {
		sender = aggregate.Auth{Domain: e.SPF.Domain, Scope: "mfrom", Result: string(e.SPF.Result)}
	}
	now := time.Now()
	r.reports.dmarcCounts.Record(aggregate.Observation{Source: env.Origin.IP, Result: e.DMARC, Disposition: done,
		EnvelopeFrom: env.From.Domain, DKIM: signatures, SPF: sender}, now)
	if r.reports.dmarcFailures == nil || e.DMARC.Verdict != dmarc.Fail {
		return
	}
	r.reports.dmarcFailures.Offer(failure.Message{ID: env.ID, Header: m.Header, Result: e.DMARC, Results: resultsOf(m), Source: env.Origin.IP,
		EnvelopeFrom: env.From, SPF: sender, DKIM: signatures, Delivery: deliveryOf(done)}, now)
}

// deliveryOf is the word of RFC 6591 section 3.2.2 for what was done.
func deliveryOf(p dmarc.Policy) string {
	switch p {
	case dmarc.Reject:
		return "reject"
	case dmarc.Quarantine:
		return "spam"
	}
	return "delivered"
}

// resultsOf returns what our Authentication-Results says of m.
func resultsOf(m *inbound.Message) results.Field {
	field, err := results.Parse(m.AuthenticationResults())
	if err != nil {
		return results.Field{}
	}
	return field
}

// putting puts off those that the greylist does not know.
type putting struct {
	node *Node
	list *greylist.Greylist
}

// Try asks the greylist for each recipient; the longest wait counts, since all are put off together.
func (g putting) Try(ctx context.Context, m *inbound.Message, _ bool, now time.Time) (wait time.Duration, reason string) {
	e := &m.Evidence
	authenticated := e.DMARC.Verdict == dmarc.Pass || e.SPF.Result == spf.Pass
	for _, s := range e.Signatures {
		authenticated = authenticated || s.Result == dkim.Pass && !s.Testing
	}
	for _, r := range m.Envelope.Recipients {
		try := greylist.Try{Client: m.Envelope.Origin.IP, From: m.Envelope.From, To: r.Address, Authenticated: authenticated}
		if !authenticated {
			try.Known = g.node.knows(ctx, r.Address, m.Envelope.From.Address)
		}
		if w, why := g.list.Check(ctx, try, now); w > wait {
			wait, reason = w, why
		}
	}
	return wait, reason
}

// knows tells whether whoever is at an address of ours has written to another.
func (n *Node) knows(ctx context.Context, ours, other mail.Address) bool {
	if other.IsZero() {
		return false
	}
	target, err := presentPeople{n}.Resolve(ctx, ours)
	return err == nil && target.Kind == directory.KindAccount && n.book.Knows(ctx, target.Account, other)
}

// Bounds of what is known of our own domains.
const (
	familiarFor = 5 * time.Minute // until they are looked up anew
	maxFamiliar = 2000            // domains; a host of more is not looked after in this way
)

// familiarDomains keeps the domains that strangers may want to look like.
type familiarDomains struct {
	list func(ctx context.Context, yield func(name string) bool) error

	mu    sync.Mutex // guards what follows
	since time.Time
	known lookalike.Known
}

// now returns who is known.
func (f *familiarDomains) now() lookalike.Known {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.since) < familiarFor {
		return f.known
	}
	f.since = time.Now()
	var names []string
	err := f.list(context.Background(), func(name string) bool {
		names = append(names, name)
		return len(names) < maxFamiliar
	})
	if err == nil && len(names) < maxFamiliar {
		f.known.Ours = lookalike.NewIndex(names)
	}
	return f.known
}
