package queue

import (
	"context"
	"errors"
	"time"

	"posthaste/kv"
)

// Due times and ages are of the wall clock, which people and restarts share; all pauses of the running
// scheduler are of the monotonic one. Where the wall clock jumps, they part:
//
//   - Forwards, as after a machine slept, all mail is due at once, which the limits bound, and much
//     may look too old. So nothing expires for a while, as after a start: first it is tried.
//   - Backwards, due times lie too far away. They are brought back, also at a start: a wrong clock
//     must not put mail off for years.

// minJump is the least difference between the clocks that counts as a jump.
const minJump = time.Minute

// A watch compares the clocks.
type watch struct {
	clock      func() time.Time
	wall, mono time.Time
}

func newWatch(clock func() time.Time) *watch {
	return &watch{clock: clock, wall: clock().Round(0), mono: time.Now()}
}

// jump returns by how much the wall clock has jumped since the last call.
func (w *watch) jump() time.Duration {
	wall, mono := w.clock().Round(0), time.Now()
	jump := wall.Sub(w.wall) - mono.Sub(w.mono)
	w.wall, w.mono = wall, mono
	return jump
}

// jumped does what a jump of the wall clock asks for.
func (d *dispatcher) jumped(by time.Duration) {
	if by.Abs() < minJump {
		return
	}
	d.q.log.Warn("queue: the clock jumped", "by", by)
	d.bePatient()
	if by > 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.shards {
		s := &d.shards[i]
		s.mend, d.mending = true, true
		if !s.next.IsZero() {
			s.next = s.next.Add(by) // it was due by the clock of before
		}
	}
}

// bePatient lets nothing expire until it could be tried twice.
func (d *dispatcher) bePatient() {
	p := d.q.policy()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.patient = time.Now().Add(min(2*p.longest(), p.Expire/2))
}

func (d *dispatcher) isPatient() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Now().Before(d.patient)
}

// mendBatch is how many due times are brought back in one commit.
const mendBatch = 200

// mend brings back due times that are further away than the policy puts them.
func (d *dispatcher) mend(ctx context.Context) {
	d.mu.Lock()
	wanted := d.mending
	d.mending = false
	d.mu.Unlock()
	if !wanted {
		return
	}
	for i := range d.shards {
		s := &d.shards[i]
		d.mu.Lock()
		wanted := s.held && s.mend
		s.mend = s.mend && !wanted
		d.mu.Unlock()
		if !wanted {
			continue
		}
		if err := d.mendShard(ctx, s); err != nil && ctx.Err() == nil {
			d.q.log.Error("queue: cannot check the due times of a shard", "shard", i, "err", err)
		}
	}
}

func (d *dispatcher) mendShard(ctx context.Context, s *shard) error {
	p, now := d.q.policy(), d.q.clock()
	last := now.Add(p.longest() + minJump)
	for from := dueKey(last.UnixMilli(), ""); from != nil; {
		found, err := d.q.farDue(ctx, s.number, from, last)
		if err != nil {
			return err
		}
		if from = nil; len(found) == mendBatch {
			from = append(found[len(found)-1].key, 0)
		}
		if err := d.bringBack(ctx, s, found, last, now.Add(p.First)); err != nil {
			return err
		}
	}
	return nil
}

// A far is an entry that is due far away.
type far struct {
	key []byte
	*Entry
}

// farDue reads entries that are due after from, at a time that nothing but a wrong clock gave them.
func (q *Queue) farDue(ctx context.Context, shard int, from []byte, last time.Time) (found []far, err error) {
	err = q.kv.View(ctx, shardPartition(shard), func(r kv.Reader) error {
		found = nil
		keys, errf := r.Scan(from, []byte("e"), false)
		for key := range keys {
			_, id, _ := parseDueKey(key)
			stored, err := r.Get(entryKey(id))
			if err != nil && !isMissing(err) {
				return err
			}
			if e, err := decodeEntry(id, stored); err == nil && e.bringBack(last, last) {
				if found = append(found, far{append([]byte(nil), key...), e}); len(found) == mendBatch {
					break
				}
			}
		}
		return errf()
	})
	return found, err
}

// bringBack makes due at the given time what is due after last and not held until then by its sender.
func (e *Entry) bringBack(last, at time.Time) (changed bool) {
	for i := range e.Recipients {
		r := &e.Recipients[i]
		if r.State.schedulable() && r.Next.After(last) && r.Next.After(e.Envelope.HoldUntil) {
			r.Next, changed = at, true
		}
	}
	return changed
}

func (d *dispatcher) bringBack(ctx context.Context, s *shard, found []far, last, at time.Time) error {
	if len(found) == 0 {
		return nil
	}
	_, err := d.q.kv.Update(ctx, shardPartition(s.number), func(tx kv.Txn) error {
		if err := checkLease(tx, s.epoch); err != nil {
			return err
		}
		tx.Quiet()
		for _, f := range found {
			t, err := touch(tx, f.ID)
			if err != nil {
				return err
			}
			if t.entry != nil && t.entry.bringBack(last, at) {
				t.entry.store(tx, t.before)
			}
		}
		return nil
	})
	if errors.Is(err, errLeaseLost) {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s.dueAt(at)
	return err
}
