package queue

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"posthaste/kv"
	"posthaste/mail"
)

// pageSize is how many entries of a shard are read at once.
const pageSize = 256

// A cursor reads the entries of one shard in order, page by page.
type cursor struct {
	q     *Queue
	shard int
	page  []*Entry
	last  []byte // the key before the next page
	more  bool
}

func (c *cursor) empty() bool { return len(c.page) == 0 && c.more }

// fill reads the next pages where one is needed at once: of all cursors that will need theirs soon, at
// the same time.
func fill(ctx context.Context, cursors []cursor) error {
	wanted := false
	for i := range cursors {
		wanted = wanted || cursors[i].empty()
	}
	if !wanted {
		return nil
	}
	var g errgroup.Group
	g.SetLimit(scanWorkers)
	for i := range cursors {
		if c := &cursors[i]; c.more && len(c.page) <= pageSize/4 {
			g.Go(func() error { return c.fill(ctx) })
		}
	}
	return g.Wait()
}

// scanWorkers is how many shards are read at the same time.
const scanWorkers = 4

// fill adds a page to what is left.
func (c *cursor) fill(ctx context.Context) error {
	start := []byte("e")
	if c.last != nil {
		start = append(c.last, 0)
	}
	page := make([]*Entry, 0, pageSize)
	err := c.q.kv.View(ctx, shardPartition(c.shard), func(r kv.Reader) error {
		page = page[:0]
		keys, errf := r.Scan(start, []byte("f"), false)
		for key, value := range keys {
			c.last = append(c.last[:0:0], key...)
			page = append(page, readEntry(mail.QueueID(key[1:]), value))
			if len(page) == pageSize {
				break
			}
		}
		return errf()
	})
	if err != nil {
		return fmt.Errorf("queue: list shard %d: %w", c.shard, err)
	}
	c.more = len(page) == pageSize
	c.q.showActive(page)
	c.page = append(c.page, page...)
	return nil
}

// readEntry decodes what is stored; an entry that cannot be read is corrupt and says so.
func readEntry(id mail.QueueID, stored []byte) *Entry {
	e, err := decodeEntry(id, stored)
	if err != nil {
		e = &Entry{ID: id, corrupt: err.Error()}
		(&reader{rest: string(stored)}).head(e) // where the content is can often still be read
		e.Envelope.Received = id.Time()
	}
	return e
}

// showActive marks the recipients that are being delivered on this node.
func (q *Queue) showActive(entries []*Entry) {
	d := q.dispatcher.Load()
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range entries {
		r := d.records[e.ID]
		if r == nil || len(r.entry.Recipients) != len(e.Recipients) {
			continue
		}
		for i := range e.Recipients {
			if r.entry.Recipients[i].State == Active && e.Recipients[i].State.schedulable() {
				e.Recipients[i].State = Active
			}
		}
	}
}
