package queue

import (
	"container/list"
	"time"
)

// jobGatesOf yields the gates that t passes as one job, but that of its pool.
func (s *scheduler) jobGatesOf(t *task) func(yield func(*gate) bool) {
	return func(yield func(*gate) bool) {
		_ = yield(&t.account.gate) && t.large && yield(&s.large)
	}
}

// contentGateOf returns the gate that t passes with its content, or nil.
func (s *scheduler) contentGateOf(t *task) *gate {
	switch {
	case t.finding():
		return nil
	case t.large:
		return &s.largeBytes
	default:
		return &s.smallBytes
	}
}

// gatesOf yields all these gates, with the weight of t there.
func (s *scheduler) gatesOf(t *task) func(yield func(*gate, int64) bool) {
	return func(yield func(*gate, int64) bool) {
		for g := range s.jobGatesOf(t) {
			if !yield(g, 1) {
				return
			}
		}
		if g := s.contentGateOf(t); g != nil {
			yield(g, t.size)
		}
	}
}

// begin counts t as running.
func (s *scheduler) begin(t *task, now time.Time) {
	d := t.to
	for m := range t.meters {
		m.take(now, m.rate.cost(len(t.recipients)))
	}
	if d.pool.together {
		d.pool.gate.enter(1)
	}
	for g, weight := range s.gatesOf(t) {
		g.enter(weight)
	}
	if d.busy == 0 {
		d.moved = now
	}
	d.busy++
	s.busy++
	t.trials = &s.running[0]
	if d.proven {
		t.trials = &s.running[1]
	}
	t.running, t.stalled, t.started = t.trials.tasks.PushBack(t), false, now
	t.account.tasks++
	if t.large {
		d.large++
	}
	s.out[d.side()]++
}

// release is the reverse of begin, but for the rates.
func (s *scheduler) release(t *task) {
	d := t.to
	var opened []*destination
	if d.pool.together {
		opened = append(opened, d.pool.gate.leave(1)...)
	}
	if g := s.contentGateOf(t); g != nil {
		opened = append(opened, g.leave(t.size)...)
	}
	if t.stalled {
		d.stalled--
		s.stalled--
	} else {
		s.leaveJob(t)
	}
	d.busy--
	t.account.tasks--
	if t.large {
		d.large--
	}
	for _, other := range opened {
		s.enqueue(other)
	}
}

func (s *scheduler) mayStall() bool { return s.stalled < stallShare*s.limits.Jobs }

// stall takes the deliveries that have run for long out of the count of jobs.
func (s *scheduler) stall(now time.Time) {
	for i := range s.running {
		for at := s.running[i].first(); s.mayStall() && !at.IsZero() && !now.Before(at); at = s.running[i].first() {
			t := s.running[i].tasks.Front().Value.(*task)
			s.leaveJob(t)
			t.stalled = true
			t.to.stalled++
			s.stalled++
		}
	}
}

// trials are deliveries that count as jobs, the longest running first, for a time.
type trials struct {
	tasks *list.List
	last  time.Duration
}

func newTrials(last time.Duration) trials { return trials{list.New(), last} }

// first returns when the first of them stalls, or zero.
func (r *trials) first() time.Time {
	front := r.tasks.Front()
	if front == nil {
		return time.Time{}
	}
	return front.Value.(*task).started.Add(r.last)
}

// leaveJob ends the time in which t counts as a job.
func (s *scheduler) leaveJob(t *task) {
	t.trials.tasks.Remove(t.running)
	t.running = nil
	s.busy--
	s.out[t.to.side()]--
	for g := range s.jobGatesOf(t) {
		for _, other := range g.leave(1) {
			s.enqueue(other)
		}
	}
}
