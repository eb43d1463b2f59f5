package queue

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/kv/memkv"
	"posthaste/mail"
)

// An internet is a thousand hosts, of which some are dead, slow or greylisting.
type internet struct {
	bad int // every tenth, of these in turn: dead, slow, greylisting

	mu      sync.Mutex
	out     bool                     // the resolver does not answer
	seen    map[string]time.Time     // greylisting: first attempt by recipient
	took    map[string]time.Duration // by recipient: how long after it was put
	put     map[mail.QueueID]time.Time
	reports int
}

func (n *internet) kind(domain string) string {
	var i int
	fmt.Sscanf(domain, "d%d.test", &i)
	if n.bad == 0 || i%10 != 0 {
		return "good"
	}
	return []string{"dead", "slow", "greylisting"}[i/10%3]
}

func (n *internet) Route(ctx context.Context, q Query) (Route, error) {
	n.mu.Lock()
	out := n.out
	n.mu.Unlock()
	if out {
		time.Sleep(10 * time.Second)
		return Route{}, mail.NewStatus(451, "4.4.3", "the DNS does not answer")
	}
	time.Sleep(20 * time.Millisecond)
	return Route{Agent: "net", Destination: "mx." + q.To.Domain}, nil
}

func (n *internet) Deliver(ctx context.Context, job Job) []*mail.Status {
	to := job.Envelope.Recipients[0].Address
	answer := fine
	switch n.kind(to.Domain) {
	case "dead":
		time.Sleep(30 * time.Second)
		answer = mail.NewStatus(421, "4.4.1", "connection timed out")
	case "slow":
		time.Sleep(4 * time.Minute)
	default:
		time.Sleep(300 * time.Millisecond)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	key := to.String()
	if n.kind(to.Domain) == "greylisting" {
		if _, known := n.seen[key]; !known {
			n.seen[key] = time.Now()
		}
		if time.Since(n.seen[key]) < 5*time.Minute {
			answer = greylist
		}
	}
	if job.Envelope.From.Null() {
		n.reports++
	} else if answer.OK() {
		n.took[key] = time.Since(n.put[job.Envelope.ID])
	}
	return repeat(answer, len(job.Envelope.Recipients))
}

// load puts mail at random to a thousand domains, at that many a second for that long.
func (n *internet) load(t *testing.T, q *Queue, rng *rand.Rand, perSecond int, lasts time.Duration) {
	for i := range int(lasts.Seconds()) * perSecond {
		to := fmt.Sprintf("u%d@d%d.test", i, rng.IntN(1000))
		env := envelope(fmt.Sprintf("s%d@north.test", rng.IntN(50)), to)
		env.ID = q.NewID()
		n.mu.Lock()
		n.put[env.ID] = time.Now()
		n.mu.Unlock()
		if _, err := q.Put(t.Context(), env, mail.Bytes(letter)); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second / time.Duration(perSecond))
	}
}

// TestGoodHostsSeeNothingOfBadOnes sends to a thousand hosts, once all good and once with a tenth of
// them bad, and compares how long the mail to the good ones took.
func TestGoodHostsSeeNothingOfBadOnes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	const perSecond, lasts = 30, 10 * time.Minute
	results := map[int]*internet{}
	for _, bad := range []int{0, 100} {
		synctest.Test(t, func(t *testing.T) {
			n := &internet{bad: bad, seen: map[string]time.Time{}, took: map[string]time.Duration{}, put: map[mail.QueueID]time.Time{}}
			results[bad] = n
			q := New(Config{KV: memkv.New(), Hostname: "mx.north.test", Limits: Limits{Jobs: 200}})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- q.Run(ctx, n, map[string]Agent{"net": n}) }()
			n.load(t, q, rand.New(rand.NewPCG(seed, 1)), perSecond, lasts)
			time.Sleep(3 * time.Hour)
			cancel()
			must(t, <-done)
		})
	}
	mean, mean0, worst, good, good0 := compare(results[100], results[0])
	t.Logf("mail to good hosts took %v with 100 of 1000 hosts bad, %v without; the worst %v; %d and %d delivered in the time of the load",
		mean.Round(time.Millisecond), mean0.Round(time.Millisecond), worst.Round(time.Millisecond), good, good0)
	if float64(good) < 0.95*float64(good0) {
		t.Errorf("good hosts got %d messages in time, with all good %d", good, good0)
	}
	for key, took := range results[100].took {
		if results[100].kind(key[strings.IndexByte(key, '@')+1:]) == "good" && took > 30*time.Second {
			t.Errorf("%s took %v", key, took)
			break
		}
	}
	for key := range results[0].took {
		kind := results[100].kind(key[strings.IndexByte(key, '@')+1:])
		if _, ok := results[100].took[key]; !ok && kind != "dead" {
			t.Errorf("%s at a %s host did not get it", key, kind)
		}
	}
}

// compare counts, for good hosts, what was delivered within ten seconds of its Put.
func compare(with, without *internet) (mean, mean0, worst time.Duration, good, good0 int) {
	n := 0
	for key, took0 := range without.took {
		if with.kind(key[strings.IndexByte(key, '@')+1:]) != "good" {
			continue
		}
		took, ok := with.took[key]
		if !ok {
			continue
		}
		n++
		mean, mean0, worst = mean+took, mean0+took0, max(worst, took)
		if took < 10*time.Second {
			good++
		}
		if took0 < 10*time.Second {
			good0++
		}
	}
	return mean / time.Duration(max(n, 1)), mean0 / time.Duration(max(n, 1)), worst, good, good0
}

// TestResolverOutageBouncesNothing: two hours without DNS, with a restart in the middle.
func TestResolverOutageBouncesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &internet{seen: map[string]time.Time{}, took: map[string]time.Duration{}, put: map[mail.QueueID]time.Time{}, out: true}
		store := memkv.New()
		var q *Queue
		start := func() (stop func()) {
			q = New(Config{KV: store, Hostname: "mx.north.test"})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- q.Run(ctx, n, map[string]Agent{"net": n}) }()
			return func() { cancel(); must(t, <-done) }
		}
		stop := start()
		n.load(t, q, rand.New(rand.NewPCG(1, 1)), 2, 10*time.Minute)
		time.Sleep(50 * time.Minute)
		stop()
		stop = start()
		time.Sleep(time.Hour)
		n.mu.Lock()
		n.out = false
		n.mu.Unlock()
		time.Sleep(15 * time.Minute)
		stop()
		if len(n.took) != 1200 || n.reports != 0 {
			t.Errorf("15 minutes after the outage %d of 1200 are delivered, with %d reports", len(n.took), n.reports)
		}
	})
}
