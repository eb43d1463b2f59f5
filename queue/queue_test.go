package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/kv"
	"posthaste/kv/memkv"
	"posthaste/mail"
)

// A world is a queue in a test, with the hosts that its agent delivers to.
type world struct {
	t    testing.TB
	kv   kv.Store
	q    *Queue
	cfg  Config
	stop func()

	mu       sync.Mutex
	answer   func(to mail.Address, now time.Time) *mail.Status // what a host says; nil means 250
	took     map[string]int                                    // deliveries by "<qid> <address>"
	attempts int
	content  map[string]string // by address, of the last delivery
	jobs     []Job
}

func newWorld(t testing.TB, cfg Config) *world {
	w := &world{t: t, took: map[string]int{}, content: map[string]string{}, cfg: cfg}
	if cfg.KV == nil {
		w.cfg.KV = memkv.New()
	}
	w.cfg.Hostname = "mx.north.test"
	w.kv = w.cfg.KV
	w.start()
	return w
}

// start runs a queue on the store as it is.
func (w *world) start() {
	w.q = New(w.cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.q.Run(ctx, w, map[string]Agent{"test": w}) }()
	w.stop = func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Run: %v", err)
		}
	}
}

// Route sends each domain its own way; "nowhere.test" has none.
func (w *world) Route(_ context.Context, q Query) (Route, error) {
	if q.To.Domain == "nowhere.test" {
		return Route{}, mail.NewStatus(550, "5.1.2", "no such domain")
	}
	return Route{Agent: "test", Destination: q.To.Domain}, nil
}

func (w *world) Deliver(_ context.Context, job Job) []*mail.Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.jobs = append(w.jobs, job)
	answers := make([]*mail.Status, len(job.Envelope.Recipients))
	for i, r := range job.Envelope.Recipients {
		w.attempts++
		answers[i] = mail.NewStatus(250, "2.1.5", "stored")
		if w.answer != nil {
			if s := w.answer(r.Address, time.Now()); s != nil {
				answers[i] = s
			}
		}
		if answers[i].OK() {
			w.took[string(job.Envelope.ID)+" "+r.Address.String()]++
			w.content[r.Address.String()] = string(job.Content.Bytes())
		}
	}
	return answers
}

func (w *world) put(from string, to ...string) mail.QueueID {
	w.t.Helper()
	id, err := w.q.Put(context.Background(), envelope(from, to...), mail.Bytes(letter))
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) taken(id mail.QueueID, to string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.took[string(id)+" "+to]
}

// counts returns how many recipients have their mail, and how many attempts there were.
func (w *world) counts() (took, attempts int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.took), w.attempts
}

// read returns the content that was last delivered to an address.
func (w *world) read(to string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.content[to]
}

func (w *world) size() int {
	w.t.Helper()
	n := 0
	for _, err := range w.q.List(context.Background(), Filter{}) {
		if err != nil {
			w.t.Fatal(err)
		}
		n++
	}
	return n
}

var letterTime = time.UnixMilli(1795000000000)

const letter = "From: Ann <ann@north.test>\r\nTo: bob@south.test\r\nSubject: Lunch on Friday\r\n" +
	"Message-ID: <lunch@north.test>\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\n\r\nAt noon?\r\n"

func address(s string) mail.Address {
	var a mail.Address
	a.UnmarshalText([]byte(s))
	return a
}

func envelope(from string, to ...string) mail.Envelope {
	var env mail.Envelope
	if from != "" {
		env.From.Address = address(from)
	}
	for _, s := range to {
		env.Recipients = append(env.Recipients, mail.Recipient{Address: address(s)})
	}
	return env
}

func TestDeliversAtOnceAndForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.stop()
		id := w.put("ann@north.test", "bob@south.test", "cat@west.test", "dan@south.test")
		synctest.Wait()
		for _, to := range []string{"bob@south.test", "cat@west.test", "dan@south.test"} {
			if n := w.taken(id, to); n != 1 {
				t.Errorf("%s got it %d times, want once", to, n)
			}
		}
		if w.read("bob@south.test") != letter {
			t.Errorf("content changed: %q", w.read("bob@south.test"))
		}
		if len(w.jobs) != 2 {
			t.Errorf("%d jobs, want one per destination", len(w.jobs))
		}
		if n := w.size(); n != 0 {
			t.Errorf("%d entries are left", n)
		}
		if n := len(keysOf(t, w.kv)); n != 0 {
			t.Errorf("the store still holds %v", keysOf(t, w.kv))
		}
	})
}

// keysOf returns all keys of the queue but the leases.
func keysOf(t testing.TB, s kv.Store) (keys []string) {
	for i := range Shards {
		err := s.View(context.Background(), shardPartition(i), func(r kv.Reader) error {
			seq, errf := r.Scan(nil, nil, false)
			for key := range seq {
				if string(key) != "l" {
					keys = append(keys, fmt.Sprintf("%d: %q", i, key))
				}
			}
			return errf()
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

func TestTemporaryFailureIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.stop()
		begin := time.Now()
		w.answer = func(_ mail.Address, now time.Time) *mail.Status {
			if now.Sub(begin) < 30*time.Minute {
				return mail.NewStatus(451, "4.7.1", "greylisted")
			}
			return nil
		}
		id := w.put("ann@north.test", "bob@south.test")
		synctest.Wait()
		e, err := w.q.Show(t.Context(), id)
		if err != nil || e.State() != Deferred || e.Recipients[0].Status.Text != "greylisted" {
			t.Fatalf("entry %+v, %v; want deferred, greylisted", e, err)
		}
		if wait := e.Next().Sub(begin); wait < 90*time.Second || wait > 150*time.Second {
			t.Errorf("next attempt in %v, want 2 min ± 20 %%", wait)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if w.taken(id, "bob@south.test") != 1 || w.size() != 0 {
			t.Errorf("delivered %d times, %d left", w.taken(id, "bob@south.test"), w.size())
		}
		if w.attempts < 4 || w.attempts > 7 {
			t.Errorf("%d attempts in half an hour", w.attempts)
		}
	})
}

func TestExpiresAfterFiveDaysWithReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.stop()
		begin := time.Now()
		w.answer = func(to mail.Address, _ time.Time) *mail.Status {
			if to.Domain == "south.test" {
				return &mail.Status{Code: 421, Enhanced: "4.4.1", Text: "connection refused", Peer: "mx.south.test"}
			}
			return nil
		}
		id := w.put("ann@north.test", "bob@south.test")
		time.Sleep(4*time.Hour - time.Second)
		if got := w.read("ann@north.test"); got != "" {
			t.Errorf("a report came before four hours:\n%s", got)
		}
		time.Sleep(2 * time.Hour)
		if got := w.read("ann@north.test"); !strings.Contains(got, "Action: delayed") || !strings.Contains(got, "Will-Retry-Until") {
			t.Errorf("no warning of the delay but %q", got)
		}
		time.Sleep(5*24*time.Hour - time.Since(begin) - time.Minute)
		if w.size() != 1 {
			t.Error("gave up before five days")
		}
		time.Sleep(2 * time.Minute)
		got := w.read("ann@north.test")
		for _, want := range []string{"Action: failed", "Status: 5.4.7", "connection refused", "Subject: Not delivered: Lunch on Friday",
			"<lunch@north.test>", "5 days", "Remote-MTA: dns; mx.south.test"} {
			if !strings.Contains(got, want) {
				t.Errorf("the report lacks %q:\n%s", want, got)
			}
		}
		if w.size() != 0 || w.taken(id, "bob@south.test") != 0 {
			t.Errorf("%d entries left", w.size())
		}
	})
}

func TestNoReportAboutReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.stop()
		w.answer = func(mail.Address, time.Time) *mail.Status { return mail.NewStatus(550, "5.1.1", "no such user") }
		w.put("ann@north.test", "bob@south.test") // both bob and the report to ann fail
		w.put("", "bob@south.test")
		synctest.Wait()
		if w.size() != 0 || w.attempts != 3 {
			t.Errorf("%d attempts, %d entries left; want bob, the report to ann, bob", w.attempts, w.size())
		}
	})
}

func TestUnroutableIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.stop()
		id := w.put("ann@north.test", "bob@nowhere.test", "cat@south.test")
		synctest.Wait()
		if got := w.read("ann@north.test"); !strings.Contains(got, "bob@nowhere.test") || strings.Contains(got, "cat@south.test") {
			t.Errorf("report: %s", got)
		}
		if w.taken(id, "cat@south.test") != 1 || w.size() != 0 {
			t.Error("the other recipient was not served")
		}
	})
}

func TestRestartForgetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.answer = func(mail.Address, time.Time) *mail.Status { return mail.NewStatus(450, "4.2.0", "later") }
		var ids []mail.QueueID
		for i := range 100 {
			ids = append(ids, w.put("ann@north.test", fmt.Sprintf("u%d@d%d.test", i, i%7)))
		}
		synctest.Wait()
		w.stop()
		w.answer = nil
		ids = append(ids, w.put("ann@north.test", "late@south.test")) // while nothing runs
		w.start()
		defer w.stop()
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(w.took) != len(ids) || w.size() != 0 {
			t.Errorf("%d of %d delivered, %d left", len(w.took), len(ids), w.size())
		}
	})
}

func TestDerivedMailIsPutOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.stop()
		put := func() mail.QueueID {
			id, err := w.q.PutDerived(t.Context(), "0123456789abcdef", "forward", address("bob@south.test"),
				envelope("ann@north.test", "cat@west.test"), mail.Bytes(letter))
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		first := put()
		synctest.Wait()
		time.Sleep(6 * 24 * time.Hour)
		if again := put(); again != first {
			t.Errorf("put again as %s, first was %s", again, first)
		}
		synctest.Wait()
		if w.attempts != 1 {
			t.Errorf("%d deliveries, want one", w.attempts)
		}
		time.Sleep(3 * 24 * time.Hour)
		if left := keysOf(t, w.kv); len(left) != 0 {
			t.Errorf("after nine days the store still holds %v", left)
		}
	})
}

func TestKnownIDIsPutOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.stop()
		w.answer = func(mail.Address, time.Time) *mail.Status { return mail.NewStatus(450, "4.2.0", "later") }
		env := envelope("ann@north.test", "bob@south.test")
		env.ID = w.q.NewID()
		for range 3 {
			if id, err := w.q.Put(t.Context(), env, mail.Bytes(letter)); err != nil || id != env.ID {
				t.Fatal(id, err)
			}
		}
		synctest.Wait()
		if w.size() != 1 || w.attempts != 1 {
			t.Errorf("%d entries, %d attempts", w.size(), w.attempts)
		}
	})
}

func TestOperatorVerbs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.stop()
		ctx := t.Context()
		w.answer = func(mail.Address, time.Time) *mail.Status { return mail.NewStatus(450, "4.2.0", "later") }
		id := w.put("", "bob@south.test")
		synctest.Wait()
		must(t, w.q.Hold(ctx, id))
		time.Sleep(24 * time.Hour)
		if e, err := w.q.Show(ctx, id); err != nil || e.State() != Held || w.attempts != 1 {
			t.Fatalf("held: %v %v after %d attempts", e.State(), err, w.attempts)
		}
		must(t, w.q.Release(ctx, id))
		synctest.Wait()
		if w.attempts != 2 {
			t.Errorf("release: %d attempts, want 2", w.attempts)
		}
		must(t, w.q.Retry(ctx, id))
		synctest.Wait()
		if w.attempts != 3 {
			t.Errorf("retry: %d attempts, want 3", w.attempts)
		}
		if c, err := w.q.ReadContent(ctx, id); err != nil || string(c.Bytes()) != letter {
			t.Errorf("content: %v", err)
		}
		if s, err := w.q.Stats(ctx); err != nil || s.Entries[Deferred] != 1 || s.Bytes != int64(len(letter)) {
			t.Errorf("stats %+v, %v", s, err)
		}
		must(t, w.q.Delete(ctx, id))
		time.Sleep(24 * time.Hour)
		if w.attempts != 3 || w.size() != 0 {
			t.Errorf("deleted: %d attempts, %d left", w.attempts, w.size())
		}
		for _, err := range []error{w.q.Retry(ctx, id), w.q.Hold(ctx, id), w.q.Delete(ctx, id)} {
			if !errors.Is(err, ErrNoEntry) {
				t.Errorf("got %v, want ErrNoEntry", err)
			}
		}
	})
}

func TestRetryIgnoresSuspension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.stop()
		w.answer = func(mail.Address, time.Time) *mail.Status { return mail.NewStatus(421, "4.4.1", "refused") }
		for range 20 {
			w.put("ann@north.test", "bob@south.test")
		}
		id := w.put("ann@north.test", "cat@south.test")
		synctest.Wait()
		if w.attempts >= 20 {
			t.Errorf("%d attempts at a dead host", w.attempts)
		}
		w.answer = nil
		must(t, w.q.Retry(t.Context(), id))
		synctest.Wait()
		if w.taken(id, "cat@south.test") != 1 {
			t.Error("retry did not try")
		}
	})
}

func TestCorruptEntryBlocksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memkv.New()
		q := New(Config{KV: s})
		var ids []mail.QueueID
		for range 3 {
			env := envelope("ann@north.test", "bob@south.test")
			env.ID = q.newIDIn(5)
			_, err := q.Put(t.Context(), env, mail.Bytes(letter))
			must(t, err)
			ids = append(ids, env.ID)
		}
		_, err := s.Update(t.Context(), shardPartition(5), func(tx kv.Txn) error {
			tx.Put(entryKey(ids[0]), []byte("rubbish"))
			v, err := tx.Get(entryKey(ids[1]))
			if err != nil {
				return err
			}
			e, err := decodeEntry(ids[1], v)
			tx.DeleteBody(e.content.body)
			return err
		})
		must(t, err)
		w := newWorld(t, Config{KV: s})
		defer w.stop()
		time.Sleep(24 * time.Hour)
		if w.taken(ids[2], "bob@south.test") != 1 {
			t.Error("the whole one was not delivered")
		}
		var states []State
		for e, err := range w.q.List(t.Context(), Filter{}) {
			must(t, err)
			states = append(states, e.State())
		}
		if !slices.Equal(states, []State{Corrupt, Corrupt}) {
			t.Errorf("states %v, want two corrupt", states)
		}
		must(t, w.q.Delete(t.Context(), ids[0]))
	})
}

func TestLargeContentGoesToBlob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if _, err := New(Config{KV: memkv.New()}).Put(t.Context(), envelope("", "bob@south.test"), mail.Bytes(noise(1<<20))); err == nil {
			t.Error("1 MiB was taken without a blob store")
		}
	})
}

// noise returns n bytes that do not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	x := uint64(88172645463325252)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
