package queue

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"posthaste/kv"
	"posthaste/mail"
)

// A Filter chooses entries. Zero fields choose all.
type Filter struct {
	State     State  // of the entry
	Sender    string // a part of the reverse-path, in any case; "<>" is the null one
	Recipient string // a part of any recipient's address, in any case
}

// List yields the entries that f chooses, oldest first, each as it was when it was read. A failure
// ends the sequence.
func (q *Queue) List(ctx context.Context, f Filter) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		var cursors [Shards]cursor
		for i := range cursors {
			cursors[i] = cursor{q: q, shard: i, more: true}
		}
		for {
			var first *cursor
			for i := range cursors {
				c := &cursors[i]
				if err := c.fill(ctx); err != nil {
					yield(nil, err)
					return
				}
				if len(c.page) > 0 && (first == nil || c.page[0].ID < first.page[0].ID) {
					first = c
				}
			}
			if first == nil {
				return
			}
			e := first.page[0]
			first.page = first.page[1:]
			if f.chooses(e) && !yield(e, nil) {
				return
			}
		}
	}
}

func (f Filter) chooses(e *Entry) bool {
	if f.State != "" && e.State() != f.State || f.Sender != "" && !contains(sender(e), f.Sender) {
		return false
	}
	if f.Recipient == "" {
		return true
	}
	for i := range e.Recipients {
		if contains(e.Recipients[i].Address.String(), f.Recipient) {
			return true
		}
	}
	return false
}

func contains(s, part string) bool {
	return strings.Contains(strings.ToLower(s), strings.ToLower(part))
}

// Show returns one entry, or ErrNoEntry.
func (q *Queue) Show(ctx context.Context, id mail.QueueID) (*Entry, error) {
	var e *Entry
	err := q.kv.View(ctx, shardPartition(shardOf(id)), func(r kv.Reader) error {
		stored, err := r.Get(entryKey(id))
		if err == nil {
			e = readEntry(id, stored)
		}
		return err
	})
	switch {
	case isMissing(err):
		return nil, fmt.Errorf("%w: %s", ErrNoEntry, id)
	case err != nil:
		return nil, fmt.Errorf("queue: show %s: %w", id, err)
	}
	q.showActive([]*Entry{e})
	return e, nil
}

// ReadContent returns the content of an entry, or ErrNoEntry.
func (q *Queue) ReadContent(ctx context.Context, id mail.QueueID) (mail.Content, error) {
	e, err := q.Show(ctx, id)
	if err != nil {
		return nil, err
	}
	if e.corrupt != "" {
		return nil, fmt.Errorf("%w: %s", kv.ErrCorrupt, e.corrupt)
	}
	return q.load(ctx, e)
}

// Retry makes every deferred recipient of an entry due now, whatever is known of its destination.
func (q *Queue) Retry(ctx context.Context, id mail.QueueID) error {
	return q.alter(ctx, id, true, func(r *Recipient, now time.Time) {
		if r.State.schedulable() {
			r.Next = now
		}
	})
}

// Hold keeps the open recipients of an entry from being tried until Release. A delivery that runs
// ends, and its outcome counts.
func (q *Queue) Hold(ctx context.Context, id mail.QueueID) error {
	return q.alter(ctx, id, false, func(r *Recipient, _ time.Time) {
		if r.State.schedulable() {
			r.State, r.Next = Held, time.Time{}
		}
	})
}

// Release makes held recipients of an entry due now, and corrupt ones too: their content may have
// been repaired.
func (q *Queue) Release(ctx context.Context, id mail.QueueID) error {
	return q.alter(ctx, id, true, func(r *Recipient, now time.Time) {
		if r.State == Held || r.State == Corrupt {
			r.State, r.Next = Deferred, now
		}
	})
}

// alter changes the recipients of an entry, and then starts its delivery anew or stops it.
func (q *Queue) alter(ctx context.Context, id mail.QueueID, start bool, fn func(r *Recipient, now time.Time)) error {
	now := time.Now()
	var e *Entry
	_, err := q.kv.Update(ctx, shardPartition(shardOf(id)), func(tx kv.Txn) error {
		stored, err := tx.Get(entryKey(id))
		if err != nil {
			return err
		}
		if e, err = decodeEntry(id, stored); err != nil {
			return fmt.Errorf("%w: %v", kv.ErrCorrupt, err)
		}
		before := e.due()
		for i := range e.Recipients {
			fn(&e.Recipients[i], now)
		}
		e.store(tx, before)
		return nil
	})
	switch {
	case isMissing(err):
		return fmt.Errorf("%w: %s", ErrNoEntry, id)
	case err != nil:
		return fmt.Errorf("queue: change %s: %w", id, err)
	}
	if d := q.dispatcher.Load(); d != nil {
		d.altered(e, start, now)
	}
	return nil
}

// Delete removes an entry; nobody is told. A delivery that runs may still end well.
func (q *Queue) Delete(ctx context.Context, id mail.QueueID) error {
	var e *Entry
	_, err := q.kv.Update(ctx, shardPartition(shardOf(id)), func(tx kv.Txn) error {
		stored, err := tx.Get(entryKey(id))
		if err != nil {
			return err
		}
		e = readEntry(id, stored)
		e.remove(tx, e.due(), time.Now())
		return nil
	})
	switch {
	case isMissing(err):
		return fmt.Errorf("%w: %s", ErrNoEntry, id)
	case err != nil:
		return fmt.Errorf("queue: delete %s: %w", id, err)
	}
	if d := q.dispatcher.Load(); d != nil {
		d.altered(e, false, time.Now())
	}
	q.cache.remove(id)
	q.discardBlob(e)
	return nil
}

// Stats is the queue in numbers.
type Stats struct {
	Entries map[State]int `json:"entries"` // by State of the entry
	Bytes   int64         `json:"bytes"`   // of content
	Oldest  time.Time     `json:"oldest,omitzero"`
}

// Stats counts what is in the queue. It reads all entries.
func (q *Queue) Stats(ctx context.Context) (Stats, error) {
	s := Stats{Entries: map[State]int{}}
	for e, err := range q.List(ctx, Filter{}) {
		if err != nil {
			return s, err
		}
		s.Entries[e.State()]++
		s.Bytes += e.Size
		if s.Oldest.IsZero() || e.Created().Before(s.Oldest) {
			s.Oldest = e.Created()
		}
	}
	return s, nil
}
