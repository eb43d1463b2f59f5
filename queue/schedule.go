package queue

import (
	"time"

	"posthaste/mail"
)

// A scheduler decides which delivery starts next. It is a plain value: it does no I/O, takes no lock,
// and knows the time only as an argument, so that a table or a simulation tests it.
//
// Tasks wait at their destination, in one lane per sender. Destinations take turns, and so do the
// senders of each: a newsletter to 100,000 subscribers delays nobody's letter.
//
// How many deliveries run at one destination follows what it answers, as in Postfix: from
// startWindow each success adds 1/window and each failure of the host takes 1 off. Below 1 the
// destination is suspended for a while that doubles with each suspension; what waits there, or comes
// meanwhile, goes back with the last answer until the end of it, and the first probe then decides.
type scheduler struct {
	limits       Limits
	policy       Policy
	destinations map[string]*destination
	ready        [2]ring // destinations with waiting tasks: unproven, proven
	busy         int     // tasks out
	unproven     int     // tasks out at destinations that have not answered well
	turn         int     // which ring has the next turn
}

const (
	// startWindow is how many deliveries start at a destination that we know nothing of.
	startWindow = 5
	// forgetAfter is how long an idle destination is remembered.
	forgetAfter = time.Hour
	// maxBacklog is how long tasks may have to wait at a destination that fills half of the window:
	// a fast smarthost may fill it all, a slow host must leave room for the others.
	maxBacklog = time.Minute
)

// A task is some recipients of one entry that go the same way at the same time.
type task struct {
	record     *record
	recipients []int // indexes into the entry's
	route      Route // zero while the way is sought
	sender     string
	urgent     bool // an operator wants it now: a suspension does not hold it
	to         *destination
	started    time.Time
}

// A destination is what tasks share a limit for.
type destination struct {
	key       string
	limit     int     // upper bound of window
	window    float64 // deliveries that may run now
	busy      int
	waiting   int
	proven    bool // the last delivery reached the host
	failures  int  // suspensions in a row
	suspended time.Time
	last      *mail.Status // the answer that suspended it
	mean      float64      // seconds that a delivery takes
	used      time.Time
	lanes     map[string]*lane
	turns     []*lane // lanes with tasks, in order of their turn
	queued    bool    // it is in a ring
}

type lane struct {
	sender string
	tasks  []*task
}

func newScheduler(l Limits, p Policy) *scheduler {
	return &scheduler{limits: l, policy: p, destinations: map[string]*destination{}}
}

// add takes t to wait at the destination key, at which limit deliveries may run (0: the default).
// When t cannot wait there now, add returns the answer with which it is to be deferred.
func (s *scheduler) add(t *task, key string, limit int, now time.Time) *mail.Status {
	d := s.destinations[key]
	if d == nil {
		if limit <= 0 {
			limit = s.limits.Destination
		}
		d = &destination{key: key, limit: limit, window: float64(min(startWindow, limit)), lanes: map[string]*lane{}}
		s.destinations[key] = d
	}
	d.used = now
	if t.urgent {
		d.suspended = time.Time{}
	}
	if now.Before(d.suspended) {
		return d.last
	}
	if d.waiting >= s.limits.Window/2 && d.backlog() > maxBacklog {
		return mail.NewStatus(451, "4.3.2", "too much mail waits for this slow destination")
	}
	t.to = d
	d.push(t)
	s.enqueue(d)
	return nil
}

// next returns the task to start at once, or nil when none may start before something ends.
func (s *scheduler) next(now time.Time) *task {
	for range 2 {
		s.turn = 1 - s.turn
		if t := s.nextOf(s.turn); t != nil {
			t.started = now
			return t
		}
	}
	return nil
}

// nextOf takes a task from a ring. Destinations that have not answered well may use only half of
// the jobs: a hundred dead hosts must not stop the living.
func (s *scheduler) nextOf(kind int) *task {
	if s.busy >= s.limits.Jobs || kind == 0 && s.unproven >= (s.limits.Jobs+1)/2 {
		return nil
	}
	for {
		d := s.ready[kind].pop()
		if d == nil {
			return nil
		}
		d.queued = false
		if d.waiting == 0 || float64(d.busy) >= max(1, d.window) && d.busy > 0 {
			continue // done puts it back
		}
		t := d.pop()
		d.busy++
		s.busy++
		if kind == 0 {
			s.unproven++
		}
		s.enqueue(d)
		return t
	}
}

// done takes back t with what became of it: whether it spoke of the host and not of a recipient that
// it failed. It returns the tasks that waited for a destination which is suspended now.
func (s *scheduler) done(t *task, answer *mail.Status, failed bool, now time.Time) []*task {
	d := t.to
	wasProven := d.proven
	s.release(d)
	d.used = now
	d.mean += (now.Sub(t.started).Seconds() - d.mean) / 8
	var back []*task
	if failed {
		back = s.failure(d, answer, now)
	} else {
		d.failures, d.proven, d.suspended = 0, true, time.Time{}
		d.window = min(max(d.window, 1)+1/max(d.window, 1), float64(d.limit))
	}
	if d.proven != wasProven { // its other tasks out change sides
		if d.proven {
			s.unproven -= d.busy
		} else {
			s.unproven += d.busy
		}
		s.ready[side(wasProven)].remove(d)
	}
	s.enqueue(d)
	return back
}

// suspension returns until when the destination key is suspended, or zero.
func (s *scheduler) suspension(key string, now time.Time) time.Time {
	if d := s.destinations[key]; d != nil && now.Before(d.suspended) {
		return d.suspended
	}
	return time.Time{}
}

// cancel takes back t, which next returned and which did not run.
func (s *scheduler) cancel(t *task) {
	s.release(t.to)
	s.enqueue(t.to)
}

func (s *scheduler) release(d *destination) {
	d.busy--
	s.busy--
	if !d.proven {
		s.unproven--
	}
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
	d.suspended = now.Add(s.policy.wait(d.failures, 0.5))
	return d.drain()
}

// sweep forgets destinations that were idle for long.
func (s *scheduler) sweep(now time.Time) {
	for key, d := range s.destinations {
		if d.busy == 0 && d.waiting == 0 && now.Sub(d.used) > forgetAfter && !now.Before(d.suspended) {
			s.ready[side(d.proven)].remove(d)
			delete(s.destinations, key)
		}
	}
}

func (s *scheduler) enqueue(d *destination) {
	if d.queued || d.waiting == 0 {
		return
	}
	d.queued = true
	s.ready[side(d.proven)].push(d)
}

func side(proven bool) int {
	if proven {
		return 1
	}
	return 0
}

// backlog estimates how long a task that comes now would wait.
func (d *destination) backlog() time.Duration {
	return time.Duration(float64(d.waiting) * d.mean / max(1, d.window) * float64(time.Second))
}

func (d *destination) push(t *task) {
	l := d.lanes[t.sender]
	if l == nil {
		l = &lane{sender: t.sender}
		d.lanes[t.sender] = l
		d.turns = append(d.turns, l)
	}
	l.tasks = append(l.tasks, t)
	d.waiting++
}

func (d *destination) pop() *task {
	l := d.turns[0]
	d.turns = d.turns[1:]
	t := l.tasks[0]
	l.tasks[0] = nil
	l.tasks = l.tasks[1:]
	d.waiting--
	if len(l.tasks) > 0 {
		d.turns = append(d.turns, l)
	} else {
		delete(d.lanes, l.sender)
	}
	return t
}

func (d *destination) drain() []*task {
	var back []*task
	for d.waiting > 0 {
		back = append(back, d.pop())
	}
	return back
}

// A ring is a first-in first-out line of destinations.
type ring struct{ line []*destination }

func (r *ring) push(d *destination) { r.line = append(r.line, d) }

func (r *ring) pop() *destination {
	if len(r.line) == 0 {
		return nil
	}
	d := r.line[0]
	r.line[0] = nil
	r.line = r.line[1:]
	return d
}

func (r *ring) remove(d *destination) {
	for i, other := range r.line {
		if other == d {
			r.line = append(r.line[:i], r.line[i+1:]...)
			d.queued = false
			return
		}
	}
}
