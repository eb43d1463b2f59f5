package queue

import (
	"time"

	"posthaste/mail"
)

// A destination is what tasks share a limit for.
type destination struct {
	key       string
	route     Route   // of its first task
	base      int     // upper bound of window that the route asks for, 0: the default
	window    float64 // deliveries that may run now
	pool      *pool
	finding   bool // its tasks seek their way
	busy      int
	stalled   int // of them, for so long that they no longer count as jobs
	large     int // of them, with mail that is not small
	waiting   int
	proven    bool // the last delivery reached the host
	doubted   bool // before we knew of it, a delivery there had failed
	slow      bool // deliveries take long
	failures  int  // suspensions in a row
	suspended time.Time
	last      *mail.Status // the answer that suspended it
	mean      float64      // seconds that a delivery takes
	used      time.Time
	moved     time.Time // when a delivery ended last, or began after none ran
	lanes     map[laneKey]*lane
	turns     line[*lane] // lanes with tasks
	ticket    uint64      // of its place in a ring, 0: it has none
	level     int8        // the priority of that place
	parked    time.Time   // it waits until then for a rate; zero: it does not
}

// A lane holds the tasks of one sender and kind, first in, first out.
type lane struct {
	laneKey
	tasks []*task
}

type laneKey struct {
	sender   string
	priority int8
	large    bool
}

// A pool is what shaping rules bind together: one destination, or all that a rule names.
type pool struct {
	shape
	meter     meter
	gate      gate // of concurrency, where shape.concurrency bounds several destinations
	together  bool
	slowed    time.Time // when meter.halved ends
	stepped   time.Time // when it was last halved
	suspended time.Time
	why       *mail.Status // of slowed and suspended
}

// maxHalved bounds how often replies halve a limit: to a sixteenth.
const maxHalved = 4

// slowStep is the time in which a destination is halved once: many deliveries hear the same at once.
const slowStep = time.Minute

// slowDown halves the limits of p until the reply ends.
func (p *pool) slowDown(y *Reply, why *mail.Status, now time.Time) {
	p.slowed, p.why = now.Add(y.lasts()), why
	if now.Sub(p.stepped) >= slowStep && p.meter.halved < maxHalved {
		p.meter.halved++
		p.stepped = now
	}
	p.narrow()
}

// narrow fits the gate to how often replies have halved it.
func (p *pool) narrow() { p.gate.max = int64(max(1, p.concurrency>>p.meter.halved)) }

// recover ends what replies brought, when its time is over.
func (p *pool) recover(now time.Time) {
	if p.meter.halved > 0 && !now.Before(p.slowed) {
		p.meter.halved = 0
		p.narrow()
	}
}

// limit returns how many deliveries may run at d at most.
func (d *destination) limit(l Limits) int {
	n := d.base
	if n <= 0 {
		n = l.Destination
	}
	if c := d.pool.concurrency; c > 0 {
		n = c
		if d.base > 0 {
			n = min(n, d.base)
		}
	}
	return max(1, n>>d.pool.meter.halved)
}

// full tells whether no more deliveries may run at d until one ends: its window is full, or those that
// run hang.
func (d *destination) full(l Limits, now time.Time) bool {
	if d.stalled > 0 && now.Sub(d.moved) >= stallAfter {
		return true
	}
	return d.busy > 0 && float64(d.busy) >= min(max(1, d.window), float64(d.limit(l)))
}

// largeFull tells whether a quarter of the window remains only for small mail.
func (d *destination) largeFull(l Limits) bool {
	window := int(min(max(1, d.window), float64(d.limit(l))))
	return d.large > 0 && d.large >= window-window/smallShare
}

// A side is what kind of host a destination is; each has its ring and its part of the jobs.
type side int

const (
	unknownSide side = iota // not proven yet
	goodSide                // answers well and soon
	badSide                 // fails, takes long, or failed before a restart
	sides
)

func (d *destination) side() side {
	switch {
	case d.slow || d.failures > 0:
		return badSide
	case d.proven:
		return goodSide
	case d.doubted:
		return badSide
	default:
		return unknownSide
	}
}

// until returns when d, and with it its pool, is suspended to, or zero; and the answer of it.
func (d *destination) until(now time.Time) (time.Time, *mail.Status) {
	switch {
	case now.Before(d.pool.suspended):
		return d.pool.suspended, d.pool.why
	case now.Before(d.suspended):
		return d.suspended, d.last
	default:
		return time.Time{}, nil
	}
}

// backlog estimates how long a task that comes now would wait.
func (d *destination) backlog() time.Duration {
	return time.Duration(float64(d.waiting) * d.mean / max(1, d.window) * float64(time.Second))
}

func (d *destination) push(t *task) {
	key := laneKey{t.sender, t.priority, t.large}
	l := d.lanes[key]
	if l == nil {
		l = &lane{laneKey: key}
		d.lanes[key] = l
		d.turns.push(key.priority, l)
	}
	l.tasks = append(l.tasks, t)
	d.waiting++
}

// take removes the first task of l, which pick took from d.turns.
func (d *destination) take(l *lane) *task {
	t := l.tasks[0]
	l.tasks[0] = nil
	l.tasks = l.tasks[1:]
	d.waiting--
	if len(l.tasks) > 0 {
		d.turns.push(l.priority, l)
	} else {
		delete(d.lanes, l.laneKey)
	}
	return t
}

// drain takes all tasks out.
func (d *destination) drain() []*task {
	var back []*task
	for d.waiting > 0 {
		l, _ := d.turns.pick(func(*lane) bool { return true })
		back = append(back, d.take(l))
	}
	return back
}
