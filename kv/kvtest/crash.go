package kvtest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/kv"
)

const (
	crashPartitions = 4 // each with a writer, so that observers have something to wait for
	crashWriters    = 6
	crashCommits    = 60 // at most, of one round
	looks           = 10_000
	keptCommits     = 10 // a commit removes what the one this many before it wrote
)

// runCrashes crashes one machine again and again at random points under load. After each crash every
// commit is there whole or not at all, and nothing is gone that anybody was told of: by an Update
// that returned, a View, an Update that wrote nothing or failed, or a Watch.
func runCrashes(t *testing.T, cfg Config) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	run := func(t *testing.T) { crashRounds(t, cfg, rand.New(rand.NewPCG(seed, 0))) }
	if cfg.RealTime {
		run(t)
		return
	}
	synctest.Test(t, run)
}

func crashRounds(t *testing.T, cfg Config, rng *rand.Rand) {
	c := &crasher{machine: cfg.New(t), rng: rng, known: make(map[kv.Partition]kv.Version)}
	for c.round = range cfg.Rounds {
		c.store = c.machine.Start(t)
		c.verify(t)
		if t.Failed() {
			t.Fatalf("after crash %d", c.round)
		}
		c.crashUnderLoad(t)
	}
	c.store = c.machine.Start(t)
	c.verify(t)
	if err := c.store.Close(); err != nil {
		t.Error(err)
	}
}

type crasher struct {
	machine Machine
	rng     *rand.Rand
	round   int
	store   kv.Store

	mu      sync.Mutex // guards what follows
	crashed bool
	commits int                         // told of in this round
	known   map[kv.Partition]kv.Version // the newest version that anybody was told of
	enough  chan struct{}               // closed when commits reaches goal
	goal    int
}

// know notes that somebody was told of version v before the crash, and reports whether to go on.
func (c *crasher) know(p kv.Partition, v kv.Version) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.crashed {
		return false
	}
	c.known[p] = max(c.known[p], v)
	if c.commits++; c.commits == c.goal {
		close(c.enough)
	}
	return true
}

func (c *crasher) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.crashed
}

func crashPartition(i int) kv.Partition { return kv.Partition(fmt.Sprintf("account/%d", i)) }

func (c *crasher) crashUnderLoad(t *testing.T) {
	c.crashed, c.commits, c.goal, c.enough = false, 0, 1+c.rng.IntN(crashCommits), make(chan struct{})
	var load sync.WaitGroup
	for i := range crashPartitions {
		p := crashPartition(i)
		defer c.store.Watch(p, func(v kv.Version) { c.know(p, v) })()
		load.Go(func() { c.observe(t, p) })
	}
	for i := range crashWriters {
		load.Go(func() { c.write(t, crashPartition(i%crashPartitions)) })
	}
	<-c.enough
	release := func() {}
	if holder, ok := c.machine.(SyncHolder); ok && c.rng.IntN(2) == 0 {
		release = holder.HoldSyncs()
		synctest.Wait() // everybody waits for a sync
	}
	c.crash(t, c.rng.Uint64())
	release()
	load.Wait()
}

func (c *crasher) crash(t *testing.T, seed uint64) {
	c.mu.Lock()
	c.crashed = true // nothing counts as told from here on, which is before the crash
	c.mu.Unlock()
	c.machine.Crash(t, seed)
}

func token(p kv.Partition, v kv.Version, round int) []byte {
	return fmt.Appendf(nil, "%s at %d in round %d", p, v, round)
}

func versionKey(kind byte, v kv.Version) []byte { return fmt.Appendf(nil, "%c/%08d", kind, v) }

// write commits until the crash. Which version it gets, and so what it writes, is decided in the Txn.
func (c *crasher) write(t *testing.T, p kv.Partition) {
	for {
		id := c.store.NewBodyID()
		v, err := c.store.Update(t.Context(), p, func(tx kv.Txn) error {
			v := tx.Next()
			what := token(p, v, c.round)
			tx.Put(versionKey('a', v), what)
			tx.PutBody(id, bytes.Repeat(what, 100))
			tx.Put(versionKey('i', v), strconv.AppendUint(nil, uint64(id), 10))
			tx.Put(versionKey('z', v), what)
			if v > keptCommits {
				return forget(tx, v-keptCommits)
			}
			return nil
		})
		if err != nil {
			c.failed(t, err)
			return
		}
		if !c.know(p, v) {
			return
		}
	}
}

func forget(tx kv.Txn, v kv.Version) error {
	id, err := tx.Get(versionKey('i', v))
	if err != nil {
		return fmt.Errorf("version %d: %w", v, err)
	}
	n, err := strconv.ParseUint(string(id), 10, 64)
	if err != nil {
		return err
	}
	tx.DeleteBody(kv.BodyID(n))
	for _, kind := range []byte("aiz") {
		tx.Delete(versionKey(kind, v))
	}
	return nil
}

// failed complains about an error that no crash explains.
func (c *crasher) failed(t *testing.T, err error) {
	if !c.over() {
		t.Errorf("before the crash: %v", err)
	}
}

var errSeen = errors.New("seen enough")

// observe reads in all three ways until the crash, or until it has looked often enough: a driver that
// lets it see too much does not make it wait.
func (c *crasher) observe(t *testing.T, p kv.Partition) {
	for i := range looks {
		var v kv.Version
		look := func(r kv.Reader) error { v = r.Version(); return nil }
		var err error
		switch i % 3 {
		case 0:
			err = c.store.View(t.Context(), p, look)
		case 1:
			_, err = c.store.Update(t.Context(), p, func(tx kv.Txn) error { return look(tx) })
		case 2:
			_, err = c.store.Update(t.Context(), p, func(tx kv.Txn) error { look(tx); return errSeen })
			if errors.Is(err, errSeen) {
				err = nil
			}
		}
		if err != nil {
			c.failed(t, err)
			return
		}
		if !c.know(p, v) {
			return
		}
	}
}

func (c *crasher) verify(t *testing.T) {
	for i := range crashPartitions {
		p, other := crashPartition(i), crashPartition(i+1)
		view(t, c.store, p, func(r kv.Reader) {
			if r.Version() < c.known[p] {
				t.Errorf("%s is at version %d, but somebody was told of %d", p, r.Version(), c.known[p])
			}
			for _, id := range c.verifyKeys(t, p, r) {
				wantNoBody(t, c.store, other, id)
			}
		})
	}
}

// verifyKeys checks that p holds exactly the last keptCommits versions, and returns their bodies.
func (c *crasher) verifyKeys(t *testing.T, p kv.Partition, r kv.Reader) []kv.BodyID {
	var ids []kv.BodyID
	kept := min(r.Version(), keptCommits)
	if got := len(dump(t, r, nil, nil, false)); got != 3*int(kept) {
		t.Errorf("%s at version %d has %d keys, want %d", p, r.Version(), got, 3*kept)
	}
	for v := r.Version(); v > r.Version()-kept; v-- {
		first, err := r.Get(versionKey('a', v))
		if err != nil {
			t.Errorf("%s at version %d: %v", p, v, err)
			continue
		}
		first = bytes.Clone(first)
		if last, err := r.Get(versionKey('z', v)); err != nil || !bytes.Equal(first, last) {
			t.Errorf("%s at version %d: %q but %q, %v", p, v, first, last, err)
		}
		id, _ := r.Get(versionKey('i', v))
		n, _ := strconv.ParseUint(string(id), 10, 64)
		if body, err := r.Body(kv.BodyID(n)); err != nil || !bytes.Equal(body, bytes.Repeat(first, 100)) {
			t.Errorf("%s at version %d: body %d: %.40q, %v; want %q", p, v, n, body, err, first)
		}
		ids = append(ids, kv.BodyID(n))
	}
	return ids
}
