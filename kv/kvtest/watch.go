package kvtest

import (
	"errors"
	"testing"

	"posthaste/kv"
)

// watched collects what a Watch tells; next waits for it.
type watched chan kv.Version

func watch(t *testing.T, s kv.Store, p kv.Partition) watched {
	t.Helper()
	w := make(watched, 10_000)
	t.Cleanup(s.Watch(p, func(v kv.Version) { w <- v }))
	return w
}

// reach reads until the version want is told, and fails when they do not ascend to just that one.
func (w watched) reach(t *testing.T, want kv.Version) {
	t.Helper()
	var last kv.Version
	for last < want {
		v := <-w
		if v <= last || v > want {
			t.Fatalf("watch told version %d after %d, want up to %d", v, last, want)
		}
		last = v
	}
}

var watchClaims = []claim{
	{"a watch is told new versions in order", func(t *testing.T, s kv.Store) {
		w := watch(t, s, "p")
		for range 20 {
			update(t, s, "p", func(tx kv.Txn) { tx.Put([]byte("k"), nil) })
		}
		w.reach(t, 20)
	}},
	{"a watch is not told of failed, empty or quiet updates, nor of others", func(t *testing.T, s kv.Store) {
		w := watch(t, s, "p")
		update(t, s, "p", func(tx kv.Txn) {})
		update(t, s, "q", func(tx kv.Txn) { tx.Put([]byte("k"), nil); tx.Put([]byte("l"), nil) })
		update(t, s, "q", func(tx kv.Txn) { tx.Put([]byte("k"), nil) })
		s.Update(t.Context(), "p", func(tx kv.Txn) error { tx.Put([]byte("k"), nil); return errors.New("no") })
		update(t, s, "p", func(tx kv.Txn) { tx.Quiet(); tx.Put([]byte("k"), nil) })
		update(t, s, "p", func(tx kv.Txn) { tx.Put([]byte("k"), nil) })
		w.reach(t, 1)
		if len(w) != 0 {
			t.Errorf("%d more versions told", len(w))
		}
	}},
	{"several watches are told, a cancelled one is not", func(t *testing.T, s kv.Store) {
		a, b := watch(t, s, "p"), watch(t, s, "p")
		gone := make(watched, 10)
		cancel := s.Watch("p", func(v kv.Version) { gone <- v })
		cancel()
		cancel()
		update(t, s, "p", func(tx kv.Txn) { tx.Put([]byte("k"), nil) })
		a.reach(t, 1)
		b.reach(t, 1)
		if len(gone) != 0 {
			t.Errorf("the cancelled watch was told %d", <-gone)
		}
	}},
	{"what a watch tells can be viewed", func(t *testing.T, s kv.Store) {
		w := watch(t, s, "p")
		count(t, s, "p")
		w.reach(t, 1)
		wantKeys(t, s, "p", "n=1")
	}},
}
