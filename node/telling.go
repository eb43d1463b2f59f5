package node

import (
	"context"

	"posthaste/mail"
	"posthaste/queue"
	"posthaste/trace"
)

// A deliver is how an agent delivers by a plan.
type deliver func(p *plan, ctx context.Context, job queue.Job) []*mail.Status

// telling leaves an event per recipient of what do answers, for agents that leave none.
func telling(do deliver) deliver {
	return func(p *plan, ctx context.Context, job queue.Job) []*mail.Status {
		answers := do(p, ctx, job)
		for i, s := range answers {
			to := job.Envelope.Recipients[i].Address
			p.tell(job.Envelope.ID, job.Envelope.From, to, s, nil)
		}
		return answers
	}
}

// tell leaves an event of a recipient's outcome. why is for the operator, where the outcome does not say.
func (p *plan) tell(id mail.QueueID, from mail.ReversePath, to mail.Address, s *mail.Status, why error) {
	text := "the message for " + to.String() + " was taken: "
	switch {
	case s.Temporary():
		text = "the message for " + to.String() + " has to wait: "
	case !s.OK():
		text = "the message for " + to.String() + " cannot be delivered: "
	}
	e := trace.Event{ID: id, Step: trace.Deliver, OK: s.OK(), Answered: s.Error(), Text: text + s.Text, From: from.Path(), To: []mail.Address{to}}
	if why != nil {
		e.Reason = why.Error()
	}
	p.node.trace.Record(e)
}
