package queue

import (
	"context"
	"time"

	"posthaste/kv"
	"posthaste/mail"
)

// A shard is what the dispatcher knows of one partition of the queue. Its lower
// fields are guarded by dispatcher.mu.
type shard struct {
	number    int
	committer committer
	unwatch   func() // of keepLeases and, after it, releaseLeases alone

	mend  bool                  // due times may be too far away
	held  bool                  // we have the lease
	early []*Entry              // put before we had the lease
	epoch uint64                // of the lease
	next  time.Time             // when the store has something due that is not active; zero: never
	left  map[mail.QueueID]bool // records that left memory while the shard is being read; else nil
}

func (s *shard) init(d *dispatcher, number int) {
	s.number = number
	s.committer.init(d, s)
}

// dueAt makes the loop read the shard at t, if not sooner. Zero is never.
func (s *shard) dueAt(t time.Time) bool {
	if t.IsZero() || !s.next.IsZero() && !t.Before(s.next) {
		return false
	}
	s.next = t
	return true
}

// keepEarly keeps a new entry for the moment at which the shard is ours, if that is sure to come: else
// it would wait behind all that fell due while nothing ran. d.mu is held.
func (s *shard) keepEarly(e *Entry, d *dispatcher) {
	if d.q.lease == 0 && !d.stopping && len(s.early) < minLoad {
		s.early = append(s.early, e)
	}
}

// nextDue returns when the loop has something to load.
func (d *dispatcher) nextDue() (next time.Time, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.starved {
		return next, false
	}
	for i := range d.shards {
		s := &d.shards[i]
		if s.held && !s.next.IsZero() && (!ok || s.next.Before(next)) {
			next, ok = s.next, true
		}
	}
	return next, ok
}

// loadDue brings what is due at now into memory, as far as there is room.
func (d *dispatcher) loadDue(ctx context.Context, now time.Time) {
	for i := range d.shards {
		room, due := d.beginLoad(&d.shards[i], now)
		if !due {
			continue
		}
		found := d.q.readDue(ctx, i, now, room, d.known)
		d.endLoad(&d.shards[i], found, now)
		d.setAside(i, found.damaged)
		if found.err != nil && ctx.Err() == nil {
			d.q.log.Error("queue: cannot read a shard, trying again", "shard", i, "err", found.err)
		}
	}
}

// beginLoad tells how many entries of s may be loaded at now, if any are due.
func (d *dispatcher) beginLoad(s *shard, now time.Time) (room int, due bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !s.held || s.next.IsZero() || s.next.After(now) {
		return 0, false
	}
	window := d.q.limits().Window
	room = window - len(d.records)
	if room <= 0 {
		d.starved = true
		return 0, false
	}
	s.next = time.Time{}
	s.left = map[mail.QueueID]bool{}
	return min(room, max(window/Shards, minLoad)), true
}

// minLoad is how many entries of one shard are read at once at least.
const minLoad = 100

// readAgain is the pause after a shard could not be read.
const readAgain = time.Second

func (d *dispatcher) endLoad(s *shard, found dueEntries, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := s.left
	s.left = nil
	if found.err != nil {
		s.dueAt(now.Add(readAgain))
	}
	s.dueAt(found.next)
	if !s.held {
		return
	}
	for _, id := range found.active {
		if r := d.records[id]; r != nil && !r.dropped {
			d.activate(r, now)
			s.dueAt(r.entry.Next())
		}
	}
	for _, e := range found.entries {
		if !left[e.ID] { // else it was read as it had been before its commit
			d.admit(e, senderKey(&e.Envelope), now)
		}
	}
	d.startNow()
}

func (d *dispatcher) known(id mail.QueueID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.records[id] != nil || d.arriving[id]
}

// dueEntries is what a read of a shard found.
type dueEntries struct {
	entries []*Entry
	active  []mail.QueueID // known ones
	damaged [][]byte       // due keys of entries that cannot be read
	next    time.Time      // when to read again
	err     error
}

// readDue reads the entries of a shard that are due at now, at most limit that are not known.
func (q *Queue) readDue(ctx context.Context, shard int, now time.Time, limit int, known func(mail.QueueID) bool) dueEntries {
	var found dueEntries
	found.err = q.kv.View(ctx, shardPartition(shard), func(r kv.Reader) error {
		found = dueEntries{}
		keys, errf := r.Scan([]byte("d"), []byte("e"), false)
		for key := range keys {
			due, id, ok := parseDueKey(key)
			switch {
			case !ok:
				found.damaged = append(found.damaged, append([]byte(nil), key...))
				continue
			case due > now.UnixMilli():
				found.next = time.UnixMilli(due)
				return errf()
			case len(found.entries) == limit:
				found.next = now
				return errf()
			case known(id):
				found.active = append(found.active, id)
				continue
			}
			if err := found.read(r, key, id); err != nil {
				return err
			}
		}
		return errf()
	})
	return found
}

// read adds the entry that key names.
func (found *dueEntries) read(r kv.Reader, key []byte, id mail.QueueID) error {
	stored, err := r.Get(entryKey(id))
	if err != nil && !isMissing(err) {
		return err
	}
	e, err := decodeEntry(id, stored)
	if err != nil {
		found.damaged = append(found.damaged, append([]byte(nil), key...))
		return nil
	}
	found.entries = append(found.entries, e)
	return nil
}

// setAside takes the due keys of damaged entries away, so that they block nothing. The entries stay
// for an operator to see.
func (d *dispatcher) setAside(shard int, keys [][]byte) {
	if len(keys) == 0 {
		return
	}
	_, err := d.q.kv.Update(d.jobs, shardPartition(shard), func(tx kv.Txn) error {
		for _, key := range keys {
			tx.Delete(key)
		}
		return nil
	})
	for _, key := range keys {
		_, id, _ := parseDueKey(key)
		d.q.log.Error("queue: an entry cannot be read and was set aside; see queue show", "qid", id, "err", err)
	}
}
