package inbound

import (
	"context"
	"fmt"
	"time"

	"posthaste/filter/reputation"
	"posthaste/mail"
	"posthaste/mailauth/spf"
)

// Reputed is the check how mail of the same domains and networks turned out before. It comes after
// DMARC. It is an [Observer] too: what is decided about a message counts a little for the next.
type Reputed struct{ Book *reputation.Book }

// maxIdentities bounds the identities of one message.
const maxIdentities = 8

// Check implements [Check].
func (c Reputed) Check(ctx context.Context, m *Message) (r Report) {
	m.Evidence.Identities = identitiesOf(m)
	for _, id := range m.Evidence.Identities {
		s := c.Book.Look(ctx, id, m.Envelope.Received)
		if w := s.Weight(); w != 0 {
			f := mail.Finding{Rule: "REPUTATION_BAD", Weight: w, Evidence: fmt.Sprintf("%s: %.0f good and %.0f bad mails", id, s.Good, s.Bad),
				Meaning: "Mail of this domain or network turned out badly before."}
			if w < 0 {
				f.Rule, f.Meaning = "REPUTATION_GOOD", "Mail of this domain or network turned out well before."
			}
			r.Findings = append(r.Findings, f)
		}
	}
	if a := m.Evidence.Author; !a.IsZero() && c.Book.Look(ctx, reputation.Address(a), m.Envelope.Received).First.IsZero() {
		r.Findings = append(r.Findings, mail.Finding{Rule: "FIRST_CONTACT", Weight: 0.3, Evidence: a.String(),
			Meaning: "Nobody here has had mail from this author before."})
	}
	return r
}

// identitiesOf returns whose a message is, as far as that is proven, and where it came from.
func identitiesOf(m *Message) (all []reputation.Identity) {
	add := func(id reputation.Identity) {
		for _, known := range all {
			if known == id {
				return
			}
		}
		if id != "" && len(all) < maxIdentities {
			all = append(all, id)
		}
	}
	e := &m.Evidence
	if !e.Author.IsZero() {
		add(reputation.Address(e.Author))
	}
	for _, s := range e.Signatures {
		if proves(s) && s.Partial == 0 {
			add(reputation.Domain(s.Domain))
		}
	}
	if e.SPF.Result == spf.Pass {
		add(reputation.Domain(e.SPF.Domain))
	}
	if m.direct() {
		add(reputation.Network(m.Envelope.Origin.IP))
	}
	return all
}

// What a verdict of ours counts, in mails. It is little: otherwise the filter would come to believe
// itself.
const (
	countGood = 0.2
	countBad  = 0.5
)

// Judged implements [Observer].
func (c Reputed) Judged(m *Message, v mail.Verdict, _ *mail.Status) {
	bad, weight := v.Action >= mail.Junk, countGood
	if v.Action == mail.Greylist {
		return // it comes again
	}
	if bad {
		weight = countBad
	}
	now := time.Now()
	for _, id := range m.Evidence.Identities {
		c.Book.Count(id, bad, weight, now)
	}
}
