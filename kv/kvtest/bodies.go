package kvtest

import (
	"errors"
	"testing"

	"posthaste/kv"
)

func wantBody(t *testing.T, s kv.Store, p kv.Partition, id kv.BodyID, want string) {
	t.Helper()
	view(t, s, p, func(r kv.Reader) {
		if got, err := r.Body(id); err != nil || string(got) != want {
			t.Errorf("body %d of %s: %.40q, %v; want %.40q", id, p, got, err, want)
		}
	})
}

func wantNoBody(t *testing.T, s kv.Store, p kv.Partition, id kv.BodyID) {
	t.Helper()
	view(t, s, p, func(r kv.Reader) {
		if got, err := r.Body(id); !errors.Is(err, kv.ErrNotFound) {
			t.Errorf("body %d of %s: %.40q, %v; want ErrNotFound", id, p, got, err)
		}
	})
}

func putBody(t *testing.T, s kv.Store, p kv.Partition, packed string) kv.BodyID {
	t.Helper()
	id := s.NewBodyID()
	update(t, s, p, func(tx kv.Txn) { tx.PutBody(id, []byte(packed)) })
	return id
}

var bodyClaims = []claim{
	{"IDs of bodies ascend and are new", func(t *testing.T, s kv.Store) {
		last := s.NewBodyID()
		for range 1000 {
			id := s.NewBodyID()
			if id <= last {
				t.Fatalf("body ID %d after %d", id, last)
			}
			last = id
		}
	}},
	{"a body is read back, also an empty one", func(t *testing.T, s kv.Store) {
		wantBody(t, s, "p", putBody(t, s, "p", "packed"), "packed")
		wantBody(t, s, "p", putBody(t, s, "p", ""), "")
		wantNoBody(t, s, "p", s.NewBodyID())
		wantNoBody(t, s, "p", 0)
	}},
	{"many bodies are read in any order in one view", func(t *testing.T, s kv.Store) {
		var ids []kv.BodyID
		for i := range 50 {
			ids = append(ids, putBody(t, s, "p", string(rune('A'+i))))
		}
		view(t, s, "p", func(r kv.Reader) {
			for i := range ids {
				i = i * 37 % len(ids)
				got, err := r.Body(ids[i])
				if err != nil || string(got) != string(rune('A'+i)) {
					t.Errorf("body %d: %q, %v; want %q", ids[i], got, err, rune('A'+i))
				}
			}
		})
	}},
	{"a transaction reads the bodies of earlier ones", func(t *testing.T, s kv.Store) {
		id := putBody(t, s, "p", "packed")
		update(t, s, "p", func(tx kv.Txn) {
			if got, err := tx.Body(id); err != nil || string(got) != "packed" {
				t.Errorf("Body: %q, %v", got, err)
			}
		})
	}},
	{"a body can only be read and deleted by its partition", func(t *testing.T, s kv.Store) {
		id := putBody(t, s, "account/1", "secret")
		for _, other := range []kv.Partition{"account/2", "account/", "account/10", "a"} {
			wantNoBody(t, s, other, id)
			update(t, s, other, func(tx kv.Txn) { tx.DeleteBody(id) })
		}
		wantBody(t, s, "account/1", id, "secret")
	}},
	{"a deleted body is gone, in a view from before it is not", func(t *testing.T, s kv.Store) {
		id := putBody(t, s, "p", "packed")
		view(t, s, "p", func(r kv.Reader) {
			update(t, s, "p", func(tx kv.Txn) { tx.DeleteBody(id) })
			if got, err := r.Body(id); err != nil || string(got) != "packed" {
				t.Errorf("in the older view: %q, %v; want packed", got, err)
			}
		})
		wantNoBody(t, s, "p", id)
	}},
	{"a body of a failed transaction is not there", func(t *testing.T, s kv.Store) {
		id := s.NewBodyID()
		s.Update(t.Context(), "p", func(tx kv.Txn) error { tx.PutBody(id, []byte("x")); return errors.New("no") })
		wantNoBody(t, s, "p", id)
	}},
}
