package queue

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"

	"posthaste/mail"
)

// PutFailed is PutDerived for a recipient that has failed already with why: the one of env. Nobody is
// asked again; the sender hears of it as of any failure, in a report that is written by the queue.
func (q *Queue) PutFailed(ctx context.Context, parent mail.QueueID, why *mail.Status, env mail.Envelope, content mail.Content) (mail.QueueID, error) {
	if len(env.Recipients) != 1 {
		return "", fmt.Errorf("queue: %d recipients failed with one status, want 1", len(env.Recipients))
	}
	origin := string(parent) + "\x00failed\x00" + env.Recipients[0].Address.String()
	sum := sha256.Sum256([]byte(origin))
	env.ID = q.NewIDFor(origin)
	e := newEntry(env, q.clock())
	e.origin = string(sum[:originSize])
	e.Recipients[0].Reroute = "error:" + strings.TrimSpace(why.Enhanced+" "+strings.Join(strings.Fields(why.Text), " "))
	err := q.put(ctx, e, content.Bytes(), true)
	return e.ID, err
}
