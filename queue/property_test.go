package queue

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"posthaste/kv"
	"posthaste/kv/memkv"
	"posthaste/mail"
)

// A flaky store fails commits on command, and can die: what was committed stays, nothing more is.
type flaky struct {
	kv.Store
	dead    atomic.Bool
	trouble func() error // for the next Update; nil: none
}

func (f *flaky) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Version, error) {
	if f.dead.Load() {
		return 0, kv.ErrClosed
	}
	if f.trouble != nil {
		if err := f.trouble(); err != nil {
			if err == kv.ErrUnknown {
				f.Store.Update(ctx, p, fn) // it did happen
			}
			return 0, err
		}
	}
	return f.Store.Update(ctx, p, fn)
}

// A script is what a host answers for one recipient, one attempt after the other; the last is
// repeated.
type script []*mail.Status

var (
	fine     = mail.NewStatus(250, "2.1.5", "stored")
	greylist = mail.NewStatus(451, "4.7.1", "greylisted")
	down     = mail.NewStatus(421, "4.4.1", "connection refused")
	unknown  = mail.NewStatus(550, "5.1.1", "no such user")
)

var answers = rapid.SampledFrom([]*mail.Status{fine, greylist, down, unknown})

var scripts = rapid.Custom(func(t *rapid.T) script {
	return rapid.SliceOfN(answers, 1, 6).Draw(t, "answers")
})

var finalRecipient = regexp.MustCompile(`Final-Recipient: rfc822; (\S+)\r\nAction: (\w+)`)

// TestEveryRecipientEndsInOneOutcome runs random mail against random hosts. Without crashes each
// recipient is delivered once, or reported as failed once; with crashes at least one of them.
func TestEveryRecipientEndsInOneOutcome(t *testing.T) {
	for _, crashes := range []bool{false, true} {
		t.Run(fmt.Sprintf("crashes=%v", crashes), func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) { synctest.Test(t, func(*testing.T) { simulate(t, r, crashes) }) })
		})
	}
}

// A simulation is one random run.
type simulation struct {
	scripts   map[string]script
	attempts  map[string]int
	delivered map[string]int
	failed    map[string]int
}

func (s *simulation) Route(_ context.Context, q Query) (Route, error) {
	return Route{Agent: "test", Destination: q.To.Domain}, nil
}

func simulate(t *testing.T, r *rapid.T, crashes bool) {
	s := &simulation{scripts: map[string]script{}, attempts: map[string]int{}, delivered: map[string]int{}, failed: map[string]int{}}
	w := &world{t: t, took: map[string]int{}, content: map[string]string{}}
	w.answer = s.answer
	base := memkv.New()
	defer base.Close()
	disk := &flaky{Store: base}
	w.cfg = Config{KV: disk, Hostname: "mx.north.test", Limits: Limits{Window: 8, Jobs: 4, Batch: 2}}
	w.start()
	messages := rapid.IntRange(1, 8).Draw(r, "messages")
	for m := range messages {
		var to []string
		for n := range rapid.IntRange(1, 5).Draw(r, "recipients") {
			a := fmt.Sprintf("u%d-%d@d%d.test", m, n, rapid.IntRange(0, 2).Draw(r, "domain"))
			script := scripts.Draw(r, "script")
			w.mu.Lock()
			s.scripts[a] = script
			w.mu.Unlock()
			to = append(to, a)
		}
		w.put("ann@north.test", to...)
		time.Sleep(time.Duration(rapid.IntRange(0, 100).Draw(r, "pause")) * time.Minute)
		if crashes && rapid.Bool().Draw(r, "crash") {
			disk.dead.Store(true)
			time.Sleep(time.Minute)
			w.stop()
			disk = &flaky{Store: base}
			w.cfg.KV = disk
			w.start()
		}
	}
	time.Sleep(6 * 24 * time.Hour)
	synctest.Wait()
	if left := w.size(); left != 0 {
		r.Errorf("%d entries are left after six days", left)
	}
	w.stop()
	s.countReports(w)
	s.check(r, crashes)
}

// answer is called by one delivery at a time: world holds its lock.
func (s *simulation) answer(to mail.Address, _ time.Time) *mail.Status {
	script, ok := s.scripts[to.String()]
	if !ok {
		return nil // ann
	}
	n := s.attempts[to.String()]
	s.attempts[to.String()]++
	status := script[min(n, len(script)-1)]
	if status.OK() {
		s.delivered[to.String()]++
	}
	return status
}

func (s *simulation) countReports(w *world) {
	for _, job := range w.jobs {
		if job.Envelope.Recipients[0].Address.Local != "ann" {
			continue
		}
		for _, found := range finalRecipient.FindAllStringSubmatch(string(job.Content.Bytes()), -1) {
			if found[2] == "failed" {
				s.failed[found[1]]++
			}
		}
	}
}

func (s *simulation) check(r *rapid.T, crashes bool) {
	for to := range s.scripts {
		outcomes := s.delivered[to] + s.failed[to]
		if outcomes == 0 {
			r.Errorf("%s was lost: neither delivered nor reported", to)
		}
		if outcomes > 1 && !crashes {
			r.Errorf("%s: delivered %d times, reported %d times", to, s.delivered[to], s.failed[to])
		}
	}
}

// TestCommitsThatFailAreRepeated: whatever an Update answers, nothing is lost and nobody gets a
// message twice, because we know that it was delivered.
func TestCommitsThatFailAreRepeated(t *testing.T) {
	for _, trouble := range []error{kv.ErrUnknown, kv.ErrFull, context.DeadlineExceeded} {
		t.Run(trouble.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := &flaky{Store: memkv.New()}
				w := newWorld(t, Config{KV: disk})
				defer w.stop()
				w.answer = func(to mail.Address, _ time.Time) *mail.Status {
					if to.Domain == "south.test" {
						return unknown
					}
					return nil
				}
				synctest.Wait()
				var n atomic.Int32
				disk.trouble = func() error {
					if n.Add(1)%2 == 0 {
						return trouble
					}
					return nil
				}
				id := w.put("ann@north.test", "bob@south.test", "cat@west.test")
				time.Sleep(time.Hour)
				if w.taken(id, "cat@west.test") != 1 || w.size() != 0 {
					t.Errorf("cat got it %d times, %d left", w.taken(id, "cat@west.test"), w.size())
				}
				reports := 0
				for _, job := range w.jobs {
					if job.Envelope.From.Null() {
						reports++
					}
				}
				if reports != 1 {
					t.Errorf("%d reports, want one", reports)
				}
			})
		})
	}
}

func TestFullDiskIsTemporary(t *testing.T) {
	disk := &flaky{Store: memkv.New(), trouble: func() error { return kv.ErrFull }}
	_, err := New(Config{KV: disk}).Put(t.Context(), envelope("ann@north.test", "bob@south.test"), mail.Bytes(letter))
	if s := mail.StatusOf(err); s.Code != 452 || s.Enhanced != "4.3.1" {
		t.Errorf("got %v, want 452 4.3.1", err)
	}
}

func TestPutIsOnceWhenItsOutcomeIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		disk := &flaky{Store: memkv.New()}
		w := newWorld(t, Config{KV: disk})
		defer w.stop()
		synctest.Wait()
		disk.trouble = func() error {
			if first {
				first = false
				return kv.ErrUnknown
			}
			return nil
		}
		id := w.put("ann@north.test", "bob@south.test")
		time.Sleep(time.Hour)
		if n := w.taken(id, "bob@south.test"); n != 1 || w.size() != 0 {
			t.Errorf("delivered %d times, %d entries left", n, w.size())
		}
	})
}

func FuzzDecodeEntry(f *testing.F) {
	e := newEntry(envelope("ann@north.test", "bob@south.test", "cat@west.test"), time.UnixMilli(1795000000000))
	e.Recipients[0].Status = unknown
	e.content.body = 7
	f.Add(string(e.encode()))
	e.origin = strings.Repeat("x", originSize)
	e.content.blob = "1234"
	f.Add(string(e.encode()))
	f.Fuzz(func(t *testing.T, stored string) {
		e, err := decodeEntry("0123456789abcdef", []byte(stored))
		if err != nil {
			return
		}
		again, err := decodeEntry(e.ID, e.encode())
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if string(again.encode()) != string(e.encode()) {
			t.Errorf("%+v became %+v", e, again)
		}
	})
}
