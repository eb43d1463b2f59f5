package queue

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/kv"
	"posthaste/kv/memkv"
	"posthaste/mail"
)

func (w *world) putAs(env mail.Envelope) mail.QueueID {
	w.t.Helper()
	id, err := w.q.Put(context.Background(), env, mail.Bytes(letter))
	must(w.t, err)
	return id
}

func TestFutureReleaseIsHeldUntilThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		env := envelope("ann@north.test", "bob@south.test")
		env.HoldUntil = time.Now().Add(30 * 24 * time.Hour)
		id := w.putAs(env)
		synctest.Wait()
		e, err := w.q.Show(t.Context(), id)
		if err != nil || e.State() != Incoming || !e.Next().Equal(env.HoldUntil.Truncate(time.Millisecond)) {
			t.Errorf("%v, %v, next %v; want incoming, %v", e.State(), err, e.Next(), env.HoldUntil)
		}
		time.Sleep(20 * 24 * time.Hour)
		w.stop() // a restart takes the far due time for what it is
		w.start()
		defer w.stop()
		time.Sleep(10*24*time.Hour - time.Minute)
		if _, attempts := w.counts(); attempts != 0 {
			t.Error("tried before its time")
		}
		time.Sleep(2 * time.Minute)
		if w.taken(id, "bob@south.test") != 1 {
			t.Error("not delivered at its time")
		}
	})
}

func TestHeldByItsSenderExpiresLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.stop()
		w.answer = func(to mail.Address, _ time.Time) *mail.Status {
			if to.Domain == "south.test" {
				return greylist
			}
			return nil
		}
		env := envelope("ann@north.test", "bob@south.test")
		env.HoldUntil = time.Now().Add(10 * 24 * time.Hour)
		w.putAs(env)
		time.Sleep(14 * 24 * time.Hour)
		if w.size() != 1 {
			t.Error("given up on before five days of trying")
		}
		time.Sleep(2 * 24 * time.Hour)
		if got := w.read("ann@north.test"); !strings.Contains(got, "5 days") || w.size() != 0 {
			t.Errorf("%d left; report %s", w.size(), got)
		}
	})
}

func TestDeliverBy(t *testing.T) {
	for _, c := range []struct {
		claim    string
		mode     mail.ByMode
		up       time.Duration // when the host takes mail
		want     string        // in the report
		taken    int
		attempts bool // also after the deadline
	}{
		{"returned at the deadline", mail.ByReturn, 24 * time.Hour, "Status: 5.4.7", 0, false},
		{"notified at the deadline, delivered later", mail.ByNotify, 24 * time.Hour, "Action: delayed", 1, true},
		{"in time nobody hears of it", mail.ByReturn, 10 * time.Minute, "", 1, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Config{})
			defer w.stop()
			began := time.Now()
			late := 0
			w.answer = func(to mail.Address, now time.Time) *mail.Status {
				if to.Domain == "north.test" {
					return nil
				}
				if now.Sub(began) >= time.Hour {
					late++
				}
				if now.Sub(began) < c.up {
					return greylist
				}
				return nil
			}
			env := envelope("ann@north.test", "bob@south.test")
			env.DeliverBy, env.ByMode = began.Add(time.Hour), c.mode
			id := w.putAs(env)
			time.Sleep(time.Hour + time.Minute)
			got := w.read("ann@north.test")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("%s: report %q, want %q", c.claim, got, c.want)
			}
			time.Sleep(26 * time.Hour)
			if n := w.taken(id, "bob@south.test"); n != c.taken || w.size() != 0 {
				t.Errorf("%s: delivered %d times, %d left", c.claim, n, w.size())
			}
			if (late > 0) != c.attempts {
				t.Errorf("%s: %d attempts after the deadline", c.claim, late)
			}
		})
	}
}

// routed is a world whose routes have more than a destination.
type routed struct {
	*world
	shape func(*Route)
}

func (r routed) Route(ctx context.Context, q Query) (Route, error) {
	route, err := r.world.Route(ctx, q)
	r.shape(&route)
	return route, err
}

// run starts the queue of w with other routes; it has to be stopped before.
func (w *world) run(t testing.TB, r Router) (stop func()) {
	w.q = New(w.cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.q.Run(ctx, r, map[string]Agent{"test": w}) }()
	return func() {
		cancel()
		must(t, <-done)
	}
}

func TestRouteHasItsOwnLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.stop()
		began := time.Now()
		w.answer = func(_ mail.Address, now time.Time) *mail.Status {
			if now.Sub(began) < 20*24*time.Hour {
				return down
			}
			return nil
		}
		stop := w.run(t, routed{w, func(r *Route) { r.Expire = 30 * 24 * time.Hour }})
		defer stop()
		id := w.put("", "bob@south.test")
		time.Sleep(21 * 24 * time.Hour)
		if w.taken(id, "bob@south.test") != 1 {
			t.Errorf("a backup MX did not keep it until the primary was back; %d left", w.size())
		}
	})
}

// A holder is a router that has some recipients wait for an operator.
type holder struct{ *world }

func (h holder) Route(ctx context.Context, q Query) (Route, error) {
	if q.To.Local == "secret" && q.Reroute == "" {
		return Route{}, &Hold{Reason: "ask the security officer"}
	}
	return h.world.Route(ctx, q)
}

func TestARouteMayHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.stop()
		stop := w.run(t, holder{w})
		defer stop()
		env := envelope("ann@north.test", "bob@south.test")
		env.Recipients = append(env.Recipients, mail.Recipient{Address: mail.Address{Local: "secret", Domain: "south.test"}})
		id := w.putAs(env)
		time.Sleep(10 * 24 * time.Hour)
		e, err := w.q.Show(t.Context(), id)
		must(t, err)
		if w.taken(id, "bob@south.test") != 1 || w.taken(id, "secret@south.test") != 0 || e.Recipients[1].State != Held {
			t.Errorf("bob %d, secret %d, %s; want bob's delivered and the other held", w.taken(id, "bob@south.test"), w.taken(id, "secret@south.test"), e.Recipients[1].State)
		}
		if !strings.Contains(e.Recipients[1].Status.Text, "ask the security officer") {
			t.Errorf("nobody learns why: %v", e.Recipients[1].Status)
		}
		for _, c := range []Change{{Verb: VerbReroute, Transport: "mx"}, {Verb: VerbRelease}} {
			for _, err := range w.q.Do(t.Context(), c, []mail.QueueID{id}) {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
		if w.taken(id, "secret@south.test") != 1 {
			t.Error("an operator rerouted and released it, and it is still here")
		}
	})
}

// TestReleaseWaitsForTheDeliveryThatRuns: else the message would arrive twice.
func TestReleaseWaitsForTheDeliveryThatRuns(t *testing.T) {
	for _, second := range []*mail.Status{nil, greylist} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Config{})
			w.stop()
			long := &slowAgent{Agent: w, takes: 10 * time.Minute}
			w.q = New(w.cfg)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- w.q.Run(ctx, w, map[string]Agent{"test": long}) }()
			w.answer = func(mail.Address, time.Time) *mail.Status { return second }
			id := w.put("", "bob@south.test")
			time.Sleep(time.Minute)
			for range 3 {
				must(t, w.q.Hold(ctx, id))
				time.Sleep(time.Second)
				must(t, w.q.Release(ctx, id))
				must(t, w.q.Retry(ctx, id))
				time.Sleep(time.Second)
			}
			time.Sleep(5 * time.Minute)
			if n := long.began.Load(); n != 1 {
				t.Errorf("%d deliveries began while the first ran", n)
			}
			w.mu.Lock()
			w.answer = nil
			if second != nil {
				n := 0
				w.answer = func(mail.Address, time.Time) *mail.Status {
					if n++; n == 1 {
						return second
					}
					return nil
				}
			}
			w.mu.Unlock()
			time.Sleep(2 * time.Hour)
			if n := w.taken(id, "bob@south.test"); n != 1 || w.size() != 0 {
				t.Errorf("delivered %d times, %d left", n, w.size())
			}
			cancel()
			must(t, <-done)
		})
	}
}

type slowAgent struct {
	Agent
	takes time.Duration
	began atomic.Int32
}

func (s *slowAgent) Deliver(ctx context.Context, job Job) []*mail.Status {
	s.began.Add(1)
	time.Sleep(s.takes)
	return s.Agent.Deliver(ctx, job)
}

func TestDeletingADamagedEntryFreesItsBody(t *testing.T) {
	store := memkv.New()
	q := New(Config{KV: store})
	env := envelope("ann@north.test", "bob@south.test")
	env.ID = q.newIDIn(5)
	_, err := q.Put(t.Context(), env, mail.Bytes(letter))
	must(t, err)
	var body kv.BodyID
	_, err = store.Update(t.Context(), shardPartition(5), func(tx kv.Txn) error {
		v, err := tx.Get(entryKey(env.ID))
		body = readEntry(env.ID, v).content.body
		tx.Put(entryKey(env.ID), append([]byte(nil), v[:len(v)-5]...))
		return err
	})
	must(t, err)
	e, err := q.Show(t.Context(), env.ID)
	if err != nil || e.State() != Corrupt || body == 0 {
		t.Fatal(e, err)
	}
	must(t, q.Delete(t.Context(), env.ID))
	err = store.View(t.Context(), shardPartition(5), func(r kv.Reader) error {
		_, err := r.Body(body)
		return err
	})
	if !isMissing(err) {
		t.Errorf("the body is still there: %v", err)
	}
}

func TestReplySuspendsADestinationWithAReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Shaping: Shaping{Rules: []Rule{{
			Match: []string{"south.*"}, Replies: []Reply{
				{Pattern: regexp.MustCompile(`TSS04`), Action: Suspend, For: 3 * time.Hour, Reason: "the provider wants a pause"},
				{Pattern: regexp.MustCompile(`5\.7\.606`), Action: Defer, Reason: "a block that they lift on request"},
				{Pattern: regexp.MustCompile(`gone for good`), Action: Bounce},
			},
		}}}})
		defer w.stop()
		began := time.Now()
		w.answer = func(to mail.Address, now time.Time) *mail.Status {
			switch to.Local {
			case "bob":
				if now.Sub(began) > time.Hour {
					return nil
				}
				return &mail.Status{Code: 421, Enhanced: "4.7.0", Text: "[TSS04] deferred", Peer: "mx.south.test"}
			case "listed":
				return &mail.Status{Code: 550, Enhanced: "5.7.606", Text: "banned", Peer: "mx.south.test"}
			case "gone":
				return &mail.Status{Code: 450, Enhanced: "4.1.1", Text: "gone for good", Peer: "mx.south.test"}
			}
			return nil
		}
		listed, gone := w.put("ann@north.test", "listed@south.test"), w.put("ann@north.test", "gone@south.test")
		synctest.Wait()
		if e, err := w.q.Show(t.Context(), listed); err != nil || e.State() != Deferred || !strings.Contains(e.Recipients[0].Status.Text, "lift on request") {
			t.Errorf("a permanent answer was not deferred: %+v %v", e, err)
		}
		if _, err := w.q.Show(t.Context(), gone); err == nil {
			t.Error("a temporary answer was not bounced")
		}
		w.put("ann@north.test", "bob@south.test")
		synctest.Wait()
		id := w.put("ann@north.test", "cat@south.test")
		synctest.Wait()
		e, err := w.q.Show(t.Context(), id)
		if err != nil || !strings.Contains(e.Recipients[0].Status.Text, "the provider wants a pause") || e.Recipients[0].Attempts != 0 {
			t.Errorf("entry %+v, %v; want the reason", e, err)
		}
		all := w.q.Destinations()
		if !slices.ContainsFunc(all, func(d Destination) bool { return strings.Contains(d.Why, "wants a pause") && !d.Suspended.IsZero() }) {
			t.Errorf("destinations %+v", all)
		}
		time.Sleep(3*time.Hour - time.Minute)
		if w.taken(id, "cat@south.test") != 0 {
			t.Error("sent while suspended")
		}
		time.Sleep(2 * time.Hour)
		if w.taken(id, "cat@south.test") != 1 {
			t.Errorf("not sent %v after", time.Since(began))
		}
	})
}

func TestWarmupAndRatesSpreadMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Shaping: Shaping{
			Senders: []SenderRule{{Match: "*@bulk.test", Rate: Rate{Count: 60, Per: time.Hour}}},
		}})
		defer w.stop()
		for i := range 180 {
			w.put("news@bulk.test", fmt.Sprintf("u%d@d%d.test", i, i%30))
		}
		ann := w.put("ann@north.test", "bob@south.test")
		time.Sleep(time.Minute)
		if w.taken(ann, "bob@south.test") != 1 {
			t.Error("the other sender waits")
		}
		time.Sleep(time.Hour - time.Minute - time.Second)
		if took, _ := w.counts(); took-1 > 60 || took-1 < 40 {
			t.Errorf("%d in the first hour, want at most 60", took-1)
		}
		time.Sleep(6 * time.Hour)
		n := 0
		w.mu.Lock()
		for key := range w.took { // but warnings of the delay
			if !strings.Contains(key, "news@") {
				n++
			}
		}
		w.mu.Unlock()
		if n != 181 {
			t.Errorf("%d of 181 delivered, %d left", n, w.size())
		}
	})
}

func TestConfigureWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.stop()
		long := &slowAgent{Agent: w, takes: 30 * time.Second}
		w.q = New(w.cfg)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.q.Run(ctx, w, map[string]Agent{"test": long}) }()
		for i := range 300 {
			w.put(fmt.Sprintf("s%d@north.test", i%7), fmt.Sprintf("u%d@d%d.test", i, i%9))
			if i%20 == 10 {
				time.Sleep(10 * time.Second)
				must(t, w.q.Configure(Policy{First: time.Duration(i+1) * time.Second}, Limits{Jobs: 5 + i, Destination: 1 + i%5, Window: 50 + i},
					Shaping{Rules: []Rule{{Match: []string{"d1.*", "d2.*"}, Together: i%40 == 10, Concurrency: 2, Rate: Rate{Count: 20, Per: time.Minute}}}}))
			}
		}
		if err := w.q.Configure(Policy{}, Limits{}, Shaping{Rules: []Rule{{Match: []string{"[x"}}}}); err == nil {
			t.Error("a bad pattern was taken")
		}
		time.Sleep(6 * time.Hour)
		if took, attempts := w.counts(); took != 300 || attempts != 300 || w.size() != 0 {
			t.Errorf("%d of 300 delivered in %d attempts, %d left", took, attempts, w.size())
		}
		cancel()
		must(t, <-done)
	})
}

// TestClockJumps: a wrong clock loses no mail, bounces none, and puts none off for long.
func TestClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{365 * 24 * time.Hour, -365 * 24 * time.Hour, 2 * time.Hour, -2 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			var shift atomic.Int64
			w := newWorld(t, Config{})
			w.stop()
			w.q = New(w.cfg)
			w.q.clock = func() time.Time { return time.Now().Round(0).Add(time.Duration(shift.Load())) }
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- w.q.Run(ctx, w, map[string]Agent{"test": w}) }()
			began := time.Now()
			var tried atomic.Int64
			w.answer = func(to mail.Address, now time.Time) *mail.Status {
				if to.Local == "ann" {
					return nil
				}
				tried.Add(1)
				if now.Sub(began) < 3*time.Hour {
					return greylist
				}
				return nil
			}
			for i := range 50 {
				w.put("ann@north.test", fmt.Sprintf("u%d@d%d.test", i, i%5))
			}
			time.Sleep(100 * time.Minute)
			before := tried.Load()
			shift.Store(int64(jump))
			time.Sleep(10 * time.Minute)
			if n := tried.Load() - before; n > 100 {
				t.Errorf("jump of %v: %d attempts in ten minutes", jump, n)
			}
			time.Sleep(4 * time.Hour)
			cancel()
			must(t, <-done)
			failed := 0
			w.mu.Lock()
			for _, job := range w.jobs {
				if job.Envelope.From.Null() && strings.Contains(string(job.Content.Bytes()), "Action: failed") {
					failed++
				}
			}
			delivered := 0
			for key := range w.took {
				if !strings.Contains(key, "ann@") {
					delivered++
				}
			}
			w.mu.Unlock()
			if delivered != 50 || failed != 0 {
				t.Errorf("jump of %v: %d of 50 delivered, %d reported as failed, %d left", jump, delivered, failed, w.size())
			}
		})
	}
}
