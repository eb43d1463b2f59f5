package submit

import (
	"context"
	"time"

	"posthaste/auth"
	"posthaste/mail"
	"posthaste/message"
)

// A LocalQueue takes mail that has a name of its own, as *queue.Queue does.
type LocalQueue interface {
	// NewIDFor returns an ID for PutOnce.
	NewIDFor(origin string) mail.QueueID
	// PutOnce makes env and content durable; putting one origin again is a no-op.
	PutOnce(ctx context.Context, origin string, env mail.Envelope, content mail.Content) (mail.QueueID, error)
}

// Local submits mail of the system's users, who have no account. Whose name a message may carry was
// decided before: by package drop.
type Local struct {
	Submitter *Submitter
	Queue     LocalQueue
}

// Submit grooms a message as [Submitter.Submit] does and puts it into the queue, once for each origin.
// The error is a *mail.Status where the message cannot be taken as it is.
func (l Local) Submit(ctx context.Context, user mail.Address, origin string, env mail.Envelope, content mail.Content) error {
	s, who := l.Submitter, auth.Identity{Login: user.Local, Address: user}
	env.From.Address = s.complete(who, env.From.Address)
	env.Recipients = s.completeRecipients(who, env.Recipients)
	if env.Received.IsZero() {
		env.Received = time.Now()
	}
	env.ID = l.Queue.NewIDFor(origin)
	h := message.ParseHeader(content.Bytes())
	if err := s.checkForm(env, h); err != nil {
		return err
	}
	env.TLSOptional = !env.RequireTLS && message.TLSOptional(h)
	env, groomed, err := s.rewrite(ctx, env, mail.Bytes(s.groom(who, env, h, content.Bytes())))
	if err != nil {
		return err
	}
	_, err = l.Queue.PutOnce(ctx, origin, env, groomed)
	return err
}
