package remote

import (
	"context"

	"posthaste/mail"
)

// Probe asks the hosts of dest whether they take mail from from for rcpt, and sends none. A 2xx means
// that the best host there is takes it, a 5xx that it does not. Whatever says nothing about the
// recipient is temporary: hosts that cannot be reached, that refuse us or the sender, or that ask for what
// cannot be probed. Give the null reverse-path, so that asking can cause no question back.
func (a *Agent) Probe(ctx context.Context, dest Destination, from mail.ReversePath, rcpt mail.Address) *mail.Status {
	if dest.Port == 0 {
		dest.Port = a.cfg.Port
	}
	j := &job{
		env: mail.Envelope{From: from}, rcpts: []mail.Recipient{{Address: rcpt}}, content: newContent(nil),
		dest: dest, outcomes: make([]*mail.Status, 1), probe: true,
	}
	if j.refuseUnsafe(); j.outcomes[0] != nil {
		return j.outcomes[0]
	}
	if a.tryHosts(ctx, j); j.outcomes[0] != nil {
		return j.outcomes[0] // of the host that was asked
	}
	j.giveUp(ctx)
	if j.outcomes[0].Temporary() {
		return j.outcomes[0]
	}
	return mail.NewStatus(451, "4.4.1", "cannot ask about %s: %s", rcpt, j.outcomes[0].Text)
}

// ask is a transaction that ends before DATA. What the host says to MAIL is about the sender.
func (s *session) ask(j *job) *failure {
	lines := []string{mailLine(j.env, transfer{utf8: s.ext.utf8 && !j.rcpts[0].Address.ASCII()}, extensions{}), rcptLine(j.rcpts[0], extensions{})}
	if s.open {
		lines = append([]string{"RSET"}, lines...)
	}
	s.transactions++
	s.open = true
	for n, line := range lines {
		reply, err := s.command(line, s.timeouts.Command)
		last := n == len(lines)-1
		switch {
		case err != nil:
			return s.failed("reply to "+phase(lines, n), err)
		case reply.Code == 421, !last && !reply.OK():
			return &failure{&mail.Status{Code: 451, Enhanced: "4.4.1", Text: "the host cannot be asked: " + reply.Error(), Peer: reply.Peer}}
		case last && (reply.OK() || reply.Permanent()):
			j.outcomes[0] = reply
		case last:
			j.outcomes[0] = temporary(reply)
		}
	}
	return nil
}
