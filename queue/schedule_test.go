package queue

import (
	"fmt"
	"testing"
	"time"

	"posthaste/mail"
)

// A bench runs a scheduler in its own time.
type bench struct {
	s   *scheduler
	now time.Time
	out []*task
}

func newBench(l Limits) *bench {
	return &bench{s: newScheduler(l.withDefaults(), Policy{}.withDefaults(), newShaping(Shaping{NoBuiltin: true})), now: time.Unix(1795000000, 0)}
}

func (b *bench) add(sender, destination string, n int) (refused int) {
	for range n {
		t := &task{record: &record{}, recipients: []int{0}, sender: sender, route: Route{Agent: "test", Destination: destination}}
		if b.s.add(t, destination, b.now) != nil {
			refused++
		}
	}
	return refused
}

// start takes out all that may start.
func (b *bench) start() (senders []string) {
	for t := b.s.next(b.now); t != nil; t = b.s.next(b.now) {
		b.out = append(b.out, t)
		senders = append(senders, t.sender)
	}
	return senders
}

// finish ends the first n tasks out.
func (b *bench) finish(n int, failed bool) (back int) {
	for range n {
		t := b.out[0]
		b.out = b.out[1:]
		back += len(b.s.done(t, outcome{failed: failed, answer: mail.NewStatus(421, "4.4.1", "refused")}, b.now))
	}
	return back
}

func TestConcurrencyFollowsAnswers(t *testing.T) {
	b := newBench(Limits{Destination: 8})
	b.add("ann", "south", 1000)
	if n := len(b.start()); n != 1 {
		t.Errorf("%d deliveries try a host that is new, want 1", n)
	}
	b.finish(1, false)
	if n := len(b.start()); n != startWindow {
		t.Errorf("%d run once it answered, want %d", n, startWindow)
	}
	for range 99 {
		b.finish(1, false)
		b.start()
	}
	if n := len(b.out); n != 8 {
		t.Errorf("after successes %d run, want the limit of 8", n)
	}
	b.finish(3, true)
	b.start()
	if n := len(b.out); n != 5 {
		t.Errorf("after three failures %d run, want 5", n)
	}
	back := b.finish(5, true)
	if left := 1000 - 100 - 8; back != left {
		t.Errorf("%d tasks came back from the suspended destination, want all %d", back, left)
	}
	if b.add("ann", "south", 1) != 1 {
		t.Error("a suspended destination took a task")
	}
	b.now = b.now.Add(3 * time.Minute)
	b.add("ann", "south", 10)
	if n := len(b.start()); n != 1 {
		t.Errorf("%d probes after the suspension, want one", n)
	}
	b.finish(1, false)
	if n := len(b.start()); n != 2 {
		t.Errorf("%d run after the probe succeeded, want 2", n)
	}
}

func TestSuspensionsGrow(t *testing.T) {
	b := newBench(Limits{})
	var last time.Duration
	for range 8 {
		b.add("ann", "south", 5)
		b.start()
		b.finish(len(b.out), true)
		d := b.s.destinations["south"].suspended.Sub(b.now)
		if d < last || d > b.s.policy.Max {
			t.Errorf("suspended for %v after %v", d, last)
		}
		last = d
		b.now = b.now.Add(d)
	}
	if last != b.s.policy.Max {
		t.Errorf("the last suspension was %v, want %v", last, b.s.policy.Max)
	}
}

func TestSendersTakeTurns(t *testing.T) {
	b := newBench(Limits{Destination: 1})
	b.add("bulk", "south", 100)
	b.add("ann", "south", 2)
	b.add("bob", "south", 1)
	var order []string
	for range 6 {
		order = append(order, b.start()...)
		b.finish(1, false)
	}
	if got := fmt.Sprint(order); got != "[bulk ann bob bulk ann bulk]" {
		t.Errorf("order %v", got)
	}
}

func TestDeadHostsLeaveRoom(t *testing.T) {
	b := newBench(Limits{Jobs: 100})
	for i := range 100 { // none of them ever answers
		b.add(fmt.Sprint("ann", i), fmt.Sprint("dead", i), 10)
	}
	if n := len(b.start()); n != 50 {
		t.Errorf("%d of 100 jobs wait for hosts that never answered, want half", n)
	}
	b.s.destinations["alive"] = &destination{key: "alive", window: 20, proven: true, lanes: map[laneKey]*lane{}, pool: &pool{}}
	b.add("ann", "alive", 100)
	if n := len(b.start()); n != 20 {
		t.Errorf("%d jobs for the living host, want 20", n)
	}
}

// TestHostsThatSayNothingStopNobody: they take a connection and never greet, so that nothing is known of
// them for minutes, and all mail is of one sender.
func TestHostsThatSayNothingStopNobody(t *testing.T) {
	b := newBench(Limits{Jobs: 10})
	for i := range 30 {
		b.add("ann", fmt.Sprint("deaf", i), 10)
	}
	b.add("ann", "alive", 100)
	var deaf []*task
	delivered := 0
	for began := b.now; delivered < 100; {
		b.start()
		var alive []*task
		for _, x := range b.out {
			if x.to.key == "alive" {
				alive = append(alive, x)
			} else {
				deaf = append(deaf, x)
			}
		}
		b.out = nil
		for _, x := range alive {
			b.s.done(x, outcome{}, b.now)
			delivered++
		}
		if len(alive) == 0 {
			if b.s.wakeAt().IsZero() || b.now.Sub(began) > time.Minute {
				t.Fatalf("%d of 100 were delivered after %v; %d wait for hosts that say nothing", delivered, b.now.Sub(began), len(deaf))
			}
			b.now = b.s.wakeAt()
		}
	}
	if len(deaf) != 30 {
		t.Errorf("%d deliveries wait for 30 hosts that say nothing, want one each", len(deaf))
	}
	for _, x := range deaf {
		b.s.done(x, outcome{failed: true, answer: mail.NewStatus(451, "4.4.2", "no answer in time")}, b.now)
	}
	if s := b.s; s.busy != 0 || s.stalled != 0 || s.out != [sides]int{} || s.running[0].tasks.Len()+s.running[1].tasks.Len() != 0 {
		t.Errorf("%d jobs, %d stalled, %v and %d are still counted", s.busy, s.stalled, s.out, s.running[0].tasks.Len()+s.running[1].tasks.Len())
	}
}

// TestAHostThatFallsSilentGetsNoMore: it answered well, so its window is open, and then it hangs.
func TestAHostThatFallsSilentGetsNoMore(t *testing.T) {
	b := newBench(Limits{Jobs: 4, Destination: 20})
	b.add("ann", "silent", 100)
	for range 30 {
		b.start()
		b.finish(1, false)
	}
	hung := len(b.out) + len(b.start())
	for range 5 {
		b.now = b.now.Add(stallAfter)
		hung += len(b.start())
	}
	if hung > 4 {
		t.Errorf("%d deliveries were given to a host that hangs, want those that ran", hung)
	}
	b.finish(1, false)
	if len(b.start()) == 0 {
		t.Error("nothing starts once it answers again")
	}
}

// TestDeadHostsOfBeforeLeaveRoom: after a restart the mail that failed before does not take the jobs that
// new mail for hosts unknown needs, and gets its own back once its host answers.
func TestDeadHostsOfBeforeLeaveRoom(t *testing.T) {
	b := newBench(Limits{Jobs: 100})
	failed := &Entry{Recipients: []Recipient{{Status: mail.NewStatus(451, "4.4.1", "connection timed out")}}}
	for i := range 100 {
		key := fmt.Sprint("dead", i)
		x := &task{record: &record{entry: failed}, recipients: []int{0}, sender: key, route: Route{Agent: "test", Destination: key}}
		if why := b.s.add(x, key, b.now); why != nil {
			t.Fatal(why.answer)
		}
	}
	if n := len(b.start()); n != 25 {
		t.Errorf("%d of 100 jobs wait for hosts that failed before, want a quarter", n)
	}
	b.add("ann", "fresh", 5)
	if n := len(b.start()); n != 1 {
		t.Errorf("%d jobs for a host that is new, want 1", n)
	}
	b.finish(25, false)
	if b.s.destinations["dead0"].side() != goodSide {
		t.Error("a host that answers again is not believed")
	}
}

func TestSlowDestinationDoesNotFillTheWindow(t *testing.T) {
	b := newBench(Limits{Window: 100})
	b.add("ann", "slow", 40)
	b.start()
	b.now = b.now.Add(5 * time.Minute)
	b.finish(1, false)
	if refused := b.add("ann", "slow", 60); refused < 40 {
		t.Errorf("only %d of 60 had to wait outside", refused)
	}
	if refused := b.add("ann", "fast", 90); refused != 0 {
		t.Errorf("%d of 90 for another destination were refused", refused)
	}
}

func TestIdleDestinationsAreForgotten(t *testing.T) {
	b := newBench(Limits{})
	for i := range 1000 {
		b.add("ann", fmt.Sprint(i), 1)
	}
	for len(b.start()) > 0 {
		b.finish(len(b.out), false)
	}
	b.now = b.now.Add(2 * forgetAfter)
	b.s.sweep(b.now)
	if n := len(b.s.destinations); n != 0 || b.s.busy != 0 || b.s.out != [sides]int{} {
		t.Errorf("%d destinations, %d busy, %v out are left", n, b.s.busy, b.s.out)
	}
}

func TestWait(t *testing.T) {
	p := Policy{First: 2 * time.Minute, Max: time.Hour}
	for _, c := range []struct {
		claim    string
		attempts int
		chance   float64
		want     time.Duration
	}{
		{"the first wait", 1, 0.5, 2 * time.Minute},
		{"doubles", 3, 0.5, 8 * time.Minute},
		{"never over the maximum", 6, 0.5, time.Hour},
		{"nor after very many", 1 << 40, 0.5, time.Hour},
		{"a fifth less by chance", 1, 0, 96 * time.Second},
		{"a fifth more by chance", 1, 1, 144 * time.Second},
	} {
		if got := p.wait(c.attempts, c.chance); got != c.want {
			t.Errorf("%s: %v, want %v", c.claim, got, c.want)
		}
	}
}

func TestSettle(t *testing.T) {
	p := Policy{}.withDefaults()
	created := time.Unix(1795000000, 0)
	later := mail.NewStatus(450, "4.2.0", "later")
	never := mail.NotifyNever
	for _, c := range []struct {
		claim  string
		r      Recipient
		answer *mail.Status
		age    time.Duration
		state  State
		report action
	}{
		{"a delivery is not reported unasked", Recipient{}, fine, 0, Delivered, noReport},
		{"success is reported when asked", notify(mail.NotifySuccess), fine, 0, Delivered, delivered},
		{"the next host reports by itself", notify(mail.NotifySuccess), &mail.Status{Code: 250, Peer: "mx"}, 0, Delivered, noReport},
		{"a host without DSN is reported as relayed", notify(mail.NotifySuccess), &mail.Status{Code: 250, Enhanced: "2.1.9", Peer: "mx"}, 0, Delivered, relayed},
		{"an alias is reported as expanded", notify(mail.NotifySuccess), mail.NewStatus(251, "2.1.5", "on"), 0, Delivered, expanded},
		{"a failure is reported", Recipient{}, unknown, 0, Failed, failed},
		{"but not to who asked for never", notify(never), unknown, 0, Failed, noReport},
		{"nor to who asked for success alone", notify(mail.NotifySuccess), unknown, 0, Failed, noReport},
		{"a temporary failure is deferred", Recipient{}, later, time.Hour, Deferred, noReport},
		{"the sender hears of a delay after four hours", Recipient{}, later, 5 * time.Hour, Deferred, delayed},
		{"but once", Recipient{warned: true}, later, 5 * time.Hour, Deferred, noReport},
		{"and not who asked for never", notify(never), later, 5 * time.Hour, Deferred, noReport},
		{"after five days it has failed", Recipient{}, later, 5 * 24 * time.Hour, Failed, failed},
		{"an odd code is temporary", Recipient{}, &mail.Status{Code: 354}, 0, Deferred, noReport},
	} {
		v := p.settle(c.r, c.answer, moment{env: &mail.Envelope{Received: created}, now: created.Add(c.age), chance: 0.5})
		if v.recipient.State != c.state || v.report != c.report {
			t.Errorf("%s: %s, report %q; want %s, %q", c.claim, v.recipient.State, v.report, c.state, c.report)
		}
		if c.state == Deferred && v.recipient.Next.After(created.Add(p.Expire)) {
			t.Errorf("%s: the next attempt is after the expiry", c.claim)
		}
	}
}

func notify(n mail.Notify) Recipient { return Recipient{Recipient: mail.Recipient{Notify: n}} }

func TestHostFailed(t *testing.T) {
	for _, c := range []struct {
		claim   string
		answers []*mail.Status
		want    bool
	}{
		{"refused connections speak of the host", []*mail.Status{down, down}, true},
		{"421 too, whatever the rest", []*mail.Status{{Code: 421, Enhanced: "4.7.0"}}, true},
		{"greylisting does not", []*mail.Status{greylist}, false},
		{"one recipient that got an answer proves the host", []*mail.Status{down, fine}, false},
		{"a permanent network failure is of the route", []*mail.Status{{Code: 550, Enhanced: "5.4.4"}}, false},
		{"nothing says nothing", nil, false},
	} {
		if got := hostFailed(c.answers); got != c.want {
			t.Errorf("%s: %v", c.claim, got)
		}
	}
}

func TestWhoWasNotAskedIsDueWhenTheSuspensionEnds(t *testing.T) {
	p := Policy{}.withDefaults()
	created := time.Now()
	now := created.Add(30 * time.Hour)
	busy := mail.NewStatus(421, "4.4.1", "refused")
	before := Recipient{Recipient: mail.Recipient{Notify: mail.NotifyFailure}, State: Deferred, Attempts: 12}
	for _, c := range []struct {
		claim          string
		now, suspended time.Time
		state          State
		next           time.Time
	}{
		{"right after the suspension", now, now.Add(7 * time.Minute), Deferred, now.Add(7 * time.Minute)},
		{"never after the end of its time", created.Add(p.Expire).Add(-time.Minute), created.Add(p.Expire).Add(time.Hour), Deferred, created.Add(p.Expire)},
		{"nor later than after any attempt", now, now.Add(24 * time.Hour), Deferred, now.Add(p.longest())},
		{"it expires like others", created.Add(p.Expire), created.Add(p.Expire).Add(time.Hour), Failed, time.Time{}},
	} {
		v := p.unasked(before, busy, moment{env: &mail.Envelope{Received: created}, now: c.now}, c.suspended)
		if v.recipient.State != c.state || !v.recipient.Next.Equal(c.next) || c.state == Deferred && v.recipient.Attempts != before.Attempts {
			t.Errorf("%s: %s, next %v, %d attempts", c.claim, v.recipient.State, v.recipient.Next.Sub(created), v.recipient.Attempts)
		}
	}
}
