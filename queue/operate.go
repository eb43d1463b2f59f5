package queue

import "time"

// altered brings a change of an entry into memory. To start it, the loop reads it again.
func (d *dispatcher) altered(e *Entry, start bool, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, s := d.records[e.ID], &d.shards[shardOf(e.ID)]
	if !start {
		delete(d.urgent, e.ID)
		if r != nil {
			r.dropped = true
			d.forget(r)
			d.start(now)
		}
		return
	}
	if !s.held {
		return
	}
	d.urgent[e.ID] = true
	if r != nil {
		r.alter(e, now)
	}
	if s.dueAt(now) {
		d.poke()
	}
}

// alter makes the waiting recipients of r due now. e is how an operator left it; since then only what
// was held or corrupt cannot have changed.
func (r *record) alter(e *Entry, now time.Time) {
	for i := range r.entry.Recipients {
		switch p := &r.entry.Recipients[i]; {
		case p.State.schedulable():
			p.Next = now
		case p.State == Held || p.State == Corrupt:
			*p = e.Recipients[i]
		}
	}
}
