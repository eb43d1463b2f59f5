package inbound

import (
	"context"
	"fmt"
	"slices"
	"time"

	"posthaste/mail"
	"posthaste/trace"
)

// Ways knows the routes as far as they concern our own addresses, which a transport may send elsewhere.
type Ways interface {
	// Here tells whether mail to an address in a domain of ours is delivered on this host.
	Here(ctx context.Context, from mail.ReversePath, to mail.Address) (bool, error)
}

// A sorting divides the recipients of a message, by index, into those of ours, those that the queue
// routes, those whose mail an operator is to see first, those who shall not have it, and those for whom
// it lies in quarantine.
type sorting struct{ ours, others, held, dropped, kept []int }

// done returns those who need no more.
func (s sorting) done() []int { return slices.Concat(s.held, s.dropped, s.kept) }

// sort divides the recipients of m.
func (p *Policy) sort(ctx context.Context, how Taking, m *Message) (s sorting, err error) {
	all := m.Envelope.Recipients
	queued, err := p.queue.Holds(ctx, m.Envelope)
	if err != nil {
		return s, fmt.Errorf("inbound: hold rules: %w", err)
	}
	queued = queued && !how.Each // LMTP answers with the outcome
	s.ours = make([]int, 0, len(all))
	for i, r := range all {
		if i < len(how.Decisions) && how.Decisions[i].Discard != "" {
			s.dropped = append(s.dropped, i)
			continue
		}
		if i < len(how.Decisions) && how.Decisions[i].Hold != "" {
			s.held = append(s.held, i)
			continue
		}
		switch m.actionFor(i) {
		case mail.Quarantine:
			s.kept = append(s.kept, i)
			continue
		case mail.Junk:
			all[i].Junk = true
		}
		here, err := p.isHere(ctx, m.Envelope.From, r.Address)
		if err != nil {
			return s, err
		}
		// Delivery at once ends without a report, so those who ask for one on success take the queue.
		if here && !queued && !r.Notify.Wants(mail.NotifySuccess) {
			s.ours = append(s.ours, i)
		} else {
			s.others = append(s.others, i)
		}
	}
	s.copyFate(how, m)
	return s, nil
}

// isHere tells whether mail to an address ends on this host.
func (p *Policy) isHere(ctx context.Context, from mail.ReversePath, to mail.Address) (bool, error) {
	if p.nullClient {
		return false, nil
	}
	target, err := p.directory.Resolve(ctx, to)
	if err != nil {
		return false, fmt.Errorf("inbound: resolve %s: %w", to, err)
	}
	if !target.Kind.Ours() || p.ways == nil {
		return target.Kind.Ours(), nil
	}
	here, err := p.ways.Here(ctx, from, to)
	if err != nil {
		return false, fmt.Errorf("inbound: route to %s: %w", to, err)
	}
	return here, nil
}

// copyFate makes blind copies, which nobody decided about, share the fate of a message that is held or
// dropped for all who were named.
func (s *sorting) copyFate(how Taking, m *Message) {
	named := len(how.Decisions)
	if named == 0 || named == len(m.Envelope.Recipients) || len(s.held)+len(s.dropped) < named {
		return
	}
	for i := named; i < len(m.Envelope.Recipients); i++ {
		if len(s.held) > 0 {
			s.held = append(s.held, i)
		} else {
			s.dropped = append(s.dropped, i)
		}
	}
	s.ours, s.others = nil, nil
}

// hold puts m into the queue, where it waits, once for each reason. The queue knows a message by its ID,
// so these have others than m, which the trace links.
func (p *Policy) hold(ctx context.Context, m *Message, prefix []byte, held []int, decisions []Decision) error {
	byReason := map[string][]int{}
	last := ""
	for _, i := range held {
		if i < len(decisions) {
			last = decisions[i].Hold
		}
		byReason[last] = append(byReason[last], i)
	}
	for reason, some := range byReason {
		env := *m.Envelope
		env.ID, env.Recipients = p.queue.NewID(), choose(env.Recipients, some)
		whole := append(prefix[:len(prefix):len(prefix)], m.Content...)
		if _, err := p.queue.PutHeld(ctx, env, mail.Bytes(whole), reason); err != nil {
			return fmt.Errorf("inbound: hold %s: %w", env.ID, err)
		}
		p.trace.Record(trace.Event{ID: m.Envelope.ID, Step: trace.Check, OK: true, Peer: m.peer(), From: env.From.Path(),
			To: addressesOf(env.Recipients), Reason: reason, Text: fmt.Sprintf("put on hold as %s: %s", env.ID, reason)})
	}
	return nil
}

// drop tells of those who shall not have m.
func (p *Policy) drop(how Taking, m *Message, dropped []int) {
	for _, i := range dropped {
		reason := "a copy of what was dropped"
		if i < len(how.Decisions) {
			reason = how.Decisions[i].Discard
		}
		to := m.Envelope.Recipients[i].Address
		p.trace.Record(trace.Event{ID: m.Envelope.ID, Session: how.Session, Step: trace.Check, OK: true, Peer: m.peer(),
			From: m.Envelope.From.Path(), To: []mail.Address{to}, Reason: reason, Took: time.Since(m.Envelope.Received),
			Text: fmt.Sprintf("dropped the message for %s, as was decided: %s", to, reason)})
		p.log.Info("inbound: dropped", "qid", string(m.Envelope.ID), "from", m.Envelope.From.Path(), "to", to.String(), "reason", reason)
	}
}

func addressesOf(recipients []mail.Recipient) []mail.Address {
	all := make([]mail.Address, len(recipients))
	for i, r := range recipients {
		all[i] = r.Address
	}
	return all
}
