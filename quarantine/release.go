package quarantine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"posthaste/kv"
	"posthaste/mail"
)

// A Choice says for whom a decision about a message is and who made it.
type Choice struct {
	Recipients []mail.Address // none: all it is kept for
	Owner      string         // all recipients of this owner; empty: Recipients says it
	By         string         // for the trace: "ann@example.org by a link"
	Spam       bool           // with Delete: learn that the message is spam
	Trust      bool           // with Release: see [Quarantine.Trusted] about its author from now on
}

// wants tells whether c is about a recipient.
func (c *Choice) wants(to *Recipient) bool {
	if c.Owner != "" {
		return to.Owner == c.Owner
	}
	return len(c.Recipients) == 0 || slices.ContainsFunc(c.Recipients, func(a mail.Address) bool { return fold(a) == fold(to.Address) })
}

// Release gives a message to the queue for the recipients of c, whatever was thought of it, and teaches
// that it is no spam. To release again what was released is a no-op. ErrGone when it was deleted or
// has expired for all of them, ErrNotFound when there is none for them.
func (q *Quarantine) Release(ctx context.Context, id ID, c Choice) error {
	return q.decide(ctx, id, c, Released, func(r *record, content []byte, i int) error {
		return q.deliver(ctx, r, content, &r.Recipients[i])
	})
}

// Delete drops a message for the recipients of c, with c.Spam teaching that it is spam. To delete what
// was deleted is a no-op; else the errors are those of Release.
func (q *Quarantine) Delete(ctx context.Context, id ID, c Choice) error {
	return q.decide(ctx, id, c, Deleted, func(*record, []byte, int) error { return nil })
}

// decide does to each recipient of c that still waits, then notes the state and tells of it. What was
// done before a crash is done again, which does nothing.
func (q *Quarantine) decide(ctx context.Context, id ID, c Choice, state State, do func(r *record, content []byte, i int) error) error {
	r, content, err := q.load(ctx, id)
	if err != nil {
		return err
	}
	waiting, err := r.waiting(&c, state)
	if err != nil || len(waiting) == 0 {
		return err
	}
	var done []int
	var failed error
	for _, i := range waiting {
		if failed = do(r, content, i); failed != nil {
			break
		}
		done = append(done, i)
	}
	if len(done) == 0 {
		return fmt.Errorf("quarantine: %s: %w", id, failed)
	}
	if c.Trust {
		failed = errors.Join(failed, q.trust(ctx, r, done))
	}
	if state == Released || c.Spam {
		q.teach(ctx, r, done, content, state == Deleted)
	}
	if err := q.settle(ctx, r, done, state, c.By); err != nil {
		return err
	}
	if failed != nil {
		return fmt.Errorf("quarantine: %s: %w", id, failed)
	}
	return nil
}

// waiting returns the recipients of c that a message is kept for. Where there are none it says why,
// unless all have left in the way that is asked for.
func (r *record) waiting(c *Choice, state State) (list []int, err error) {
	err = ErrNotFound
	for i := range r.Recipients {
		to := &r.Recipients[i]
		switch {
		case !c.wants(to):
		case to.State == Kept:
			list = append(list, i)
		case to.State == state:
			err = nil
		case err != nil:
			err = fmt.Errorf("%w: it was %s", ErrGone, to.State)
		}
	}
	if len(list) > 0 {
		return list, nil
	}
	return nil, err
}

// deliver gives a message to the queue for one recipient, once however often it is called. The message
// is new to the queue: times that its sender set have passed meanwhile.
func (q *Quarantine) deliver(ctx context.Context, r *record, content []byte, to *Recipient) error {
	env := r.Envelope
	env.ID, env.Received = "", q.cfg.Clock()
	env.HoldUntil, env.DeliverBy = time.Time{}, time.Time{}
	env.Recipients = []mail.Recipient{to.Recipient}
	_, err := q.cfg.Queue.PutDerived(ctx, r.ID, "release", to.Address, env, mail.Bytes(content))
	return err
}

// teach tells the teacher, once for each account. That it could not is no reason to keep the message.
func (q *Quarantine) teach(ctx context.Context, r *record, about []int, content []byte, spam bool) {
	if q.cfg.Teacher == nil || r.Outgoing {
		return
	}
	told := map[mail.AccountID]bool{}
	for _, i := range about {
		account := r.Recipients[i].account()
		if told[account] {
			continue
		}
		told[account] = true
		if err := q.cfg.Teacher.Learn(ctx, account, content, spam); err != nil {
			q.cfg.Log.Warn("quarantine: nothing was learnt from a decision", "qid", string(r.Envelope.ID), "account", uint64(account), "err", err)
		}
	}
}

// settle notes that recipients of a message have left, unless somebody else was faster, and leaves an
// event for each. The blob of a message that is gone goes too.
func (q *Quarantine) settle(ctx context.Context, r *record, gone []int, state State, by string) error {
	name := r.Blob
	var now *record
	var settled []int
	_, err := q.cfg.KV.Update(ctx, bucketOf(r.ID), func(txn kv.Txn) (err error) {
		settled = settled[:0]
		if now, err = getRecord(txn, r.ID); err != nil {
			return err
		}
		for _, i := range gone {
			if now.Recipients[i].State == Kept {
				settled = append(settled, i)
			}
		}
		if len(settled) == 0 {
			return nil
		}
		return now.settle(txn, settled, state, q.cfg.Clock())
	})
	if err != nil {
		return fmt.Errorf("quarantine: %s: %w", r.ID, err)
	}
	if now.Blob == "" {
		q.discardBlob(name)
	}
	for _, i := range settled {
		q.tell(now, &now.Recipients[i], string(state)+" from the quarantine", by)
	}
	return nil
}
