package correspondents

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/kv"
	"posthaste/kv/memkv"
	"posthaste/mail"
)

func addr(local string) mail.Address { return mail.Address{Local: local, Domain: "south.test"} }

func TestKnowsWhomAnAccountWroteTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memkv.New()
		defer store.Close()
		b := New(store, nil)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { b.Run(ctx) })
		b.Note(1, []mail.Address{addr("bob"), addr("Carol")}, time.Now())
		check := func(when string, b *Book) {
			for _, c := range []struct {
				claim   string
				account mail.AccountID
				to      string
				want    bool
			}{
				{"whom it wrote to", 1, "bob", true},
				{"in any case", 1, "CAROL", true},
				{"nobody else", 1, "dan", false},
				{"for no other account", 2, "bob", false},
				{"and never for nobody", 0, "bob", false},
			} {
				if got := b.Knows(t.Context(), c.account, addr(c.to)); got != c.want {
					t.Errorf("%s, %s: %t", when, c.claim, got)
				}
			}
		}
		check("at once", b)
		stop()
		running.Wait()
		check("after a restart", New(store, nil))
		if n, err := b.Strangers(t.Context(), 1, []mail.Address{addr("bob"), addr("x"), addr("X"), addr("y")}); n != 2 || err != nil {
			t.Errorf("%d strangers, %v; want 2", n, err)
		}
		b.Note(0, []mail.Address{addr("bob")}, time.Now())
		if err := b.Forget(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		for when, b := range map[string]*Book{"forgotten": b, "and after a restart": New(store, nil)} {
			if b.Knows(t.Context(), 1, addr("bob")) {
				t.Errorf("%s: still known", when)
			}
		}
	})
}

func TestNotesWithinADayAreNotWrittenAgain(t *testing.T) {
	b := New(memkv.New(), nil)
	now := time.Now()
	b.Note(1, []mail.Address{addr("bob")}, now)
	if err := b.flush(t.Context()); err != nil || len(b.pending) != 0 {
		t.Fatal(err, b.pending)
	}
	if b.Note(1, []mail.Address{addr("bob")}, now.Add(grain-1)); len(b.pending) != 0 {
		t.Error("written again within a day")
	}
	if b.Note(1, []mail.Address{addr("bob")}, now.Add(grain)); len(b.pending) != 1 {
		t.Error("not written a day later")
	}
}

func TestBounds(t *testing.T) {
	store := memkv.New()
	b := New(store, nil)
	now := time.Unix(1_700_000_000, 0)
	for i := range 3 * MaxPerAccount / 1000 {
		list := make([]mail.Address, 1000)
		for j := range list {
			list[j] = addr(fmt.Sprint(i, "-", j))
		}
		b.Note(1, list, now.Add(time.Duration(i)*time.Minute))
		if err := b.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	stored := 0
	store.View(t.Context(), partitionOf(1), func(r kv.Reader) error {
		all, _ := r.Scan(prefixOf(1), kv.PrefixEnd(prefixOf(1)), false)
		for range all {
			stored++
		}
		return nil
	})
	if stored > MaxPerAccount || len(b.cached) > maxCached {
		t.Errorf("%d addresses of one account are stored, %d are in memory", stored, len(b.cached))
	}
	again := New(store, nil)
	if again.Knows(t.Context(), 1, addr("0-0")) || !again.Knows(t.Context(), 1, addr(fmt.Sprint(3*MaxPerAccount/1000-1, "-999"))) {
		t.Error("the oldest is to go, the latest to stay")
	}
	for i := range maxPending + 10 {
		b.Note(2, []mail.Address{addr(fmt.Sprint(i))}, now)
	}
	if len(b.pending) > maxPending || len(b.cached) > maxCached {
		t.Errorf("%d wait, %d are in memory", len(b.pending), len(b.cached))
	}
}

// broken is a store that fails to read.
type broken struct{ kv.Store }

func (broken) View(context.Context, kv.Partition, func(kv.Reader) error) error {
	return errors.New("disk on fire")
}

func TestAStoreThatFailsKnowsNobody(t *testing.T) {
	b := New(broken{memkv.New()}, nil)
	if b.Knows(t.Context(), 1, addr("bob")) {
		t.Error("known")
	}
	if n, err := b.Strangers(t.Context(), 1, []mail.Address{addr("bob")}); err == nil || n != 0 {
		t.Errorf("%d, %v", n, err)
	}
}
