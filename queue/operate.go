package queue

import (
	"slices"
	"time"
)

// altered brings a change of an entry, which is committed, into memory: nothing more starts of how it
// was. With start the loop reads it again, but only once what runs has ended and its outcome is
// recorded: else a delivery that runs would be repeated.
func (d *dispatcher) altered(e *Entry, start bool, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, s := d.records[e.ID], &d.shards[shardOf(e.ID)]
	s.early = slices.DeleteFunc(s.early, func(x *Entry) bool { return x.ID == e.ID })
	if start && s.held {
		d.urgent[e.ID] = true
	} else {
		delete(d.urgent, e.ID)
	}
	if r != nil {
		d.discard(r, start && s.held)
		d.startNow()
		return
	}
	if start && s.held && s.dueAt(now) {
		d.poke()
	}
}

// discard keeps what waits of r from starting, and forgets r once nothing of it is out; then it is
// read again, where again says so. d.mu is held.
func (d *dispatcher) discard(r *record, again bool) {
	r.dropped, r.again = true, again
	d.settled(r)
}

// ended counts a task of r that is not out any more. d.mu is held.
func (d *dispatcher) ended(r *record) {
	r.out--
	if r.dropped {
		d.settled(r)
	}
}

// settled forgets a discarded record of which nothing is out. d.mu is held.
func (d *dispatcher) settled(r *record) {
	if r.out > 0 || d.records[r.entry.ID] != r {
		return
	}
	d.forget(r)
	if s := &d.shards[shardOf(r.entry.ID)]; r.again && s.held && s.dueAt(d.q.clock()) {
		d.poke()
	}
}
