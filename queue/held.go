package queue

import (
	"context"
	"time"

	"posthaste/mail"
)

// PutHeld is Put for a message that waits, for all its recipients, until an operator releases it. The
// reason says why, for people.
func (q *Queue) PutHeld(ctx context.Context, env mail.Envelope, content mail.Content, reason string) (mail.QueueID, error) {
	known := env.ID != ""
	if !known {
		env.ID = q.NewID()
	}
	e := newEntry(env, time.Now())
	for i := range e.Recipients {
		e.Recipients[i].hold(reason)
	}
	return e.ID, q.put(ctx, e, content.Bytes(), known)
}
