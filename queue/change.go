package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"posthaste/kv"
	"posthaste/mail"
)

// A Verb is what an operator does to entries.
type Verb string

// The verbs. All but Delete leave corrupt entries alone.
const (
	VerbRetry   Verb = "retry"   // what waits is due now, whatever is known of destinations
	VerbHold    Verb = "hold"    // nothing is tried until VerbRelease
	VerbRelease Verb = "release" // what is on hold is due now
	VerbRequeue Verb = "requeue" // start afresh: no attempts, no chosen transport, and due now
	VerbReroute Verb = "reroute" // go by the transport To from now on
	VerbEdit    Verb = "edit"    // change sender, recipients or priority
	VerbDelete  Verb = "delete"  // nobody gets a report
)

// A Change is a verb with what it needs.
type Change struct {
	Verb      Verb
	Reason    string // of VerbHold: shown in lists; may be empty
	Transport string // of VerbReroute; "" goes back to what the configuration says
	Edit      Edit
}

const (
	changeBatch  = 200 // entries of a shard that one commit changes
	changeShards = 8   // shards that are changed at the same time
)

// Do does c to the entries named, and returns an error for each that could not be changed: ErrNoEntry,
// or why.
func (q *Queue) Do(ctx context.Context, c Change, ids []mail.QueueID) map[mail.QueueID]error {
	shards := map[int][]mail.QueueID{}
	for _, id := range ids {
		shards[shardOf(id)] = append(shards[shardOf(id)], id)
	}
	f := failures{all: map[mail.QueueID]error{}}
	var work errgroup.Group
	work.SetLimit(changeShards)
	for shard, ids := range shards {
		work.Go(func() error {
			for some := range slices.Chunk(ids, changeBatch) {
				q.changeSome(ctx, c, shard, some, &f)
			}
			return nil
		})
	}
	work.Wait()
	return f.all
}

// failures gathers what could not be changed.
type failures struct {
	mu  sync.Mutex // guards all
	all map[mail.QueueID]error
}

func (f *failures) add(id mail.QueueID, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all[id] = err
}

// changeSome changes entries of one shard in one commit. When that is too large, or one of them
// cannot be read, each gets its own.
func (q *Queue) changeSome(ctx context.Context, c Change, shard int, ids []mail.QueueID, failed *failures) {
	now := time.Now()
	var changed []*Entry
	var problems map[mail.QueueID]error
	_, err := q.kv.Update(ctx, shardPartition(shard), func(tx kv.Txn) error {
		changed, problems = changed[:0], map[mail.QueueID]error{}
		for _, id := range ids {
			e, err := c.write(tx, id, now)
			if err != nil {
				problems[id] = err
				continue
			}
			changed = append(changed, e)
		}
		return nil
	})
	if err != nil && len(ids) > 1 && errors.Is(err, kv.ErrTooLarge) {
		for i := range ids {
			q.changeSome(ctx, c, shard, ids[i:i+1], failed)
		}
		return
	}
	if err != nil {
		for _, id := range ids {
			failed.add(id, fmt.Errorf("queue: %s %s: %w", c.Verb, id, err))
		}
		return
	}
	for id, err := range problems {
		failed.add(id, err)
	}
	for _, e := range changed {
		q.changed(c, e, now)
	}
}

// write changes the stored entry id.
func (c Change) write(tx kv.Txn, id mail.QueueID, now time.Time) (*Entry, error) {
	stored, err := tx.Get(entryKey(id))
	if isMissing(err) {
		return nil, fmt.Errorf("%w: %s", ErrNoEntry, id)
	}
	if err != nil {
		return nil, fmt.Errorf("queue: %s %s: %w", c.Verb, id, err)
	}
	e := readEntry(id, stored)
	if c.Verb == VerbDelete {
		e.remove(tx, e.due(), now)
		return e, nil
	}
	if e.corrupt != "" {
		return nil, fmt.Errorf("queue: %s %s: %w: %s", c.Verb, id, kv.ErrCorrupt, e.corrupt)
	}
	before := e.due()
	if err := c.apply(e, now); err != nil {
		return nil, fmt.Errorf("queue: %s %s: %w", c.Verb, id, err)
	}
	e.store(tx, before)
	return e, nil
}

// apply changes e as an operator wants it.
func (c Change) apply(e *Entry, now time.Time) error {
	if c.Verb == VerbEdit {
		return c.Edit.apply(e, now)
	}
	for i := range e.Recipients {
		r := &e.Recipients[i]
		if !r.State.Open() {
			continue
		}
		switch c.Verb {
		case VerbRetry:
			if r.State.schedulable() {
				r.Next = now
			}
		case VerbHold:
			if r.State.schedulable() {
				r.hold(c.Reason)
			}
		case VerbRelease:
			if r.State == Held || r.State == Corrupt {
				r.State, r.Next = Deferred, now
			}
		case VerbRequeue:
			r.State, r.Next, r.Attempts, r.Reroute, r.Status = Incoming, now, 0, "", nil
		case VerbReroute:
			if r.Reroute = c.Transport; r.State.schedulable() {
				r.Next = now
			}
		default:
			return fmt.Errorf("there is no such verb as %q", c.Verb)
		}
	}
	return nil
}

// hold keeps r from being tried. Its last answer stays, behind why it is held.
func (r *Recipient) hold(why string) {
	r.State, r.Next = Held, time.Time{}
	if why == "" {
		return
	}
	held := mail.NewStatus(450, "4.7.0", "%s", heldBecause+why)
	if r.Status != nil && !strings.HasPrefix(r.Status.Text, heldBecause) {
		held.Text += "; the last answer was: " + r.Status.Error()
		held.Peer = r.Status.Peer
	}
	r.Status = held
}

// heldBecause begins the text of a recipient that is held with a reason.
const heldBecause = "on hold: "

// changed brings a durable change into memory.
func (q *Queue) changed(c Change, e *Entry, now time.Time) {
	start := c.Verb != VerbHold && c.Verb != VerbDelete
	if d := q.dispatcher.Load(); d != nil {
		d.altered(e, start, now)
	}
	if c.Verb == VerbDelete {
		q.cache.remove(e.ID)
		q.discardBlob(e)
	}
}

// one is Do for one entry.
func (q *Queue) one(ctx context.Context, c Change, id mail.QueueID) error {
	return q.Do(ctx, c, []mail.QueueID{id})[id]
}

// Retry makes every deferred recipient of an entry due now, whatever is known of its destination.
func (q *Queue) Retry(ctx context.Context, id mail.QueueID) error {
	return q.one(ctx, Change{Verb: VerbRetry}, id)
}

// Hold keeps the open recipients of an entry from being tried until Release. A delivery that runs
// ends, and its outcome counts.
func (q *Queue) Hold(ctx context.Context, id mail.QueueID) error {
	return q.one(ctx, Change{Verb: VerbHold}, id)
}

// Release makes held recipients of an entry due now, and corrupt ones too: their content may have
// been repaired.
func (q *Queue) Release(ctx context.Context, id mail.QueueID) error {
	return q.one(ctx, Change{Verb: VerbRelease}, id)
}

// Delete removes an entry; nobody is told. A delivery that runs may still end well.
func (q *Queue) Delete(ctx context.Context, id mail.QueueID) error {
	return q.one(ctx, Change{Verb: VerbDelete}, id)
}
