package queue

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"posthaste/kv"
	"posthaste/mail"
)

// drainTime is how long deliveries that run may go on once the queue is told to stop.
const drainTime = 10 * time.Second

// A dispatcher is the running side of a queue: it loads what is due, lets the scheduler choose, calls
// router and agents, and has the committer record what they answered.
type dispatcher struct {
	q      *Queue
	router Router
	agents map[string]Agent
	jobs   context.Context // of deliveries; outlives Run's by drainTime
	wake   chan struct{}   // something is due sooner than the loop thinks
	work   sync.WaitGroup
	shards [Shards]shard

	mu       sync.Mutex // guards all below, and the fields of shards that say so
	stopping bool
	records  map[mail.QueueID]*record
	arriving map[mail.QueueID]bool // their commit runs, and who runs it will offer them
	urgent   map[mail.QueueID]bool // to be tried whatever is known of their destinations
	senders  map[string]int        // records by sender
	sched    *scheduler
	starved  bool // the window was too full to load what is due
	swept    time.Time
	sleeps   time.Time // until when the loop means to sleep
	mending  bool      // a shard has mend set
	patient  time.Time // until then nothing is too old; guarded by mu
}

// A record is an entry in memory. Each of its recipients belongs to one task at most, which alone
// touches it.
type record struct {
	entry   *Entry
	sender  string
	open    int  // tasks whose outcome is not committed; guarded by dispatcher.mu
	out     int  // of them, those that run or whose outcome is being committed; guarded by dispatcher.mu
	dropped bool // nothing more of it starts: held, changed, deleted, or another node's; guarded by dispatcher.mu
	again   bool // once none of it is out, it is to be read again; guarded by dispatcher.mu
}

// Run delivers what is due until ctx ends; deliveries that run then get ten seconds. router and
// agents are those of node. One Run at a time.
func (q *Queue) Run(ctx context.Context, router Router, agents map[string]Agent) error {
	jobs, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	d := &dispatcher{
		q: q, router: router, agents: agents, jobs: jobs,
		wake: make(chan struct{}, 1), records: map[mail.QueueID]*record{}, senders: map[string]int{},
		arriving: map[mail.QueueID]bool{}, urgent: map[mail.QueueID]bool{},
	}
	set := q.settings.Load()
	d.sched = newScheduler(set.limits, set.policy, set.shaping)
	d.bePatient()
	for i := range d.shards {
		d.shards[i].init(d, i)
	}
	if !q.dispatcher.CompareAndSwap(nil, d) {
		return errors.New("queue: it already runs")
	}
	defer q.dispatcher.Store(nil)
	var upkeep sync.WaitGroup
	upkeep.Go(func() { d.keepLeases(ctx) })
	upkeep.Go(func() { q.forgetOrigins(ctx, d) })
	d.loop(ctx)
	d.drain(cancel)
	upkeep.Wait()
	d.releaseLeases()
	return nil
}

// drain starts nothing more and waits for what runs.
func (d *dispatcher) drain(cancel context.CancelFunc) {
	d.mu.Lock()
	d.stopping = true
	d.mu.Unlock()
	timer := time.AfterFunc(drainTime, cancel)
	defer timer.Stop()
	d.work.Wait()
}

// loop loads entries as they fall due.
func (d *dispatcher) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	watch := newWatch(d.q.clock)
	for ctx.Err() == nil {
		d.jumped(watch.jump())
		now := d.q.clock()
		if next, ok := d.nextDue(); ok && !next.After(now) {
			d.loadDue(ctx, now)
		}
		d.mend(ctx)
		d.turn()
		timer.Reset(d.pause())
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-d.wake:
		}
	}
}

const (
	// minPause keeps the loop from spinning on what cannot be loaded.
	minPause = 5 * time.Millisecond
	// maxPause is how soon a jump of the clock is seen, and what hangs.
	maxPause = time.Minute
	// sweepPause is the time between two sweeps of the scheduler.
	sweepPause = 5 * time.Second
)

// pause returns how long the loop may sleep.
func (d *dispatcher) pause() time.Duration {
	pause := maxPause
	if next, ok := d.nextDue(); ok {
		pause = min(pause, next.Sub(d.q.clock()))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if at := d.sched.wakeAt(); !at.IsZero() {
		pause = min(pause, time.Until(at))
	}
	if d.sched.busy > d.q.limits().Jobs/4 {
		pause = min(pause, sweepPause) // to see soon which hosts hang
	}
	pause = max(pause, minPause)
	d.sleeps = time.Now().Add(pause)
	return pause
}

// turn starts what waited for a time, and tidies up.
func (d *dispatcher) turn() {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Sub(d.swept) >= sweepPause {
		d.swept = now
		d.sched.sweep(now)
	}
	d.start(now)
}

// startNow starts every task that may start. d.mu is held.
func (d *dispatcher) startNow() { d.start(time.Now()) }

func (d *dispatcher) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// expect keeps the loop off an entry that is about to be committed: it must not load it, serve it and
// forget it before it is offered, which would serve it again.
func (d *dispatcher) expect(id mail.QueueID) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.arriving[id] = true
}

// unexpect gives up on an entry that will not be offered. It may be in the store all the same.
func (d *dispatcher) unexpect(id mail.QueueID) {
	if d == nil {
		return
	}
	d.mu.Lock()
	delete(d.arriving, id)
	d.mu.Unlock()
	d.look(&d.shards[shardOf(id)])
}

// offer takes an expected entry that was just put. A sender that already fills a quarter of the window waits
// in the store, so that the others always find room.
func (d *dispatcher) offer(e *Entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.arriving, e.ID)
	s := &d.shards[shardOf(e.ID)]
	if !s.held || d.stopping {
		s.keepEarly(e, d)
		return
	}
	d.take(s, e)
	d.startNow()
}

// take admits a new entry, or leaves it in the store. d.mu is held.
func (d *dispatcher) take(s *shard, e *Entry) {
	from := senderKey(&e.Envelope)
	n := len(d.records)
	now, window := d.q.clock(), d.q.limits().Window
	if e.Next().After(now) {
		if s.dueAt(e.Next()) {
			d.poke()
		}
		return
	}
	if n >= window && d.senders[from] >= window/4 || n >= 2*window {
		s.dueAt(e.Next())
		d.starved = true
		return
	}
	d.admit(e, from, now)
}

// admit brings e into memory and sends its due recipients to find their ways. d.mu is held.
func (d *dispatcher) admit(e *Entry, from string, now time.Time) {
	if _, ok := d.records[e.ID]; ok {
		return
	}
	r := &record{entry: e, sender: from}
	d.records[e.ID] = r
	d.senders[from]++
	d.activate(r, now)
	if r.open == 0 {
		d.forget(r)
	}
}

// activate sends the recipients of r that are due to find their ways. d.mu is held.
func (d *dispatcher) activate(r *record, now time.Time) {
	if r.dropped {
		return
	}
	e := r.entry
	urgent := d.urgent[e.ID]
	delete(d.urgent, e.ID)
	domains := map[string][]int{}
	for i := range e.Recipients {
		p := &e.Recipients[i]
		if p.State.schedulable() && !p.Next.After(now) {
			p.State = Active
			domains[p.Address.Domain] = append(domains[p.Address.Domain], i)
		}
	}
	for domain, recipients := range domains {
		t := r.task(recipients, urgent)
		t.limit = routesPerDomain
		r.open++
		if returned(&e.Envelope, now) {
			d.expire(t, now)
		} else {
			d.place(t, "route\x00"+domain)
		}
	}
}

// task returns one of some recipients of r, whose way is not known yet.
func (r *record) task(recipients []int, urgent bool) *task {
	return &task{
		record: r, recipients: recipients, sender: r.sender, from: r.entry.Envelope.From,
		priority: r.entry.Envelope.Priority, size: r.entry.Size, urgent: urgent,
	}
}

// expire closes t, whose deadline has passed: it must not be relayed any more. d.mu is held.
func (d *dispatcher) expire(t *task, now time.Time) {
	answers := make([]*mail.Status, len(t.recipients))
	for n, i := range t.recipients {
		answers[n] = tooLate(t.record.entry.Recipients[i].Status)
	}
	t.record.out++
	d.close(t, answers, now)
}

// forget drops r from memory; the store knows the rest. d.mu is held.
func (d *dispatcher) forget(r *record) {
	id := r.entry.ID
	if d.records[id] != r {
		return
	}
	delete(d.records, id)
	if d.senders[r.sender]--; d.senders[r.sender] == 0 {
		delete(d.senders, r.sender)
	}
	if s := &d.shards[shardOf(id)]; s.left != nil {
		s.left[id] = true
	}
	d.q.cache.remove(id) // the next attempt is minutes away
	if d.starved && len(d.records) <= d.q.limits().Window/2 {
		d.starved = false
		d.poke()
	}
}

// close hands the answers of t to the committer of its shard. It does no I/O.
func (d *dispatcher) close(t *task, answers []*mail.Status, now time.Time) {
	d.shards[shardOf(t.record.entry.ID)].committer.add(closing{task: t, answers: answers, at: now})
}

// turnBack is close for a task that cannot wait in memory: nobody was asked. d.mu is held.
func (d *dispatcher) turnBack(t *task, why *refusal, now time.Time) {
	if t.record.dropped {
		return // an operator has changed it meanwhile
	}
	at := d.q.clock()
	t.record.out++
	d.shards[shardOf(t.record.entry.ID)].committer.add(closing{
		task: t, answers: repeat(why.answer, len(t.recipients)), at: at, unasked: true, until: at.Add(why.until.Sub(now)),
	})
}

// place lets t wait at a destination, or defers it at once. d.mu is held.
func (d *dispatcher) place(t *task, key string) {
	now := time.Now()
	if why := d.sched.add(t, key, now); why != nil {
		d.turnBack(t, why, now)
	}
}

// start runs every task that may start. d.mu is held.
func (d *dispatcher) start(now time.Time) {
	for !d.stopping {
		t := d.nextTask(now)
		if t == nil {
			return
		}
		d.work.Go(func() { d.run(t) })
	}
}

// run does t and then others, as long as the scheduler has some.
func (d *dispatcher) run(t *task) {
	for t != nil {
		if t.finding() {
			t = d.findWays(t)
		} else {
			t = d.deliver(t)
		}
	}
}

// following returns a task to go on with and starts the others. d.mu is held.
func (d *dispatcher) following(now time.Time) *task {
	if d.stopping {
		return nil
	}
	t := d.nextTask(now)
	if t != nil {
		d.start(now)
	}
	return t
}

// nextTask is scheduler.next without what was dropped. d.mu is held.
func (d *dispatcher) nextTask(now time.Time) *task {
	for {
		t := d.sched.next(now)
		if t == nil {
			d.wakeFor(d.sched.wakeAt())
			return nil
		}
		if !t.record.dropped {
			t.record.out++
			return t
		}
		d.sched.cancel(t)
	}
}

// wakeFor has the loop wake at a time, when it means to sleep longer. d.mu is held.
func (d *dispatcher) wakeFor(at time.Time) {
	if at.IsZero() {
		return
	}
	if soonest := time.Now().Add(minPause); at.Before(soonest) { // what is late and cannot start must not spin
		at = soonest
	}
	if at.Before(d.sleeps) {
		d.sleeps = at // once is enough
		d.poke()
	}
}

// finishTask gives t back to the scheduler, and defers what a suspension sends back. d.mu is held.
func (d *dispatcher) finishTask(t *task, o outcome, now time.Time) {
	for _, back := range d.sched.done(t, o, now) {
		until, why := back.to.until(now)
		d.turnBack(back, &refusal{why, until}, now)
	}
}

// deliver does one delivery and hands its outcome to the committer.
func (d *dispatcher) deliver(t *task) *task {
	var o outcome
	answers, unreadable := d.attempt(t)
	if unreadable == nil {
		answers, o = d.judge(t, answers)
	}
	now, at := time.Now(), d.q.clock()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.finishTask(t, o, now)
	if unreadable != nil {
		d.shards[shardOf(t.record.entry.ID)].committer.add(closing{task: t, unreadable: unreadable, at: at})
	} else {
		d.close(t, answers, at)
	}
	return d.following(now)
}

// attempt calls the agent. It returns an answer for each recipient, or an error when the content of
// the entry is damaged.
func (d *dispatcher) attempt(t *task) ([]*mail.Status, error) {
	e := t.record.entry
	if returned(&e.Envelope, d.q.clock()) {
		return repeat(tooLate(nil), len(t.recipients)), nil
	}
	content, err := d.q.load(d.jobs, e)
	switch {
	case errors.Is(err, kv.ErrCorrupt):
		return nil, err
	case err != nil:
		d.q.log.Error("queue: cannot read content", "qid", e.ID, "err", err)
		return repeat(mail.StatusOf(err), len(t.recipients)), nil
	}
	job := Job{Envelope: e.Envelope, Content: content, Route: t.route, PerConnection: d.perConnection(t)}
	job.Envelope.Recipients = make([]mail.Recipient, len(t.recipients))
	for n, i := range t.recipients {
		job.Envelope.Recipients[n] = e.Recipients[i].Recipient
	}
	answers := d.call(job)
	for len(answers) < len(t.recipients) {
		answers = append(answers, mail.StatusOf(errors.New("queue: the agent did not answer")))
	}
	return answers[:len(t.recipients)], nil
}

func (d *dispatcher) perConnection(t *task) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return t.to.pool.perConnection
}

// call is Agent.Deliver; a panic in it is a temporary failure.
func (d *dispatcher) call(job Job) (answers []*mail.Status) {
	defer func() {
		if p := recover(); p != nil {
			d.q.log.Error("queue: a delivery agent panicked", "qid", job.Envelope.ID, "agent", job.Route.Agent,
				"panic", p, "stack", string(debug.Stack()))
			answers = repeat(mail.NewStatus(451, "4.3.0", "a local error, we will try again"), len(job.Envelope.Recipients))
		}
	}()
	return d.agents[job.Route.Agent].Deliver(d.jobs, job)
}

// senderKey names whom tasks of env share a lane with.
func senderKey(env *mail.Envelope) string {
	if env.Origin.Account != 0 {
		return env.Origin.Account.String()
	}
	return env.From.String()
}

func repeat(s *mail.Status, n int) []*mail.Status {
	all := make([]*mail.Status, n)
	for i := range all {
		all[i] = s
	}
	return all
}
