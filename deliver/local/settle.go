package local

import (
	"context"
	"fmt"

	"posthaste/mail"
)

// settle returns the answer to a recipient from those of all targets it led to. A temporary one comes
// first, because a repeat helps. A permanent one is the answer where no target has the message; where
// some have it, the sender is told of each that failed, and the recipient was served.
func (d *delivery) settle(ctx context.Context, to mail.Recipient, targets []*target) *mail.Status {
	answer := worst(targets)
	if !answer.Permanent() || d.agent.returner == nil {
		return answer
	}
	served := false
	for _, t := range targets {
		served = served || t.status.OK()
	}
	if !served {
		return answer
	}
	for _, t := range targets {
		if !t.status.Permanent() {
			continue
		}
		if err := d.giveBack(ctx, to, t); err != nil {
			return d.failed(t, err)
		}
	}
	return mail.NewStatus(251, "2.1.5", fmt.Sprintf("%s leads to %d addresses, and not all could be served", to.Address, len(targets)))
}

// giveBack tells the sender that t failed, in a report of its own. Those who are to hear nothing are
// told nothing; the log and the trace have it.
func (d *delivery) giveBack(ctx context.Context, to mail.Recipient, t *target) error {
	env := d.message.Envelope
	parent := env.ID
	env.ID, env.From = "", t.from(env.From)
	d.agent.log.Warn("local: one of several targets failed", "qid", parent, "to", to.Address, "target", t.address, "status", t.status.Error())
	if env.From.Null() || !to.Notify.Wants(mail.NotifyFailure) {
		return nil
	}
	orcpt := to.ORcpt
	if orcpt == "" {
		orcpt = "rfc822;" + to.Address.String()
	}
	env.Recipients = []mail.Recipient{{Address: t.address, Notify: to.Notify, ORcpt: orcpt}}
	content := append(d.prefixless(t), d.message.Content.Bytes()...)
	_, err := d.agent.returner.PutFailed(ctx, parent, t.status, env, mail.Bytes(content))
	return err
}

// prefixless returns the lines above the content of what goes into the queue for t.
func (d *delivery) prefixless(t *target) []byte {
	return append(appendTrail(nil, t), d.message.Prefix...)
}

// worst returns the gravest status of targets: a temporary one, then a permanent one, then an
// expansion, then success.
func worst(targets []*target) *mail.Status {
	answer := targets[0].status
	for _, t := range targets[1:] {
		if gravity(t.status) > gravity(answer) {
			answer = t.status
		}
	}
	return answer
}

func gravity(s *mail.Status) int {
	switch {
	case s.Temporary():
		return 3
	case s.Permanent():
		return 2
	case s.Code == 251:
		return 1
	}
	return 0
}

// served says in words how many of targets were served.
func served(targets []*target) string {
	failures := 0
	for _, t := range targets {
		if !t.status.OK() {
			failures++
		}
	}
	if failures == 0 {
		return "all were served"
	}
	return fmt.Sprintf("%d of them failed for good, which the sender hears in reports of their own", failures)
}
