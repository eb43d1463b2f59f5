package submit

import (
	"context"
	"fmt"
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
	// PutFailed tells the sender of env, in a report, that its one recipient failed with why. To tell
	// of one recipient of one parent again is a no-op.
	PutFailed(ctx context.Context, parent mail.QueueID, why *mail.Status, env mail.Envelope, content mail.Content) (mail.QueueID, error)
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
	done, err := s.finish(ctx, env, mail.Bytes(s.disclaim(env, s.groom(who, env, h, content.Bytes()))))
	if err != nil {
		return err
	}
	switch {
	case done.discard != "":
		s.tellDiscarded(&done)
		return nil
	case done.hold != "": // nobody would find it: there is one entry for each origin, and it is not held
		return mail.NewStatus(550, "5.7.1", "your message was not sent: %s", done.hold)
	}
	_, err = l.Queue.PutOnce(ctx, origin, done.env, done.content)
	return err
}

// Return tells user in a report, which holds the message, why [Local.Submit] refused it. The report
// names the first recipient, for all of them. A message without any has nobody to be told.
func (l Local) Return(ctx context.Context, user mail.Address, origin string, why *mail.Status, env mail.Envelope, content mail.Content) error {
	if len(env.Recipients) == 0 {
		return nil
	}
	s, who := l.Submitter, auth.Identity{Login: user.Local, Address: user}
	status := *why
	if others := len(env.Recipients) - 1; others > 0 {
		status.Text = fmt.Sprintf("%s (to %d more recipients it was not sent either)", why.Text, others)
	}
	env.From = mail.ReversePath{Address: s.complete(who, user)}
	env.Recipients = s.completeRecipients(who, env.Recipients[:1])
	env.Recipients[0].Notify, env.Ret = 0, mail.RetFull
	// It never had an ID in the queue; its origin is as good for telling a repeat.
	_, err := l.Queue.PutFailed(ctx, mail.QueueID(origin), &status, env, content)
	return err
}
