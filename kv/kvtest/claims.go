package kvtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"posthaste/kv"
)

type claim struct {
	name string
	run  func(*testing.T, kv.Store)
}

func runClaims(t *testing.T, cfg Config) {
	machine := cfg.New(t)
	store := machine.Start(t)
	for _, c := range slices.Concat(basicClaims, limitClaims, watchClaims, bodyClaims, wholeClaims) {
		t.Run(c.name, func(t *testing.T) {
			erase(t, store)
			c.run(t, store)
		})
	}
	t.Run("everything outlives a restart", func(t *testing.T) { restart(t, machine) })
	t.Run("a closed store says so", func(t *testing.T) { closed(t, machine.Start(t)) })
}

// erase drops all partitions, so that claims can share one machine.
func erase(t *testing.T, s kv.Store) {
	t.Helper()
	for _, p := range partitions(t, s, "") {
		if err := s.Drop(t.Context(), p); err != nil {
			t.Fatalf("drop %s: %v", p, err)
		}
	}
}

func partitions(t *testing.T, s kv.Store, prefix string) []kv.Partition {
	t.Helper()
	var all []kv.Partition
	err := s.Partitions(t.Context(), prefix, func(p kv.Partition) error { all = append(all, p); return nil })
	if err != nil {
		t.Fatalf("partitions: %v", err)
	}
	return all
}

func update(t *testing.T, s kv.Store, p kv.Partition, fn func(kv.Txn)) kv.Version {
	t.Helper()
	v, err := s.Update(t.Context(), p, func(tx kv.Txn) error { fn(tx); return nil })
	if err != nil {
		t.Fatalf("update %s: %v", p, err)
	}
	return v
}

func view(t *testing.T, s kv.Store, p kv.Partition, fn func(kv.Reader)) {
	t.Helper()
	if err := s.View(t.Context(), p, func(r kv.Reader) error { fn(r); return nil }); err != nil {
		t.Fatalf("view %s: %v", p, err)
	}
}

// dump returns "key=value" of a range, in the order of the scan.
func dump(t *testing.T, r kv.Reader, start, end []byte, reverse bool) []string {
	t.Helper()
	var out []string
	seq, errf := r.Scan(start, end, reverse)
	for key, value := range seq {
		out = append(out, string(key)+"="+string(value))
	}
	if err := errf(); err != nil {
		t.Errorf("scan: %v", err)
	}
	return out
}

func wantKeys(t *testing.T, s kv.Store, p kv.Partition, want ...string) {
	t.Helper()
	view(t, s, p, func(r kv.Reader) {
		if got := dump(t, r, nil, nil, false); !slices.Equal(got, want) {
			t.Errorf("%s holds %q, want %q", p, got, want)
		}
	})
}

var basicClaims = []claim{
	{"a partition never written is empty, at version 0", func(t *testing.T, s kv.Store) {
		view(t, s, "p", func(r kv.Reader) {
			if _, err := r.Get([]byte("k")); !errors.Is(err, kv.ErrNotFound) || r.Version() != 0 {
				t.Errorf("Get: %v at version %d; want ErrNotFound at 0", err, r.Version())
			}
		})
		if got := partitions(t, s, ""); len(got) != 0 {
			t.Errorf("partitions %q, want none", got)
		}
	}},
	{"a transaction reads what it wrote", func(t *testing.T, s kv.Store) {
		update(t, s, "p", func(tx kv.Txn) { tx.Put([]byte("a"), []byte("1")); tx.Put([]byte("b"), []byte("2")) })
		update(t, s, "p", func(tx kv.Txn) {
			tx.Delete([]byte("a"))
			tx.Put([]byte("b"), []byte("3"))
			tx.Put([]byte("c"), []byte("4"))
			if got, want := dump(t, tx, nil, nil, false), []string{"b=3", "c=4"}; !slices.Equal(got, want) {
				t.Errorf("own scan %q, want %q", got, want)
			}
			if _, err := tx.Get([]byte("a")); !errors.Is(err, kv.ErrNotFound) {
				t.Errorf("own deleted key: %v, want ErrNotFound", err)
			}
		})
		wantKeys(t, s, "p", "b=3", "c=4")
	}},
	{"a scan has bounds and two directions", func(t *testing.T, s kv.Store) {
		update(t, s, "p", func(tx kv.Txn) {
			for _, k := range []string{"", "\x00", "a", "a\x00", "b", "\xff", "\xff\xff"} {
				tx.Put([]byte(k), nil)
			}
		})
		for _, test := range []struct {
			start, end string
			toLast     bool
			want       []string
		}{
			{"", "", true, []string{"=", "\x00=", "a=", "a\x00=", "b=", "\xff=", "\xff\xff="}},
			{"a", "b", false, []string{"a=", "a\x00="}},
			{"a\x00", "\xff", false, []string{"a\x00=", "b="}},
			{"b", "", true, []string{"b=", "\xff=", "\xff\xff="}},
			{"b", "a", false, nil},
			{"c", "d", false, nil},
		} {
			end := []byte(test.end)
			if test.toLast {
				end = nil
			}
			view(t, s, "p", func(r kv.Reader) {
				if got := dump(t, r, []byte(test.start), end, false); !slices.Equal(got, test.want) {
					t.Errorf("scan %q to %q: %q, want %q", test.start, end, got, test.want)
				}
				slices.Reverse(test.want)
				if got := dump(t, r, []byte(test.start), end, true); !slices.Equal(got, test.want) {
					t.Errorf("reverse scan %q to %q: %q, want %q", test.start, end, got, test.want)
				}
			})
		}
	}},
	{"a scan shows what was there when it began and can be left early", func(t *testing.T, s kv.Store) {
		update(t, s, "p", func(tx kv.Txn) { tx.Put([]byte("a"), nil); tx.Put([]byte("c"), nil) })
		update(t, s, "p", func(tx kv.Txn) {
			seq, errf := tx.Scan(nil, nil, false)
			var got []string
			for key := range seq {
				got = append(got, string(key))
				tx.Put([]byte("b"), nil)
				tx.Delete([]byte("c"))
			}
			if want := []string{"a", "c"}; !slices.Equal(got, want) || errf() != nil {
				t.Errorf("scanned %q, %v; want %q", got, errf(), want)
			}
			for range seq {
				break
			}
		})
		wantKeys(t, s, "p", "a=", "b=")
	}},
	{"a range is deleted, what is put after it stays", func(t *testing.T, s kv.Store) {
		update(t, s, "p", func(tx kv.Txn) {
			for _, k := range []string{"a", "b", "c", "d"} {
				tx.Put([]byte(k), nil)
			}
		})
		update(t, s, "p", func(tx kv.Txn) {
			tx.Put([]byte("bb"), nil)
			tx.DeleteRange([]byte("b"), []byte("d"))
			tx.Put([]byte("c"), []byte("new"))
			if got, want := dump(t, tx, nil, nil, true), []string{"d=", "c=new", "a="}; !slices.Equal(got, want) {
				t.Errorf("own scan %q, want %q", got, want)
			}
		})
		wantKeys(t, s, "p", "a=", "c=new", "d=")
		update(t, s, "p", func(tx kv.Txn) { tx.DeleteRange([]byte("b"), nil) })
		wantKeys(t, s, "p", "a=")
	}},
	{"partitions do not touch each other", func(t *testing.T, s kv.Store) {
		names := []kv.Partition{"a", "a!", "a/1", "a/10", "a/2", "a0", "b", "~"}
		for _, p := range names {
			update(t, s, p, func(tx kv.Txn) { tx.Put([]byte("k"), []byte(p)); tx.Put([]byte("\xff\xff"), nil) })
		}
		update(t, s, "a/1", func(tx kv.Txn) { tx.DeleteRange(nil, nil) })
		for _, p := range names {
			if p == "a/1" {
				wantKeys(t, s, p)
				continue
			}
			wantKeys(t, s, p, "k="+string(p), "\xff\xff=")
		}
		if got := partitions(t, s, ""); !slices.Equal(got, names) {
			t.Errorf("partitions %q, want %q", got, names)
		}
		if got, want := partitions(t, s, "a/1"), []kv.Partition{"a/1", "a/10"}; !slices.Equal(got, want) {
			t.Errorf("partitions a/1…: %q, want %q", got, want)
		}
	}},
	{"what Put was given may change afterwards", func(t *testing.T, s kv.Store) {
		key, value, body := []byte("k"), []byte("v"), []byte("body")
		id := s.NewBodyID()
		update(t, s, "p", func(tx kv.Txn) { tx.Put(key, value); key[0], value[0] = 'x', 'x'; tx.PutBody(id, body) })
		body[0] = 'x'
		wantKeys(t, s, "p", "k=v")
		wantBody(t, s, "p", id, "body")
	}},
	{"a failed transaction leaves nothing", func(t *testing.T, s kv.Store) {
		no := errors.New("no")
		v, err := s.Update(t.Context(), "p", func(tx kv.Txn) error { tx.Put([]byte("k"), nil); return no })
		if err != no || v != 0 {
			t.Errorf("Update: %d, %v; want 0 and the error of fn as it is", v, err)
		}
		if err := s.View(t.Context(), "p", func(kv.Reader) error { return no }); err != no {
			t.Errorf("View: %v; want the error of fn as it is", err)
		}
		wantKeys(t, s, "p")
		if got := partitions(t, s, ""); len(got) != 0 {
			t.Errorf("partitions %q, want none", got)
		}
	}},
	{"a panic in fn leaves nothing and no lock", func(t *testing.T, s kv.Store) {
		func() {
			defer func() { recover() }()
			s.Update(t.Context(), "p", func(tx kv.Txn) error { tx.Put([]byte("k"), nil); panic("in fn") })
		}()
		func() {
			defer func() { recover() }()
			s.View(t.Context(), "p", func(kv.Reader) error { panic("in fn") })
		}()
		update(t, s, "p", func(tx kv.Txn) { tx.Put([]byte("l"), nil) })
		wantKeys(t, s, "p", "l=")
	}},
	{"versions count commits, not quiet ones nor those without writes", func(t *testing.T, s kv.Store) {
		steps := []struct {
			fn            func(kv.Txn)
			next, version kv.Version
		}{
			{func(tx kv.Txn) { tx.Put([]byte("k"), nil) }, 1, 1},
			{func(tx kv.Txn) {}, 2, 1},
			{func(tx kv.Txn) { tx.Delete([]byte("none")) }, 2, 2},
			{func(tx kv.Txn) { tx.Quiet(); tx.Put([]byte("q"), nil) }, 2, 2},
			{func(tx kv.Txn) { tx.PutBody(s.NewBodyID(), nil) }, 3, 3},
			{func(tx kv.Txn) { tx.DeleteRange(nil, nil) }, 4, 4},
		}
		for i, step := range steps {
			var next kv.Version
			v := update(t, s, "p", func(tx kv.Txn) { step.fn(tx); next = tx.Next() })
			if v != step.version || next != step.next {
				t.Errorf("step %d: version %d, next was %d; want %d, %d", i, v, next, step.version, step.next)
			}
			view(t, s, "p", func(r kv.Reader) {
				if r.Version() != step.version {
					t.Errorf("step %d: view at version %d, want %d", i, r.Version(), step.version)
				}
			})
		}
	}},
	{"a view is a snapshot", func(t *testing.T, s kv.Store) {
		update(t, s, "p", func(tx kv.Txn) { tx.Put([]byte("k"), []byte("1")) })
		view(t, s, "p", func(r kv.Reader) {
			update(t, s, "p", func(tx kv.Txn) { tx.Put([]byte("k"), []byte("2")); tx.Put([]byte("l"), nil) })
			if got := dump(t, r, nil, nil, false); !slices.Equal(got, []string{"k=1"}) || r.Version() != 1 {
				t.Errorf("view holds %q at version %d; want k=1 at 1", got, r.Version())
			}
		})
		wantKeys(t, s, "p", "k=2", "l=")
	}},
	{"updates of one partition happen one after the other", func(t *testing.T, s kv.Store) {
		const writers, each = 8, 25
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				for range each {
					_, err := s.Update(t.Context(), "p", increment)
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		wantKeys(t, s, "p", fmt.Sprintf("n=%d", writers*each))
	}},
	{"a transaction may be built of many reads and writes", func(t *testing.T, s kv.Store) {
		const n = 2000
		update(t, s, "p", func(tx kv.Txn) {
			for i := range n {
				tx.Put(fmt.Appendf(nil, "%05d", i), bytes.Repeat([]byte{byte(i)}, i%50))
			}
		})
		view(t, s, "p", func(r kv.Reader) {
			if got := len(dump(t, r, nil, nil, false)); got != n {
				t.Errorf("%d keys, want %d", got, n)
			}
		})
	}},
}

func increment(tx kv.Txn) error {
	n := 0
	value, err := tx.Get([]byte("n"))
	if err == nil {
		fmt.Sscan(string(value), &n)
	} else if !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	tx.Put([]byte("n"), fmt.Append(nil, n+1))
	return nil
}

// count adds one to key "n" of p.
func count(t *testing.T, s kv.Store, p kv.Partition) kv.Version {
	t.Helper()
	v, err := s.Update(t.Context(), p, increment)
	if err != nil {
		t.Fatalf("update %s: %v", p, err)
	}
	return v
}

var limitClaims = []claim{
	{"names of partitions are printable ASCII", func(t *testing.T, s kv.Store) {
		for _, p := range []kv.Partition{"", "a\x00", "é", "a\n", kv.Partition(strings.Repeat("a", kv.MaxPartition+1))} {
			if err := s.View(t.Context(), p, func(kv.Reader) error { return nil }); !errors.Is(err, kv.ErrPartition) {
				t.Errorf("View %.20q: %v, want ErrPartition", p, err)
			}
			if _, err := s.Update(t.Context(), p, increment); !errors.Is(err, kv.ErrPartition) {
				t.Errorf("Update %.20q: %v, want ErrPartition", p, err)
			}
		}
		long := kv.Partition(strings.Repeat("a", kv.MaxPartition))
		update(t, s, long, func(tx kv.Txn) { tx.Put(make([]byte, kv.MaxKey), nil) })
	}},
	{"what is as large as allowed goes in", func(t *testing.T, s kv.Store) {
		id := s.NewBodyID()
		update(t, s, "p", func(tx kv.Txn) {
			tx.Put(make([]byte, kv.MaxKey), make([]byte, kv.MaxValue))
			tx.PutBody(id, make([]byte, kv.MaxBody))
		})
		view(t, s, "p", func(r kv.Reader) {
			if v, err := r.Get(make([]byte, kv.MaxKey)); err != nil || len(v) != kv.MaxValue {
				t.Errorf("Get: %d bytes, %v", len(v), err)
			}
			if b, err := r.Body(id); err != nil || len(b) != kv.MaxBody {
				t.Errorf("Body: %d bytes, %v", len(b), err)
			}
		})
		update(t, s, "p", func(tx kv.Txn) { tx.DeleteBody(id) })
	}},
	{"what is larger is refused whole", func(t *testing.T, s kv.Store) {
		for what, write := range map[string]func(kv.Txn){
			"key":            func(tx kv.Txn) { tx.Put(make([]byte, kv.MaxKey+1), nil) },
			"key to delete":  func(tx kv.Txn) { tx.Delete(make([]byte, kv.MaxKey+1)) },
			"value":          func(tx kv.Txn) { tx.Put([]byte("v"), make([]byte, kv.MaxValue+1)) },
			"body":           func(tx kv.Txn) { tx.PutBody(s.NewBodyID(), make([]byte, kv.MaxBody+1)) },
			"of all of them": putTooMuch,
		} {
			_, err := s.Update(t.Context(), "p", func(tx kv.Txn) error { tx.Put([]byte("k"), nil); write(tx); return nil })
			if !errors.Is(err, kv.ErrTooLarge) {
				t.Errorf("%s: %v, want ErrTooLarge", what, err)
			}
		}
		wantKeys(t, s, "p")
	}},
	{"an ended context starts nothing", func(t *testing.T, s kv.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Update(ctx, "p", increment); !errors.Is(err, context.Canceled) {
			t.Errorf("Update: %v, want context.Canceled", err)
		}
		if err := s.View(ctx, "p", func(kv.Reader) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("View: %v, want context.Canceled", err)
		}
		wantKeys(t, s, "p")
	}},
}

func putTooMuch(tx kv.Txn) {
	value := make([]byte, kv.MaxValue)
	for i := range kv.MaxTxn/kv.MaxValue + 1 {
		tx.Put([]byte{byte(i)}, value)
	}
}
