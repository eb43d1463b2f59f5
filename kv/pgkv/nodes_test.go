package pgkv

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"posthaste/kv"
	"posthaste/kv/pgkv/pgtest"
)

// patience is far more than anything here needs on a busy machine.
const patience = 30 * time.Second

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

func wantCount(t *testing.T, s *Store, p kv.Partition, want int) {
	t.Helper()
	err := s.View(t.Context(), p, func(r kv.Reader) error {
		value, err := r.Get([]byte("n"))
		if err == nil && string(value) != fmt.Sprint(want) {
			t.Errorf("%s counted to %s, want %d", p, value, want)
		}
		return err
	})
	if err != nil {
		t.Errorf("view %s: %v", p, err)
	}
}

// testNodes is about what kvtest does not know: that others are at the same database, and that it
// can be far away.
func testNodes(t *testing.T, cluster *pgtest.Cluster) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *pgtest.Cluster)
	}{
		{"nodes may meet on an empty database", meet},
		{"updates of two nodes happen one after the other", contend},
		{"a crowd of writers gets through though each conflicts", crowd},
		{"a node that makes a partition and one that drops it do not mix", dropAndMake},
		{"a watch is told of the commits of another node", hearOther},
		{"a watch is told though the connection it listens on was lost", hearAfterLoss},
		{"a commit whose answer is lost is unknown, and done", loseAnswer},
		{"a commit that is lost itself is unknown, and not done", loseCommit},
		{"of two loads of one partition only the later goes on", loadTwice},
		{"views may fill all their connections and still write", nestedUpdates},
		{"every node gets a number of its own", number},
		{"each session waits for its commits to be durable", durable},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, cluster) })
	}
}

func meet(t *testing.T, c *pgtest.Cluster) {
	url := c.Database(t)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			s, err := Open(t.Context(), Config{URL: url})
			if err != nil {
				t.Errorf("node %d: %v", i, err)
				return
			}
			s.Close()
		})
	}
	all.Wait()
}

// race increments n of p in each store, writers at a time.
func race(t *testing.T, p kv.Partition, writers, each int, stores ...*Store) {
	t.Helper()
	var all sync.WaitGroup
	for _, s := range stores {
		for range writers {
			all.Go(func() {
				for range each {
					if _, err := s.Update(t.Context(), p, increment); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	all.Wait()
}

func contend(t *testing.T, c *pgtest.Cluster) {
	url := c.Database(t)
	a, b := openStore(t, url), openStore(t, url)
	race(t, "p", 3, 10, a, b)
	wantCount(t, a, "p", 60)
	wantCount(t, b, "p", 60)
}

func crowd(t *testing.T, c *pgtest.Cluster) {
	url := c.Database(t)
	var stores []*Store
	for range 4 {
		stores = append(stores, openStore(t, url))
	}
	race(t, "p", 1, 6, stores...)
	wantCount(t, stores[0], "p", 24)
}

func dropAndMake(t *testing.T, c *pgtest.Cluster) {
	url := c.Database(t)
	a, b := openStore(t, url), openStore(t, url)
	var all sync.WaitGroup
	all.Go(func() {
		for range 15 {
			if err := a.Drop(t.Context(), "p"); err != nil {
				t.Error(err)
			}
		}
	})
	all.Go(func() {
		for range 15 {
			_, err := b.Update(t.Context(), "p", func(tx kv.Txn) error {
				value, err := tx.Get([]byte("n"))
				if missing := errors.Is(err, kv.ErrNotFound); missing != (tx.Version() == 0) {
					t.Errorf("n is %q, %v at version %d", value, err, tx.Version())
				}
				return increment(tx)
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
}

func watch(t *testing.T, s *Store, p kv.Partition) chan kv.Version {
	t.Helper()
	told := make(chan kv.Version, 1000)
	t.Cleanup(s.Watch(p, func(v kv.Version) { told <- v }))
	return told
}

func wantTold(t *testing.T, told chan kv.Version, want kv.Version) {
	t.Helper()
	for limit := time.After(patience); ; {
		select {
		case v := <-told:
			if v == want {
				return
			}
			if v > want {
				t.Fatalf("told of version %d, want %d", v, want)
			}
		case <-limit:
			t.Fatalf("not told of version %d within %v", want, patience)
		}
	}
}

func hearOther(t *testing.T, c *pgtest.Cluster) {
	url := c.Database(t)
	a, b := openStore(t, url), openStore(t, url)
	listening(t, a, b, "other")
	for i, p := range []kv.Partition{"p", "a name with spaces", "q"} {
		told := watch(t, a, p)
		race(t, p, 1, i+1, b)
		wantTold(t, told, kv.Version(i+1))
	}
}

// listening waits until s hears what from announces of p.
func listening(t *testing.T, s, from *Store, p kv.Partition) {
	t.Helper()
	told := watch(t, s, p)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for v := kv.Version(1); ; v++ {
		from.notify(map[kv.Partition]kv.Version{p: v})
		select {
		case <-told:
			return
		case <-tick.C:
		case <-limit:
			t.Fatal("never heard an announcement")
		}
	}
}

func hearAfterLoss(t *testing.T, c *pgtest.Cluster) {
	url := c.Database(t)
	a, b := openStore(t, url), openStore(t, url)
	listening(t, a, b, "other")
	told := watch(t, a, "p")
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for i := range 3 {
		tag, err := conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE application_name = 'posthaste' AND datname = current_database()`)
		if err != nil || tag.RowsAffected() == 0 {
			t.Fatalf("cut %d connections: %v", tag.RowsAffected(), err)
		}
		race(t, "p", 1, 1, b)
		wantTold(t, told, kv.Version(i+1))
	}
}

// loseConnections commits through a proxy that meets commits with fate, and returns the store.
func loseConnections(t *testing.T, c *pgtest.Cluster, fate int32) *Store {
	url := c.Database(t)
	direct := openStore(t, url)
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	p := newProxy(t, c, config.RuntimeParams["search_path"])
	s := openStore(t, p.url)
	race(t, "p", 1, 3, s)
	_, err = s.Update(t.Context(), "p", func(tx kv.Txn) error {
		p.fate.Store(fate)
		tx.Put([]byte("n"), []byte("4"))
		return nil
	})
	p.fate.Store(passAll)
	if !errors.Is(err, kv.ErrUnknown) {
		t.Errorf("Update: %v, want ErrUnknown", err)
	}
	race(t, "q", 1, 1, s) // goes on
	return direct
}

func loseAnswer(t *testing.T, c *pgtest.Cluster) {
	s := loseConnections(t, c, cutAnswers)
	wantCount(t, s, "p", 4)
}

func loseCommit(t *testing.T, c *pgtest.Cluster) {
	s := loseConnections(t, c, cutQuestions)
	wantCount(t, s, "p", 3)
}

func loadTwice(t *testing.T, c *pgtest.Cluster) {
	url := c.Database(t)
	a, b := openStore(t, url), openStore(t, url)
	value := make([]byte, loadPiece)
	one := func(yield func(key, value []byte) bool) { yield([]byte("of b"), nil) }
	err := a.Load(t.Context(), "p", 1, func(yield func(key, value []byte) bool) {
		if !yield([]byte("first of a"), value) {
			return
		}
		if err := b.Load(t.Context(), "p", 1, one); err != nil {
			t.Error(err)
		}
		yield([]byte("second of a"), value)
	})
	if !errors.Is(err, kv.ErrLoading) {
		t.Errorf("the first load: %v, want ErrLoading", err)
	}
	err = b.View(t.Context(), "p", func(r kv.Reader) error {
		for _, key := range []string{"first of a", "second of a"} {
			if _, err := r.Get([]byte(key)); !errors.Is(err, kv.ErrNotFound) {
				t.Errorf("%s: %v, want ErrNotFound", key, err)
			}
		}
		_, err := r.Get([]byte("of b"))
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func nestedUpdates(t *testing.T, c *pgtest.Cluster) {
	s := openStore(t, c.Database(t))
	var all sync.WaitGroup
	for i := range 2 * defaultConnections {
		all.Go(func() {
			err := s.View(t.Context(), "p", func(kv.Reader) error {
				_, err := s.Update(t.Context(), kv.Partition(fmt.Sprint("q/", i)), increment)
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func number(t *testing.T, c *pgtest.Cluster) {
	url := c.Database(t)
	a, b := openStore(t, url), openStore(t, url)
	for i, s := range []*Store{a, b, a} {
		if got, err := s.NewNode(t.Context()); err != nil || got != i+1 {
			t.Errorf("node %d, %v; want %d", got, err, i+1)
		}
	}
}

func durable(t *testing.T, c *pgtest.Cluster) {
	s := openStore(t, c.Database(t))
	var got string
	if err := s.pool.QueryRow(t.Context(), `SHOW synchronous_commit`).Scan(&got); err != nil || got != "on" {
		t.Errorf("synchronous_commit is %s, %v; want on", got, err)
	}
}
