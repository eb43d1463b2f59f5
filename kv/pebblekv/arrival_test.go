package pebblekv

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"posthaste/kv"
)

// A body whose ID was given out before the memtable began lies apart, and is like any other.
func TestStraggler(t *testing.T) {
	s, err := Open(Config{Dir: "store", FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mustUpdate(t, s, func(tx kv.Txn) { tx.Put([]byte("k"), nil) })
	late := s.NewBodyID()
	if _, err := s.order.rotate(s.db, 0); err != nil {
		t.Fatal(err)
	}
	early := s.NewBodyID()
	mustUpdate(t, s, func(tx kv.Txn) { tx.PutBody(early, []byte("early")); tx.PutBody(late, []byte("late")) })
	wantKey(t, s, bodyKey(nil, early, "p"), true)
	wantKey(t, s, bodyKey(nil, late, "p"), false)
	for id, want := range map[kv.BodyID]string{early: "early", late: "late"} {
		read := func(r kv.Reader) error {
			if got, err := r.Body(id); err != nil || string(got) != want {
				t.Errorf("body %d: %q, %v; want %q", id, got, err, want)
			}
			return nil
		}
		if err := s.View(t.Context(), "p", read); err != nil {
			t.Error(err)
		}
		mustUpdate(t, s, func(tx kv.Txn) { read(tx); tx.DeleteBody(id) })
		err := s.View(t.Context(), "p", func(r kv.Reader) error { _, err := r.Body(id); return err })
		if !errors.Is(err, kv.ErrNotFound) {
			t.Errorf("deleted body %d: %v, want ErrNotFound", id, err)
		}
	}
	straggler := bodyKey(nil, late, "p")
	straggler[0] = stragglerSpace
	wantKey(t, s, straggler, false)
}

func wantKey(t *testing.T, s *Store, key []byte, want bool) {
	t.Helper()
	_, closer, err := s.db.Get(key)
	if err == nil {
		closer.Close()
	}
	if got := !errors.Is(err, pebble.ErrNotFound); got != want {
		t.Errorf("key %q: there %t (%v), want %t", key, got, err, want)
	}
}

func TestTablesEndAtFrontiers(t *testing.T) {
	var a arrivals
	end := func(start []byte) string {
		_, end, err := a.split(start)
		if err != nil {
			t.Fatal(err)
		}
		return string(end)
	}
	afterBodies := string(rune(bodySpace + 1))
	if got := end(bodyKey(nil, 1, "p")); got != afterBodies {
		t.Errorf("without frontiers a table ends at %q, want %q", got, afterBodies)
	}
	a.frontiers.Store(&[keptFrontiers]kv.BodyID{0, 10, 20})
	for _, test := range []struct {
		claim string
		start []byte
		want  string
	}{
		{"old bodies end with the frontier before", bodyKey(nil, 3, "p"), string(bodyKey(nil, 11, ""))},
		{"the frontier itself is the last", bodyKey(nil, 10, "p"), string(bodyKey(nil, 11, ""))},
		{"later bodies end with theirs", bodyKey(nil, 11, "p"), string(bodyKey(nil, 21, ""))},
		{"new bodies end with all bodies", bodyKey(nil, 21, "p"), afterBodies},
		{"keys do not end", keyPrefix("p"), ""},
	} {
		if got := end(test.start); got != test.want {
			t.Errorf("%s: from %q to %q, want %q", test.claim, test.start, got, test.want)
		}
	}
}
