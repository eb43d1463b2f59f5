package kvtest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"posthaste/kv"
)

func pairs(n int) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		for i := range n {
			if !yield(fmt.Appendf(nil, "%06d", i), fmt.Appendf(nil, "value %d", i)) {
				return
			}
		}
	}
}

// wholeClaims are about partitions as wholes: Load, Drop and Partitions.
var wholeClaims = []claim{
	{"a partition is loaded with its version and goes on from it", func(t *testing.T, s kv.Store) {
		const n, at = 5000, 1<<32 + 7
		if err := s.Load(t.Context(), "p", at, pairs(n)); err != nil {
			t.Fatal(err)
		}
		view(t, s, "p", func(r kv.Reader) {
			if got := len(dump(t, r, nil, nil, false)); got != n || r.Version() != at {
				t.Errorf("%d keys at version %d; want %d at %d", got, r.Version(), n, uint64(at))
			}
		})
		if v := update(t, s, "p", func(tx kv.Txn) { tx.Put([]byte("k"), nil) }); v != at+1 {
			t.Errorf("next version %d, want %d", v, uint64(at+1))
		}
		if got := partitions(t, s, ""); !slices.Equal(got, []kv.Partition{"p"}) {
			t.Errorf("partitions %q, want p", got)
		}
	}},
	{"loading refuses a partition with keys or a higher version", func(t *testing.T, s kv.Store) {
		count(t, s, "p")
		count(t, s, "p")
		if err := s.Load(t.Context(), "p", 9, pairs(1)); !errors.Is(err, kv.ErrExists) {
			t.Errorf("with keys: %v, want ErrExists", err)
		}
		update(t, s, "p", func(tx kv.Txn) { tx.DeleteRange(nil, nil) })
		if err := s.Load(t.Context(), "p", 2, pairs(1)); !errors.Is(err, kv.ErrExists) {
			t.Errorf("with version 3: %v, want ErrExists", err)
		}
		if err := s.Load(t.Context(), "p", 3, pairs(1)); err != nil {
			t.Errorf("empty and not above: %v", err)
		}
		wantKeys(t, s, "p", "000000=value 0")
	}},
	{"a half loaded partition cannot be used, and loaded again afresh", func(t *testing.T, s kv.Store) {
		const n = 5000
		ctx, cancel := context.WithCancel(t.Context())
		err := s.Load(ctx, "p", 1, func(yield func(key, value []byte) bool) {
			for key, value := range pairs(n) {
				if !yield(key, value) {
					return
				}
			}
			cancel()
			yield([]byte("one more"), nil)
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("Load: %v, want context.Canceled", err)
		}
		if err := s.View(t.Context(), "p", func(kv.Reader) error { return nil }); !errors.Is(err, kv.ErrLoading) {
			t.Errorf("View: %v, want ErrLoading", err)
		}
		if _, err := s.Update(t.Context(), "p", increment); !errors.Is(err, kv.ErrLoading) {
			t.Errorf("Update: %v, want ErrLoading", err)
		}
		if err := s.Load(t.Context(), "p", 5, pairs(2)); err != nil {
			t.Fatal(err)
		}
		wantKeys(t, s, "p", "000000=value 0", "000001=value 1")
	}},
	{"a dropped partition has never been", func(t *testing.T, s kv.Store) {
		count(t, s, "p")
		count(t, s, "p/2")
		for range 2 {
			if err := s.Drop(t.Context(), "p"); err != nil {
				t.Fatal(err)
			}
		}
		wantKeys(t, s, "p")
		if got := partitions(t, s, ""); !slices.Equal(got, []kv.Partition{"p/2"}) {
			t.Errorf("partitions %q, want p/2", got)
		}
		if v := count(t, s, "p"); v != 1 {
			t.Errorf("version %d after the first update, want 1", v)
		}
	}},
	{"an error of fn ends the list of partitions", func(t *testing.T, s kv.Store) {
		count(t, s, "a")
		count(t, s, "b")
		enough := errors.New("enough")
		n := 0
		err := s.Partitions(t.Context(), "", func(kv.Partition) error { n++; return enough })
		if err != enough || n != 1 {
			t.Errorf("%v after %d, want %v after 1", err, n, enough)
		}
	}},
}

func restart(t *testing.T, machine Machine) {
	s := machine.Start(t)
	erase(t, s)
	count(t, s, "p")
	update(t, s, "p", func(tx kv.Txn) { tx.Quiet(); tx.Put([]byte("quiet"), nil) })
	id := putBody(t, s, "p", "packed")
	if err := s.Load(t.Context(), "loaded", 77, pairs(3)); err != nil {
		t.Fatal(err)
	}
	s = machine.Start(t)
	wantKeys(t, s, "p", "n=1", "quiet=")
	wantBody(t, s, "p", id, "packed")
	if v := count(t, s, "p"); v != 3 {
		t.Errorf("version %d, want 3", v)
	}
	if v := count(t, s, "loaded"); v != 78 {
		t.Errorf("version %d, want 78", v)
	}
	if next := s.NewBodyID(); next <= id {
		t.Errorf("body ID %d after %d and a restart", next, id)
	}
}

func closed(t *testing.T, s kv.Store) {
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	_, updateErr := s.Update(ctx, "p", increment)
	for call, err := range map[string]error{
		"View":       s.View(ctx, "p", func(kv.Reader) error { return nil }),
		"Update":     updateErr,
		"Load":       s.Load(ctx, "new", 1, pairs(1)),
		"Drop":       s.Drop(ctx, "p"),
		"Partitions": s.Partitions(ctx, "", func(kv.Partition) error { return nil }),
	} {
		if !errors.Is(err, kv.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", call, err)
		}
	}
}
