package queue

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"posthaste/mail"
)

// A scheduler decides which delivery starts next. It is a plain value: it does no I/O, takes no lock,
// and knows the time only as an argument, so that a table or a simulation tests it.
//
// Tasks wait at their destination, in one lane per sender, priority and kind of size. Destinations
// take turns, and so do the lanes of each; priority gives three turns of four (see line). What bounds
// them all:
//
//   - The window of the destination follows what it answers, as in Postfix: one delivery tries a host
//     that we know nothing of; its success opens startWindow, from which each
//     success adds 1/window and each failure of the host takes 1 off. Below 1 the destination is
//     suspended for a while that doubles with each suspension; what waits there, or comes meanwhile,
//     goes back with the last answer until the end of it, and the first probe then decides.
//   - Destinations that have not answered yet share half of the jobs, those that fail or take long a
//     quarter: a hundred dead or slow hosts must not stop the others. After a restart nothing is known of
//     any; those where the mail that waits has failed before are then among the latter.
//   - A delivery that takes longer than stallAfter, or provesWithin at a host that has not answered yet,
//     waits for the host and costs no more than a connection. It is stalled then, and no longer counts as a job, be it of all, of its side or of its sender. So
//     hosts that take connections and say nothing stop nobody. As many may be stalled as stallShare
//     times the jobs.
//   - One sender has at most half of the jobs, at however many destinations.
//   - Mail that is not small leaves a quarter of the jobs and of each window to what is.
//   - The content of all running jobs fits Limits.ContentBytes.
//   - Rates of destinations, senders and source addresses. What would wait for them for longer than
//     maxBacklog goes back to the store, due when its turn comes.
type scheduler struct {
	limits       Limits
	policy       Policy
	shaping      *shaping
	destinations map[string]*destination
	pools        map[string]*pool // by key; only those of several destinations
	senders      map[string]*account
	sources      map[netip.Addr]*meter
	ready        [sides]line[place]
	parked       parking // destinations that wait for a rate
	tickets      uint64
	busy         int        // tasks out, but for those that are stalled
	running      [2]trials  // those tasks: at hosts that have not answered yet, and at others
	stalled      int        // tasks out that are stalled
	waiting      int        // tasks that wait
	out          [sides]int // tasks out at destinations of each side
	large        gate
	largeBytes   gate
	smallBytes   gate
	turn         int                // counts what was started
	shapes       map[shapeKey]shape // what shaping says, remembered
}

const (
	// startWindow is how many deliveries run at a destination once it has answered well.
	startWindow = 5
	// stallAfter is how long a delivery counts as a job, provesWithin how long it does at a host that
	// has not answered yet, and stallShare how many times the jobs may take longer.
	stallAfter   = 5 * time.Second
	provesWithin = 500 * time.Millisecond
	stallShare   = 4
	// forgetAfter is how long an idle destination is remembered.
	forgetAfter = time.Hour
	// maxBacklog is how long tasks may have to wait at a destination that fills half of the window:
	// a fast smarthost may fill it all, a slow host must leave room for the others.
	maxBacklog = time.Minute
	// slowBacklog is how many tasks may wait at a slow destination when memory is half full.
	slowBacklog = 2 * startWindow
	// slowAfter is how long a delivery takes at a slow destination.
	slowAfter = 10 * time.Second
	// maxRoutePause bounds the suspension of the search for ways to a domain: asking the DNS is cheap.
	maxRoutePause = 10 * time.Minute
	// smallShare: this part of jobs and windows is left to small mail.
	smallShare = 4
)

func newScheduler(l Limits, p Policy, sh *shaping) *scheduler {
	s := &scheduler{
		destinations: map[string]*destination{}, pools: map[string]*pool{},
		senders: map[string]*account{}, sources: map[netip.Addr]*meter{},
		running: [2]trials{newTrials(provesWithin), newTrials(stallAfter)},
	}
	s.set(l, p, sh)
	return s
}

func (s *scheduler) set(l Limits, p Policy, sh *shaping) {
	s.limits, s.policy, s.shaping, s.shapes = l, p, sh, map[shapeKey]shape{}
	s.large.max = int64(max(1, l.Jobs-l.Jobs/smallShare))
	s.smallBytes.max = min(l.ContentBytes/2, int64(l.Jobs)*l.Small)
	s.largeBytes.max = l.ContentBytes - s.smallBytes.max
}

// senderJobs is how many of the jobs one sender may have.
func (s *scheduler) senderJobs() int64 { return int64(s.limits.Jobs+1) / 2 }

// add takes t to wait at the destination key. When t cannot wait there now, add returns why.
func (s *scheduler) add(t *task, key string, now time.Time) *refusal {
	d := s.destination(t, key)
	d.used = now
	d.pool.recover(now)
	if t.urgent {
		d.suspended, d.pool.suspended = time.Time{}, time.Time{}
	}
	if until, why := d.until(now); why != nil {
		return &refusal{why, until}
	}
	s.bind(t, d, now)
	if r := s.refuse(t, d, now); r != nil {
		return r
	}
	s.push(t, d)
	s.enqueue(d)
	return nil
}

// destination returns that of key, as the shaping rules divide it.
func (s *scheduler) destination(t *task, key string) *destination {
	var sh shape
	if !t.finding() {
		if sh = s.shapeOf(t.route); sh.own != "" {
			key += "\x00" + sh.own
		}
	}
	d := s.destinations[key]
	if d == nil {
		d = &destination{key: key, route: t.route, base: t.limit, finding: t.finding(), doubted: t.doubted(), lanes: map[laneKey]*lane{}, pool: s.poolOf(sh)}
		d.window = 1
		s.destinations[key] = d
	}
	return d
}

func (s *scheduler) poolOf(sh shape) *pool {
	p := &pool{shape: sh, meter: meter{rate: sh.rate}}
	if sh.key == "" {
		return p
	}
	if known := s.pools[sh.key]; known != nil {
		return known
	}
	p.together = sh.concurrency > 0
	p.gate.max = int64(sh.concurrency)
	s.pools[sh.key] = p
	return p
}

// bind tells t whose limits it is under.
func (s *scheduler) bind(t *task, d *destination, now time.Time) {
	t.to = d
	t.large = !t.finding() && t.size > s.limits.Small
	t.account = s.senders[t.sender]
	if t.account == nil {
		t.account = &account{from: t.from, gate: gate{max: s.senderJobs()}, meter: meter{rate: s.shaping.sender(t.from)}}
		s.senders[t.sender] = t.account
	}
	t.account.used = now
	t.source = nil
	if t.route.Source.IsValid() {
		if t.source = s.sources[t.route.Source]; t.source == nil {
			t.source = &meter{}
			s.sources[t.route.Source] = t.source
		}
		t.source.rate = s.warmup(t.route.Source, now)
	}
}

func (s *scheduler) warmup(source netip.Addr, now time.Time) Rate {
	for i := range s.shaping.Warmups {
		if w := &s.shaping.Warmups[i]; w.Source == source {
			return w.rate(now)
		}
	}
	return Rate{}
}

// meters yields the rates that t is under, and what to call them.
func (t *task) meters(yield func(*meter, string) bool) {
	if t.finding() || !yield(&t.to.pool.meter, "this destination") || !yield(&t.account.meter, "this sender") {
		return
	}
	if t.source != nil {
		yield(t.source, "our new address "+t.route.Source.String())
	}
}

// refuse tells whether t cannot wait in memory, for a rate or for a slow host.
func (s *scheduler) refuse(t *task, d *destination, now time.Time) *refusal {
	if t.urgent {
		return nil
	}
	for m, name := range t.meters {
		if !m.unlimited() && m.delay(now) > m.patience() {
			until := m.postpone(now, m.rate.cost(len(t.recipients)), s.policy.Max)
			limit, _ := m.rate.MarshalText()
			return &refusal{mail.NewStatus(451, "4.3.2", "the limit of %s for %s is used up for now", limit, name), until}
		}
	}
	room := s.limits.Window / 2
	if s.waiting >= room {
		room = max(slowBacklog, int(2*d.window))
	}
	if b := d.backlog(); d.waiting >= room && b > maxBacklog {
		return &refusal{mail.NewStatus(451, "4.3.2", "too much mail waits for this slow destination"), now.Add(min(b, s.policy.Max))}
	}
	return nil
}

func (s *scheduler) push(t *task, d *destination) {
	d.push(t)
	s.waiting++
	t.account.tasks++
	for m := range t.meters {
		m.waiting += m.rate.cost(len(t.recipients))
	}
}

// pulled is the reverse of push, for a task that was taken from its lane.
func (s *scheduler) pulled(t *task) {
	s.waiting--
	t.account.tasks--
	for m := range t.meters {
		m.waiting -= m.rate.cost(len(t.recipients))
	}
}

// next returns the task to start at once, or nil when none may start before something ends or the
// time of wakeAt comes.
func (s *scheduler) next(now time.Time) *task {
	s.stall(now)
	for _, d := range s.parked.due(now) {
		s.enqueue(d)
	}
	for _, side := range s.turns() {
		if t := s.nextOf(side, now); t != nil {
			s.turn++
			t.started = now
			return t
		}
	}
	return nil
}

// turns returns the sides in the order in which they are asked now: in turn, but of four turns two go
// by priority, where that differs.
func (s *scheduler) turns() [sides]side {
	var order [sides]side
	for i := range order {
		order[i] = (side(s.turn/2) + side(i)) % sides
	}
	if s.turn%lowTurn < lowTurn/2 {
		slices.SortStableFunc(order[:], func(a, b side) int { return cmp.Compare(s.ready[b].top(), s.ready[a].top()) })
	}
	return order
}

// jobs returns how many of the jobs destinations of a side may have.
func (s *scheduler) jobs(of side) int {
	switch of {
	case goodSide:
		return s.limits.Jobs
	case unknownSide:
		return (s.limits.Jobs + 1) / 2
	default:
		return (s.limits.Jobs + 3) / 4
	}
}

// wakeAt returns when something may start that waits for a rate or for the job of a delivery that
// stalls, or zero.
func (s *scheduler) wakeAt() time.Time {
	at := s.parked.first()
	if s.waiting == 0 || !s.mayStall() {
		return at
	}
	for i := range s.running {
		if stalls := s.running[i].first(); !stalls.IsZero() && (at.IsZero() || stalls.Before(at)) {
			at = stalls
		}
	}
	return at
}

// nextOf takes a task from a ring.
func (s *scheduler) nextOf(side side, now time.Time) *task {
	for s.busy < s.limits.Jobs && s.out[side] < s.jobs(side) {
		place, ok := s.ready[side].pick(func(place) bool { return true })
		if !ok {
			return nil
		}
		d := place.to
		if d.ticket != place.ticket {
			continue // it has another place by now, or none
		}
		d.ticket = 0
		if t := s.nextAt(d, now); t != nil {
			s.ready[side].picked()
			s.enqueue(d)
			return t
		}
	}
	return nil
}

// nextAt takes a task from d. When none may start, d is put where that may change: at a gate, or to
// wait for a rate. Else something runs at d, and its end brings d back.
func (s *scheduler) nextAt(d *destination, now time.Time) *task {
	d.pool.recover(now)
	if d.waiting == 0 || d.full(s.limits, now) {
		return nil
	}
	if d.pool.together && !d.pool.gate.admits(1) {
		d.pool.gate.wait(d)
		return nil
	}
	var again time.Time
	l, ok := d.turns.pick(func(l *lane) bool {
		at, fits := s.startable(l.tasks[0], d, now)
		if !at.IsZero() && (again.IsZero() || at.Before(again)) {
			again = at
		}
		return fits
	})
	if !ok {
		if !again.IsZero() {
			d.parked = again
			s.parked.add(d)
		}
		return nil
	}
	d.turns.picked()
	t := d.take(l)
	s.pulled(t)
	s.begin(t, now)
	return t
}

// startable tells whether t may start now, or else at which time its rates allow it.
func (s *scheduler) startable(t *task, d *destination, now time.Time) (at time.Time, fits bool) {
	for m := range t.meters {
		if free := m.at(now, m.rate.cost(len(t.recipients))); free.After(now) && free.After(at) {
			at = free
		}
	}
	if !at.IsZero() || t.large && d.largeFull(s.limits) {
		return at, false
	}
	for g, weight := range s.gatesOf(t) {
		if !g.admits(weight) {
			g.wait(d)
			return at, false
		}
	}
	return at, true
}

// enqueue gives d a place in its ring, or a better one when something of higher priority waits.
func (s *scheduler) enqueue(d *destination) {
	if d.waiting == 0 {
		return
	}
	level := d.turns.top()
	if d.ticket != 0 && level <= d.level {
		return
	}
	s.tickets++
	d.ticket, d.level, d.parked = s.tickets, level, time.Time{}
	s.ready[d.side()].push(level, place{d, d.ticket})
}

// A place is that of a destination in a ring, as long as it has that ticket.
type place struct {
	to     *destination
	ticket uint64
}
