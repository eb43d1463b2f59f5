package inbound

import (
	"context"
	"fmt"

	"posthaste/filter/spam"
	"posthaste/mail"
	"posthaste/trace"
)

// actionFor returns what becomes of m for a recipient; those that came after it was judged share the fate
// of the first.
func (m *Message) actionFor(i int) mail.Action {
	switch {
	case len(m.verdicts) == 0:
		return mail.Accept
	case i < len(m.verdicts):
		return m.verdicts[i].Action
	}
	return m.verdicts[0].Action
}

// verdictFields returns the header fields that tell of the verdict. There is one header for all
// recipients: with several it says what holds for all of them, for whom one of them writes to is nobody
// else's business.
func (p *Policy) verdictFields(m *Message) []byte {
	if len(m.verdicts) == 0 {
		return nil
	}
	return spam.Fields(&m.shown, p.filtering.Thresholds)
}

// keepApart puts m into quarantine for some recipients.
func (p *Policy) keepApart(ctx context.Context, m *Message, prefix []byte, kept []int) error {
	if len(kept) == 0 {
		return nil
	}
	env := *m.Envelope
	env.Recipients = choose(env.Recipients, kept)
	v := m.verdicts[min(kept[0], len(m.verdicts)-1)]
	whole := append(prefix[:len(prefix):len(prefix)], m.Content...)
	if err := p.filtering.Quarantine.Keep(ctx, env, whole, v); err != nil {
		return fmt.Errorf("inbound: quarantine %s: %w", env.ID, err)
	}
	p.trace.Record(trace.Event{ID: env.ID, Step: trace.Check, OK: true, Peer: m.peer(), From: env.From.Path(),
		To: addressesOf(env.Recipients), Reason: v.Reason, Text: fmt.Sprintf("put into quarantine: %s", v.Reason)})
	return nil
}
