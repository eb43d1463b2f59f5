package queue

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"posthaste/kv/pebblekv"
	"posthaste/mail"
)

// TestLongQueue measures a restart with many deferred entries, half of which are due at once: until the
// first new message is delivered, listing and counting them all, and the memory of a process of its
// own. POSTHASTE_TORTURE=1 asks for it; POSTHASTE_TORTURE_ENTRIES is how many, else 200,000.
func TestLongQueue(t *testing.T) {
	if os.Getenv("POSTHASTE_TORTURE") == "" {
		t.Skip("POSTHASTE_TORTURE is not set")
	}
	entries := 200_000
	if n, err := strconv.Atoi(os.Getenv("POSTHASTE_TORTURE_ENTRIES")); err == nil {
		entries = n
	}
	dir := os.Getenv("POSTHASTE_TORTURE_DIR")
	if dir != "" {
		serveLong(t, dir, entries)
		return
	}
	dir = t.TempDir()
	store := openLong(t, dir)
	began := time.Now()
	fillLong(t, New(Config{KV: store}), entries)
	must(t, store.Close())
	t.Logf("%d entries were put in %v", entries, time.Since(began).Round(time.Millisecond))
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLongQueue$", "-test.v", "-test.timeout=10m")
	cmd.Env = append(os.Environ(), "POSTHASTE_TORTURE_DIR="+dir)
	out, err := cmd.CombinedOutput()
	t.Logf("in a process of its own:\n%s", out)
	must(t, err)
}

func openLong(t *testing.T, dir string) *pebblekv.Store {
	s, err := pebblekv.Open(pebblekv.Config{Dir: dir})
	must(t, err)
	return s
}

func fillLong(t *testing.T, q *Queue, entries int) {
	var g errgroup.Group
	g.SetLimit(200)
	content := fourKB()
	for i := range entries {
		g.Go(func() error {
			env := envelope(fmt.Sprintf("s%d@north.test", i%100), fmt.Sprintf("u%d@d%d.test", i, i%1000))
			env.ID = q.NewID()
			e := newEntry(env, time.Now())
			r := &e.Recipients[0]
			r.State, r.Status, r.Next, r.Attempts = Deferred, greylist, time.Now().Add(time.Duration(i%2)*time.Hour), 3
			return q.put(context.Background(), e, content, false)
		})
	}
	must(t, g.Wait())
}

// A grey host defers all but the mail of one recipient.
type grey struct {
	done  chan struct{}
	mu    sync.Mutex
	n     int
	first time.Time
}

func (g *grey) Route(_ context.Context, q Query) (Route, error) {
	return Route{Agent: "grey", Destination: "mx." + q.To.Domain}, nil
}

func (g *grey) Deliver(_ context.Context, job Job) []*mail.Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n++; g.n == 1 {
		g.first = time.Now()
	}
	if job.Envelope.Recipients[0].Address.Local == "fresh" {
		close(g.done)
		return []*mail.Status{fine}
	}
	return []*mail.Status{greylist}
}

func serveLong(t *testing.T, dir string, entries int) {
	began := time.Now()
	store := openLong(t, dir)
	defer store.Close()
	q := New(Config{KV: store})
	g := &grey{done: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { q.Run(ctx, g, map[string]Agent{"grey": g}) })
	for q.Destinations() == nil {
		time.Sleep(time.Millisecond)
	}
	_, err := q.Put(ctx, envelope("ann@north.test", "fresh@south.test"), fourKB())
	must(t, err)
	<-g.done
	t.Logf("restart until new mail is delivered: %v", time.Since(began).Round(time.Millisecond))
	g.mu.Lock()
	t.Logf("restart to sending: %v", g.first.Sub(began).Round(time.Millisecond))
	g.mu.Unlock()
	measure(t, "list while half of it is tried", func() { count(t, q, entries) })
	for tried := 0; tried < entries/2; time.Sleep(100 * time.Millisecond) {
		g.mu.Lock()
		tried = g.n
		g.mu.Unlock()
	}
	t.Logf("half of it was tried once after %v", time.Since(began).Round(time.Millisecond))
	time.Sleep(time.Second)
	measure(t, "list", func() { count(t, q, entries) })
	measure(t, "stats", func() {
		if s, err := q.Stats(t.Context()); err != nil || s.Entries[Deferred] != entries {
			t.Errorf("%+v, %v", s, err)
		}
	})
	t.Logf("largest RSS %s, now %s", memoryOf("VmHWM"), memoryOf("VmRSS"))
	cancel()
	running.Wait()
}

func measure(t *testing.T, what string, fn func()) {
	began := time.Now()
	fn()
	t.Logf("%s: %v", what, time.Since(began).Round(time.Millisecond))
}

func count(t *testing.T, q *Queue, entries int) {
	n := 0
	for _, err := range q.List(t.Context(), Filter{}) {
		must(t, err)
		n++
	}
	if n != entries {
		t.Errorf("listed %d of %d", n, entries)
	}
}

// memoryOf returns a line of /proc/self/status.
func memoryOf(field string) string {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
