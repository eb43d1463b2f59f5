package queue

import (
	"fmt"
	"time"

	"posthaste/mail"
)

// An outcome is what a delivery tells of its destination.
type outcome struct {
	failed bool         // it speaks of the host, not of a recipient
	answer *mail.Status // when failed, or with reply
	reply  *Reply       // what a shaping rule asks for, or nil
}

// done takes back t with what became of it. It returns the tasks that waited where nothing may start
// for a while now.
func (s *scheduler) done(t *task, o outcome, now time.Time) []*task {
	d := t.to
	s.release(t)
	d.used, d.moved = now, now
	d.mean += (now.Sub(t.started).Seconds() - d.mean) / 8
	var back []*task
	s.reside(d, func() {
		d.slow = d.mean > slowAfter.Seconds()
		switch {
		case o.reply != nil && (o.reply.Action == Slow || o.reply.Action == Suspend):
			back = s.shape(d, o, now)
		case o.failed:
			back = s.failure(d, o.answer, now)
		default:
			d.window = max(d.window, 1) + 1/max(d.window, 1)
			if !d.proven && d.failures == 0 {
				d.window = max(d.window, startWindow)
			}
			d.window = min(d.window, float64(d.limit(s.limits)))
			d.failures, d.proven, d.suspended = 0, true, time.Time{}
		}
	})
	s.enqueue(d)
	return back
}

// shape does what a rule says of an answer. The host lives: it is neither suspended for failing nor
// does its window grow.
func (s *scheduler) shape(d *destination, o outcome, now time.Time) []*task {
	d.proven = true
	why := &mail.Status{
		Code: 451, Enhanced: "4.3.2",
		Text: fmt.Sprintf("%s; the answer was: %s", o.reply.reason(), o.answer), Peer: o.answer.Peer,
	}
	if o.reply.Action == Slow {
		d.pool.slowDown(o.reply, why, now)
		d.window = max(1, min(d.window, float64(d.limit(s.limits))))
		return nil
	}
	d.pool.suspended, d.pool.why = now.Add(o.reply.lasts()), why
	var back []*task
	for _, other := range s.destinations {
		if other.pool == d.pool {
			back = append(back, s.drain(other)...)
		}
	}
	return back
}

// reside does fn, which may change the side of d.
func (s *scheduler) reside(d *destination, fn func()) {
	before := d.side()
	fn()
	after := d.side()
	if after == before {
		return
	}
	s.out[before] -= d.busy - d.stalled
	s.out[after] += d.busy - d.stalled
	d.ticket = 0
	s.enqueue(d)
}

// cancel takes back t, which next returned and which did not run.
func (s *scheduler) cancel(t *task) {
	s.release(t)
	for m := range t.meters {
		m.refund(m.rate.cost(len(t.recipients)))
	}
	s.enqueue(t.to)
}

func (s *scheduler) failure(d *destination, answer *mail.Status, now time.Time) []*task {
	d.window--
	d.proven = false
	if d.window >= 1 {
		return nil
	}
	d.window = 0
	if now.Before(d.suspended) {
		return nil // another of the same moment has suspended it
	}
	d.failures++
	d.last = answer
	pause := s.policy.wait(d.failures, 0.5)
	if d.finding {
		pause = min(pause, maxRoutePause)
	}
	d.suspended = now.Add(pause)
	return s.drain(d)
}

func (s *scheduler) drain(d *destination) []*task {
	back := d.drain()
	for _, t := range back {
		s.pulled(t)
	}
	return back
}

// sweep forgets what was idle for long, and marks the destinations where deliveries hang.
func (s *scheduler) sweep(now time.Time) {
	for key, d := range s.destinations {
		if d.busy > 0 && !d.slow && now.Sub(d.moved) > slowAfter {
			s.reside(d, func() { d.slow = true })
		}
		if until, _ := d.until(now); d.busy == 0 && d.waiting == 0 && now.Sub(d.used) > forgetAfter && until.IsZero() {
			d.ticket, d.parked = 0, time.Time{}
			delete(s.destinations, key)
		}
	}
	for sender, a := range s.senders {
		if a.tasks == 0 && now.Sub(a.used) > forgetAfter && !a.meter.full.After(now) {
			delete(s.senders, sender)
		}
	}
	s.sweepPools(now)
}

// sweepPools forgets the pools of destinations that were all forgotten.
func (s *scheduler) sweepPools(now time.Time) {
	used := map[*pool]bool{}
	for _, d := range s.destinations {
		used[d.pool] = true
	}
	for key, p := range s.pools {
		if !used[p] && !p.suspended.After(now) && !p.slowed.After(now) && !p.meter.full.After(now) {
			delete(s.pools, key)
		}
	}
}
