package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"posthaste/kv"
)

// A lease says which node schedules a shard. It lies in the shard, so that every commit of the
// scheduler checks it: who lost it without noticing cannot harm. Putting mail needs no lease.
//
// The holder raises beat in a third of the lease time, and stops by its own monotonic clock when it
// could not for two thirds. Another node takes over once it has seen (epoch, beat) unchanged for the
// whole time by its own clock. No two clocks are compared.
type lease struct {
	epoch  uint64 // raised by each taking
	beat   uint64 // raised by each keeping
	holder string // empty when it was given back
}

// leaseWorkers bounds how many leases are written at the same time.
const leaseWorkers = 16

// leaseRetry is how soon leases are asked for again that nobody else can have: the disk is full.
const leaseRetry = 15 * time.Second

// leaseTries is how many times a holder that failed to keep its leases can try again before it has to
// stop, when it fails at once.
const leaseTries = 5

// A seen is what a node saw of another's lease, and when it first did.
type seen struct {
	epoch, beat uint64
	since       time.Time
	kept        time.Time // of a lease of ours: when it was last kept
}

// keepLeases takes the leases of all shards that it can have and keeps them until ctx ends.
func (d *dispatcher) keepLeases(ctx context.Context) {
	var views [Shards]seen
	for {
		var g errgroup.Group
		g.SetLimit(leaseWorkers)
		for i := range d.shards {
			g.Go(func() error { return d.tendLease(ctx, &d.shards[i], &views[i]) })
		}
		err := g.Wait()
		pause := d.q.lease / 3
		if err != nil && ctx.Err() == nil {
			d.q.log.Error("queue: cannot tend the leases of its shards", "err", err)
			pause /= leaseTries
		}
		if d.q.lease == 0 {
			if d.holdsAll() {
				return // nobody else can take them
			}
			pause = leaseRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (d *dispatcher) holdsAll() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.shards {
		if !d.shards[i].held {
			return false
		}
	}
	return true
}

// tendLease keeps the lease of s, or takes it where it is free.
func (d *dispatcher) tendLease(ctx context.Context, s *shard, view *seen) error {
	d.mu.Lock()
	held, epoch := s.held, s.epoch
	d.mu.Unlock()
	began := time.Now()
	if held && time.Since(view.kept) > 2*d.q.lease/3 {
		d.drop(s, "it could not keep the lease in time")
		return nil // somebody may be about to take over
	}
	var got lease
	taken := false
	_, err := d.q.kv.Update(ctx, shardPartition(s.number), func(tx kv.Txn) error {
		l, err := readLease(tx)
		if err != nil {
			return err
		}
		got, taken = l, false
		switch {
		case held && l.epoch == epoch:
			l.beat++
		case held:
			return errLeaseLost
		case d.q.lease == 0 || l.holder == "" || l.holder == d.holder() || view.stale(l, began, d.q.lease):
			// A lease in our name is that of our last run, or one that we stopped using in time.
			l = lease{epoch: l.epoch + 1, holder: d.holder()}
		default:
			return nil
		}
		tx.Quiet()
		tx.Put(leaseKey, l.encode())
		got, taken = l, true
		return nil
	})
	switch {
	case errors.Is(err, errLeaseLost):
		d.drop(s, otherTook)
	case err != nil:
		return fmt.Errorf("shard %d: %w", s.number, err)
	case taken:
		view.kept = began
		d.hold(s, got.epoch)
	case got.epoch != view.epoch || got.beat != view.beat || view.since.IsZero():
		*view = seen{epoch: got.epoch, beat: got.beat, since: began}
	}
	return nil
}

// stale tells whether l has not changed for the whole time.
func (v *seen) stale(l lease, now time.Time, whole time.Duration) bool {
	return !v.since.IsZero() && v.epoch == l.epoch && v.beat == l.beat && now.Sub(v.since) >= whole
}

func (d *dispatcher) holder() string { return fmt.Sprintf("%s/%d", d.q.host, d.q.node) }

// hold starts to schedule s, whose lease is ours.
func (d *dispatcher) hold(s *shard, epoch uint64) {
	d.mu.Lock()
	known := s.held
	if !known {
		s.held, s.epoch = true, epoch
		s.next = d.q.clock()
		s.mend, d.mending = true, true
		for _, e := range s.early {
			d.take(s, e)
		}
		s.early = nil
		d.startNow()
		d.poke()
	}
	d.mu.Unlock()
	if !known && d.q.lease != 0 { // others may put mail there
		s.stopWatching()
		s.unwatch = d.q.kv.Watch(shardPartition(s.number), func(kv.Version) { d.look(s) })
	}
}

// lookPause gathers the commits of others to a shard before it is read.
const lookPause = 50 * time.Millisecond

// look makes the loop read s soon.
func (d *dispatcher) look(s *shard) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.held && s.dueAt(d.q.clock().Add(lookPause)) {
		d.poke()
	}
}

// otherTook is why drop is called when the lease names another epoch.
const otherTook = "another node took it over"

// drop stops scheduling s: its lease is lost. Deliveries that run end unrecorded.
func (d *dispatcher) drop(s *shard, why string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !s.held {
		return
	}
	s.held = false
	for id, r := range d.records {
		if shardOf(id) == s.number {
			d.discard(r, true)
		}
	}
	d.q.log.Warn("queue: stopped scheduling a shard", "shard", s.number, "reason", why)
}

// releaseLeases gives the leases back, so that another node need not wait. Where no other node is,
// there is nothing to give.
func (d *dispatcher) releaseLeases() {
	if d.q.lease == 0 {
		return
	}
	var g errgroup.Group
	g.SetLimit(leaseWorkers)
	for i := range d.shards {
		g.Go(func() error { return d.releaseLease(&d.shards[i]) })
	}
	if err := g.Wait(); err != nil {
		d.q.log.Warn("queue: cannot give a lease back; it will run out", "err", err)
	}
}

func (d *dispatcher) releaseLease(s *shard) error {
	d.mu.Lock()
	held, epoch := s.held, s.epoch
	s.held = false
	d.mu.Unlock()
	s.stopWatching()
	if !held {
		return nil
	}
	_, err := d.q.kv.Update(context.WithoutCancel(d.jobs), shardPartition(s.number), func(tx kv.Txn) error {
		if err := checkLease(tx, epoch); err != nil {
			return err
		}
		tx.Quiet()
		tx.Put(leaseKey, lease{epoch: epoch}.encode())
		return nil
	})
	return err
}

func (s *shard) stopWatching() {
	if s.unwatch != nil {
		s.unwatch()
		s.unwatch = nil
	}
}

func checkLease(r kv.Reader, epoch uint64) error {
	l, err := readLease(r)
	if err == nil && l.epoch != epoch {
		err = errLeaseLost
	}
	return err
}

func readLease(r kv.Reader) (lease, error) {
	v, err := r.Get(leaseKey)
	if isMissing(err) {
		return lease{}, nil
	}
	if err != nil {
		return lease{}, err
	}
	in := reader{rest: string(v)}
	l := lease{epoch: in.number(), beat: in.number(), holder: in.text()}
	if in.bad {
		return lease{}, fmt.Errorf("%w: the lease of the shard", kv.ErrCorrupt)
	}
	return l, nil
}

func (l lease) encode() []byte {
	var w writer
	w.number(l.epoch)
	w.number(l.beat)
	w.text(l.holder)
	return w
}
