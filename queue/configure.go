package queue

// settings are what Configure swaps.
type settings struct {
	policy  Policy
	limits  Limits
	shaping *shaping
}

func newSettings(p Policy, l Limits, s Shaping) *settings {
	return &settings{policy: p.withDefaults(), limits: l.withDefaults(), shaping: newShaping(s)}
}

func (q *Queue) policy() Policy { return q.settings.Load().policy }

func (q *Queue) limits() Limits { return q.settings.Load().limits }

// Configure replaces policy, limits and shaping while the queue may run, all or nothing: an error
// means that nothing was changed. Deliveries that run go on and count under the new limits; what
// replies brought about, such as a suspension, stays. CacheBytes is not changed.
func (q *Queue) Configure(p Policy, l Limits, s Shaping) error {
	if err := s.Check(); err != nil {
		return err
	}
	set := newSettings(p, l, s)
	d := q.dispatcher.Load()
	if d == nil {
		q.settings.Store(set)
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	q.settings.Store(set)
	d.sched.configure(set.limits, set.policy, set.shaping)
	d.startNow()
	d.poke()
	return nil
}

// configure brings new limits, policy and shaping to all that waits and runs.
func (s *scheduler) configure(l Limits, p Policy, sh *shaping) {
	waiting := map[*destination][]*task{}
	for _, d := range s.destinations {
		waiting[d] = s.drain(d)
	}
	s.set(l, p, sh)
	s.pools = map[string]*pool{}
	for _, d := range s.destinations {
		d.pool = s.repool(d)
		d.pool.gate.enter(int64(d.busy))
	}
	for _, a := range s.senders {
		a.gate.max, a.meter.rate = s.senderJobs(), sh.sender(a.from)
	}
	for d, tasks := range waiting {
		for _, t := range tasks {
			s.push(t, d)
		}
		s.enqueue(d)
	}
	gates := []*gate{&s.large, &s.largeBytes, &s.smallBytes}
	for _, a := range s.senders {
		gates = append(gates, &a.gate)
	}
	for _, g := range gates {
		for _, d := range g.open() {
			s.enqueue(d)
		}
	}
}

// repool gives d the pool of the new shaping, with what replies brought about.
func (s *scheduler) repool(d *destination) *pool {
	if d.finding {
		return &pool{}
	}
	fresh := s.poolOf(s.shapeOf(d.route))
	was := d.pool
	fresh.slowed, fresh.stepped, fresh.suspended, fresh.why = was.slowed, was.stepped, was.suspended, was.why
	fresh.meter.halved, fresh.meter.full = was.meter.halved, was.meter.full
	fresh.narrow()
	return fresh
}
