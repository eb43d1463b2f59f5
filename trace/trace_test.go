package trace

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"posthaste/kv"
	"posthaste/kv/memkv"
	"posthaste/mail"
)

var (
	ann = mail.Address{Local: "ann", Domain: "north.test"}
	bob = mail.Address{Local: "bob", Domain: "south.test"}
)

func newLog() *Log {
	return New(Config{KV: memkv.New(), Node: "mx.north.test", ID: 7, Keep: 48 * time.Hour, Max: 1 << 20, Log: slog.New(slog.DiscardHandler)})
}

func TestEventsAreFoundByWhatTheyName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		id := mail.NewQueueID(time.Now(), 7, 1)
		first := Event{ID: id, Step: Submit, OK: true, Peer: "client", Text: "taken", From: ann.String(), To: []mail.Address{bob}, MessageID: "<1@north.test>"}
		l.Record(first)
		l.Record(Event{Step: Access, OK: true, Text: "somebody else", From: "carol@south.test"})
		time.Sleep(90 * time.Minute)
		l.Record(Event{ID: id, Step: Deliver, Text: "later", Answered: "450 4.2.0 greylisted", Took: time.Second})
		for _, key := range []string{string(id), "ann@NORTH.test", "bob@south.test", "<1@north.test>", "1@north.test"} {
			got, err := l.Story(t.Context(), key, 0)
			if err != nil || len(got) != 2 || got[0].Step != Submit || got[1].Answered == "" {
				t.Errorf("%s: %v, %v; want the two steps of %s", key, got, err, id)
			}
		}
		got, err := l.Find(t.Context(), Query{Keys: []string{string(id)}})
		first.Time, first.Node = got[0].Time, "mx.north.test"
		if diff := cmp.Diff(first, got[0], cmp.Comparer(func(a, b mail.Address) bool { return a == b })); err != nil || diff != "" {
			t.Errorf("read back (%v): %s", err, diff)
		}
		if all, err := l.Find(t.Context(), Query{}); err != nil || len(all) != 3 {
			t.Errorf("all events: %d, %v; want 3", len(all), err)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestOldEventsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog()
		for range 4 {
			l.Record(Event{Step: Queue, Text: "a step"})
			if err := l.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(24 * time.Hour)
		}
		if err := l.sweep(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		if left, err := l.Find(t.Context(), Query{}); err != nil || len(left) != 2 {
			t.Errorf("%d events are left, %v; want the 2 of the last 48 hours", len(left), err)
		}
	})
}

func TestTraceIsBoundedInBytesAndMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog()
		l.cfg.Max = 20_000
		for hour := range 20 {
			for i := range 100 {
				l.Record(Event{Step: Queue, ID: mail.NewQueueID(time.Now(), 1, uint32(hour*100+i)), Text: fmt.Sprint(i*i, "step")})
			}
			if err := l.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		if err := l.sweep(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		if _, _, total, _ := l.hours(t.Context()); total > 20_000 || total == 0 {
			t.Errorf("%d bytes are kept, want at most 20000", total)
		}
		for range maxPending + 5 {
			l.Record(Event{Step: Queue})
		}
		if l.Dropped() != 5 {
			t.Errorf("%d events were dropped, want 5", l.Dropped())
		}
	})
}

// TestWordsOfStrangersAreBounded records what a stranger can make as large as a header field may be.
func TestWordsOfStrangersAreBounded(t *testing.T) {
	l := newLog()
	for i := range 100 {
		e := Event{Step: Receive, MessageID: strings.Repeat(fmt.Sprint(i), 1<<20), Text: "taken"}
		for j := range 1000 {
			e.To = append(e.To, mail.Address{Local: fmt.Sprint(strings.Repeat("x", 200), i*j), Domain: "north.test"})
		}
		l.Record(e)
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := 0
	found, err := l.Find(t.Context(), Query{Keys: []string{strings.Repeat("x", 200) + "7@north.test"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range found {
		if n++; e.Text != "taken" || len(e.MessageID) > maxText || len(e.To) != 1000 {
			t.Errorf("%q to %d with a Message-ID of %d bytes", e.Text, len(e.To), len(e.MessageID))
		}
	}
	if n != 2 || l.Dropped() > 0 {
		t.Errorf("%d events were found and %d dropped, want 2 and none", n, l.Dropped())
	}
}

func TestWatchSeesEventsInOrder(t *testing.T) {
	l := newLog()
	var seen []string
	cancel := l.Watch(func(e Event) { seen = append(seen, e.Text) })
	l.Record(Event{Text: "one"})
	l.Record(Event{Text: "two"})
	l.Flush(t.Context())
	cancel()
	l.Record(Event{Text: "three"})
	l.Flush(t.Context())
	if fmt.Sprint(seen) != "[one two]" {
		t.Errorf("saw %v", seen)
	}
}

// A store that fails for a while must not make watchers see an event twice.
func TestWatchSeesAnEventOnce(t *testing.T) {
	store := memkv.New()
	l := newLog()
	l.cfg.KV = store
	seen := 0
	l.Watch(func(Event) { seen++ })
	store.Close()
	for range 3 {
		l.Record(Event{Text: "a step"})
		if err := l.Flush(t.Context()); err == nil {
			t.Fatal("a closed store took events")
		}
	}
	if seen != 3 {
		t.Errorf("saw %d events, want 3", seen)
	}
}

func FuzzDecodeBlock(f *testing.F) {
	f.Add(encodeBlock([]Event{{Time: time.Unix(1, 0), Step: Submit, OK: true, To: []mail.Address{ann, bob}, Took: 3}}))
	f.Add([]byte{3, 8, 1, 2, 3})
	f.Fuzz(func(t *testing.T, block []byte) {
		decodeBlock(block, func(e Event) bool { return true })
	})
}

func BenchmarkRecordAndFlush(b *testing.B) {
	l := newLog()
	e := Event{Step: Deliver, OK: true, ID: "0123456789abcdef", Peer: "mx.south.test [127.0.0.2]", Answered: "250 2.0.0 OK", Text: "delivered into the mailbox INBOX", From: "ann@north.test", To: []mail.Address{bob}}
	for i := 0; b.Loop(); i++ {
		l.Record(e)
		if i%1000 == 999 {
			l.Flush(context.Background())
		}
	}
}

func TestWatchersAreToldSoonThoughRunSlept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		told := make(chan time.Time, 2)
		defer l.Watch(func(Event) { told <- time.Now() })()
		for range 2 {
			time.Sleep(5 * time.Hour)
			l.Record(Event{Step: Access})
			recorded := time.Now()
			if d := (<-told).Sub(recorded); d > time.Second {
				t.Errorf("told after %v, want within a second", d)
			}
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// fullStore takes nothing and counts how often it was asked.
type fullStore struct {
	kv.Store
	full  atomic.Bool
	asked atomic.Int32
}

func (s *fullStore) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Version, error) {
	if s.full.Load() {
		s.asked.Add(1)
		return 0, kv.ErrFull
	}
	return s.Store.Update(ctx, p, fn)
}

func TestAFullStoreIsNotAskedAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog()
		store := &fullStore{Store: l.cfg.KV}
		store.full.Store(true)
		l.cfg.KV = store
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		for range 600 {
			l.Record(Event{Step: Access, From: "ann@north.test"})
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if n := store.asked.Load(); n > 100 {
			t.Errorf("asked a full store %d times in ten minutes", n)
		}
		store.full.Store(false)
		time.Sleep(time.Minute)
		if got, err := l.Find(t.Context(), Query{Limit: 1000}); err != nil || len(got) != 600 {
			t.Errorf("with space again: %d events, %v; want 600", len(got), err)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestVerdictsComeBackWhole(t *testing.T) {
	v := &mail.Verdict{Action: mail.Junk, Score: 6.25, Reason: "5.0 points make junk",
		Findings:  []mail.Finding{{Rule: "SPF_FAIL", Weight: 2.5, Evidence: "192.0.2.1", Meaning: "The domain does not send from there."}, {Rule: "X", Weight: -0.1}},
		Otherwise: []string{"without SPF_FAIL it would go to the inbox"}}
	block := encodeBlock([]Event{{Text: "one"}, {Text: "two", Verdict: v}, {Text: "three"}})
	var got []Event
	if err := decodeBlock(block, func(e Event) bool { got = append(got, e); return true }); err != nil || len(got) != 3 {
		t.Fatalf("got %d events, %v", len(got), err)
	}
	if !reflect.DeepEqual(got[1].Verdict, v) || got[0].Verdict != nil || got[2].Verdict != nil {
		t.Errorf("got %+v, want %+v", got[1].Verdict, v)
	}
}
