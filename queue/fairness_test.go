package queue

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A race runs a scheduler in its own time, with deliveries that take a while, until all is delivered.
type race struct {
	t        failer
	s        *scheduler
	now      time.Time
	later    []timed                   // tasks that come, or come back
	running  []timed                   // tasks out
	takes    func(*task) time.Duration // how long a delivery takes
	started  map[string][]time.Time    // by destination
	ran      int
	together int // deliveries to d1 and d2
}

type failer interface {
	Fatalf(format string, args ...any)
}

type timed struct {
	*task
	at time.Time
}

// step goes on to the next moment at which something happens.
func (r *race) step() bool {
	var next time.Time
	for _, list := range [][]timed{r.later, r.running} {
		for _, x := range list {
			if next.IsZero() || x.at.Before(next) {
				next = x.at
			}
		}
	}
	if at := r.s.wakeAt(); !at.IsZero() && (next.IsZero() || at.Before(next)) {
		next = at
	}
	if next.IsZero() {
		return false
	}
	if next.After(r.now) {
		r.now = next
	}
	var due []timed
	due, r.running = r.due(r.running)
	for _, x := range due {
		r.s.done(x.task, outcome{}, r.now)
		r.ran++
	}
	due, r.later = r.due(r.later)
	for _, x := range due {
		if why := r.s.add(x.task, x.route.Destination, r.now); why != nil {
			if !why.until.After(r.now) {
				r.t.Fatalf("refused until %v, it is %v", why.until, r.now)
			}
			r.later = append(r.later, timed{x.task, why.until})
		}
	}
	r.start()
	return true
}

func (r *race) start() {
	for t := r.s.next(r.now); t != nil; t = r.s.next(r.now) {
		r.started[t.route.Destination] = append(r.started[t.route.Destination], r.now)
		r.running = append(r.running, timed{t, r.now.Add(r.takes(t))})
		r.check()
	}
}

// due parts a list into what is due now and the rest.
func (r *race) due(list []timed) (due, rest []timed) {
	for _, x := range list {
		if x.at.After(r.now) {
			rest = append(rest, x)
		} else {
			due = append(due, x)
		}
	}
	return due, rest
}

func (r *race) check() {
	l := r.s.limits
	var bytes int64
	at, from := map[string]int{}, map[string]int{}
	large, jobs := 0, 0
	for _, x := range r.running {
		bytes += x.size
		at[x.route.Destination]++
		if x.stalled {
			continue
		}
		jobs++
		from[x.sender]++
		if x.size > l.Small {
			large++
		}
	}
	if jobs > l.Jobs || jobs != r.s.busy {
		r.t.Fatalf("%d run, of %d jobs; %d are counted", jobs, l.Jobs, r.s.busy)
	}
	if stalled := len(r.running) - jobs; stalled > stallShare*l.Jobs || stalled != r.s.stalled {
		r.t.Fatalf("%d are stalled, of %d jobs; %d are counted", stalled, l.Jobs, r.s.stalled)
	}
	if bytes > l.ContentBytes {
		r.t.Fatalf("%d bytes of content, of %d", bytes, l.ContentBytes)
	}
	if large > max(1, l.Jobs-l.Jobs/smallShare) {
		r.t.Fatalf("%d of %d jobs have large mail", large, l.Jobs)
	}
	for key, n := range at {
		if key != "d1" && key != "d2" && n > l.Destination {
			r.t.Fatalf("%d run at %s, of %d", n, key, l.Destination)
		}
	}
	if n := at["d1"] + at["d2"]; n > r.together {
		r.t.Fatalf("%d run at d1 and d2, of %d together", n, r.together)
	}
	for sender, n := range from {
		if n > (l.Jobs+1)/2 {
			r.t.Fatalf("%d of %d jobs are of %s", n, l.Jobs, sender)
		}
	}
}

// TestLimitsHoldAndAllIsServed runs random mail under random limits: none is ever passed, and every
// task runs in the end.
func TestLimitsHoldAndAllIsServed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(min, max int, name string) int { return rapid.IntRange(min, max).Draw(t, name) }
		l := Limits{
			Window: draw(4, 60, "window"), Jobs: draw(1, 12, "jobs"), Destination: draw(1, 6, "destination"),
			Small: 10, ContentBytes: 200,
		}
		sh := Shaping{NoBuiltin: true, Rules: []Rule{{Match: []string{"d0"}, Rate: Rate{Count: draw(1, 9, "rate"), Per: time.Minute}}}}
		together := draw(1, 3, "together")
		sh.Rules = append(sh.Rules, Rule{Match: []string{"d1", "d2"}, Together: true, Concurrency: together})
		sh.Senders = []SenderRule{{Match: "s0@north.test", Rate: Rate{Count: draw(1, 9, "sender rate"), Per: time.Minute}}}
		r := &race{t: t, together: together, now: time.Unix(1795000000, 0), started: map[string][]time.Time{}}
		r.s = newScheduler(l.withDefaults(), Policy{}.withDefaults(), newShaping(sh))
		r.takes = func(x *task) time.Duration { return time.Duration(1+x.size%7) * 3 * time.Second }
		n := draw(1, 80, "tasks")
		for range n {
			from := address(fmt.Sprintf("s%d@north.test", draw(0, 3, "sender")))
			x := &task{
				record: &record{}, recipients: []int{0}, sender: from.String(), size: int64(draw(1, 60, "size")),
				priority: int8(draw(-2, 2, "priority")), route: Route{Agent: "test", Destination: fmt.Sprintf("d%d", draw(0, 4, "to"))},
			}
			x.from.Address = from
			r.later = append(r.later, timed{x, r.now.Add(time.Duration(draw(0, 120, "at")) * time.Second)})
		}
		for steps := 0; r.step(); steps++ {
			if steps > 100_000 {
				t.Fatalf("it does not end: %d of %d ran", r.ran, n)
			}
			if steps%50 == 10 && rapid.Bool().Draw(t, "configure") {
				r.s.configure(l.withDefaults(), Policy{}.withDefaults(), newShaping(sh))
				r.start()
			}
		}
		if r.ran != n || r.s.busy != 0 || r.s.waiting != 0 || r.s.out != [sides]int{} {
			t.Fatalf("%d of %d ran; %d busy, %d wait, %v out are left", r.ran, n, r.s.busy, r.s.waiting, r.s.out)
		}
		rateHolds(t, r.started["d0"], sh.Rules[0].Rate)
	})
}

// rateHolds checks that no time of length rate.Per has more than rate.Count starts.
func rateHolds(t failer, starts []time.Time, rate Rate) {
	for i := range starts {
		if j := i + rate.Count; j < len(starts) && starts[j].Sub(starts[i]) < rate.Per {
			t.Fatalf("%d started in %v, with a rate of %d in %v", rate.Count+1, starts[j].Sub(starts[i]), rate.Count, rate.Per)
		}
	}
}

// TestRateIsKeptAndUsed: a steady backlog gets what the rate allows, no more, and not much less.
func TestRateIsKeptAndUsed(t *testing.T) {
	for _, count := range []int{1, 2, 7, 100, 1000} {
		rate := Rate{Count: count, Per: time.Minute}
		m := meter{rate: rate}
		now := time.Unix(1795000000, 0)
		var starts []time.Time
		for end := now.Add(time.Hour); now.Before(end); {
			if at := m.at(now, 1); at.After(now) {
				now = at
				continue
			}
			m.take(now, 1)
			starts = append(starts, now)
		}
		rateHolds(t, starts, rate)
		if n := len(starts); n < count*60*7/10 {
			t.Errorf("%d/1m: %d in an hour, too few", count, n)
		}
	}
}

// TestPrioritiesShareTurns: of any 4n picks among n priorities each has at least one, and the highest
// has most.
func TestPrioritiesShareTurns(t *testing.T) {
	var l line[int8]
	priorities := []int8{9, 0, -9}
	last, count := map[int8]int{}, map[int8]int{}
	for i := range 1200 {
		for _, p := range priorities {
			l.push(p, p)
		}
		got, ok := l.pick(func(int8) bool { return true })
		if l.picked(); !ok {
			t.Fatal("nothing was picked")
		}
		if wait := i - last[got]; wait > lowTurn*len(priorities) {
			t.Errorf("priority %d waited %d picks", got, wait)
		}
		last[got], count[got] = i, count[got]+1
	}
	if count[9] < 900 || count[0] < 90 || count[-9] < 90 {
		t.Errorf("picks by priority: %v", count)
	}
}

func TestPriorityOrdersLanesAndDestinations(t *testing.T) {
	b := newBench(Limits{Destination: 1, Jobs: 1})
	add := func(sender, to string, priority int8) {
		x := &task{record: &record{}, recipients: []int{0}, sender: sender, priority: priority, route: Route{Agent: "test", Destination: to}}
		if why := b.s.add(x, to, b.now); why != nil {
			t.Fatal(why.answer)
		}
	}
	add("a", "south", 0)
	add("b", "west", 0)
	add("c", "west", 4)
	add("d", "south", 9)
	var order []string
	for range 3 {
		order = append(order, b.start()...)
		b.finish(1, false)
	}
	if got := fmt.Sprint(order[:2]); got != "[d c]" {
		t.Errorf("order %v, want d and c first", order)
	}
}

// TestBulkSenderLeavesJobs: a sender with mail for a thousand hosts has half of the jobs at most.
func TestBulkSenderLeavesJobs(t *testing.T) {
	b := newBench(Limits{Jobs: 100})
	for i := range 1000 {
		b.add("bulk", fmt.Sprint("host", i), 2)
	}
	bulk := len(b.start())
	b.add("ann", "host7", 1)
	if got := b.start(); bulk != 50 || len(got) != 0 {
		t.Logf("unproven hosts hold %d, then %v", bulk, got)
	}
	for range 3000 {
		if len(b.out) == 0 {
			break
		}
		b.finish(1, false)
		b.start()
		n := 0
		for _, x := range b.out {
			if x.sender == "bulk" {
				n++
			}
		}
		if n > 50 {
			t.Fatalf("the bulk sender has %d of 100 jobs", n)
		}
	}
	if b.s.waiting != 0 || b.s.busy != 0 {
		t.Errorf("%d wait, %d busy at the end", b.s.waiting, b.s.busy)
	}
}

// TestSmallMailHasSlotsOfItsOwn: large mail leaves a quarter of a window to small mail.
func TestSmallMailHasSlotsOfItsOwn(t *testing.T) {
	b := newBench(Limits{Jobs: 40, Destination: 8})
	add := func(n int, size int64) {
		for i := range n {
			x := &task{record: &record{}, recipients: []int{0}, sender: fmt.Sprint("s", i), size: size, route: Route{Agent: "test", Destination: "south"}}
			b.s.add(x, "south", b.now)
		}
	}
	b.add("ann", "south", 50)
	for b.start(); b.s.waiting > 0; b.start() {
		b.finish(1, false)
	}
	b.finish(len(b.out), false)
	add(20, 1<<20)
	large := len(b.start())
	add(5, 1000)
	if small := len(b.start()); large != 6 || small != 2 {
		t.Errorf("of 8 slots large mail has %d and small mail %d, want 6 and 2", large, small)
	}
}
