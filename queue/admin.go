package queue

import (
	"context"
	"fmt"
	"iter"
	"time"

	"posthaste/kv"
	"posthaste/mail"
)

// List yields the entries that f chooses, oldest first, each as it was when it was read. A failure
// ends the sequence.
func (q *Queue) List(ctx context.Context, f Filter) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		now := time.Now()
		var cursors [Shards]cursor
		for i := range cursors {
			cursors[i] = cursor{q: q, shard: i, more: true}
		}
		for {
			if err := fill(ctx, cursors[:]); err != nil {
				yield(nil, err)
				return
			}
			var first *cursor
			for i := range cursors {
				c := &cursors[i]
				if len(c.page) > 0 && (first == nil || c.page[0].ID < first.page[0].ID) {
					first = c
				}
			}
			if first == nil {
				return
			}
			e := first.page[0]
			first.page = first.page[1:]
			if f.chooses(e, now) && !yield(e, nil) {
				return
			}
		}
	}
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
