package queue

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"posthaste/kv/pebblekv"
	"posthaste/mail"
)

// A powerCut is a test that runs a queue on a disk which forgets what was not synced.
type powerCut struct {
	*world
	t   *testing.T
	rng *rand.Rand
	fs  *vfs.MemFS

	mu       sync.Mutex
	promised map[mail.QueueID]string // what Put took before the power went
	until    int                     // promises
	dark     chan struct{}           // closed when the power goes
	before   map[string]int          // deliveries until then
}

// TestPowerCutsLoseNothing puts mail from several goroutines, cuts the power at random moments, and
// counts: whatever Put said it has is delivered.
func TestPowerCutsLoseNothing(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	synctest.Test(t, func(t *testing.T) {
		c := &powerCut{
			t: t, rng: rand.New(rand.NewPCG(seed, 0)), fs: vfs.NewCrashableMem(), promised: map[mail.QueueID]string{}, before: map[string]int{},
			world: &world{t: t, took: map[string]int{}, content: map[string]string{}},
		}
		c.answer = c.moody()
		for round := range 8 {
			c.round(round)
		}
		c.answer = nil
		store := c.open()
		c.start()
		time.Sleep(24 * time.Hour)
		if n := c.size(); n != 0 {
			t.Errorf("%d entries are left", n)
		}
		c.stop()
		must(t, store.Close())
		lost := 0
		for id, to := range c.promised {
			if c.taken(id, to) == 0 {
				lost++
			}
		}
		if lost > 0 || len(c.promised) == 0 {
			t.Errorf("%d of %d messages were lost", lost, len(c.promised))
		}
	})
}

// moody returns hosts that want a third of the messages again later.
func (c *powerCut) moody() func(mail.Address, time.Time) *mail.Status {
	n := 0
	return func(mail.Address, time.Time) *mail.Status {
		if n++; n%3 == 0 {
			return greylist
		}
		return nil
	}
}

func (c *powerCut) open() *pebblekv.Store {
	store, err := pebblekv.Open(pebblekv.Config{Dir: "db", FS: c.fs, Free: func() (uint64, error) { return 1 << 40, nil }})
	must(c.t, err)
	c.cfg = Config{KV: store, Hostname: "mx.north.test"}
	return store
}

// round runs the queue under load until the power goes, and leaves the disk as it is then.
func (c *powerCut) round(number int) {
	store := c.open()
	c.dark = make(chan struct{})
	c.until = len(c.promised) + c.rng.IntN(200)
	c.start()
	var clients sync.WaitGroup
	for n := range 4 {
		clients.Go(func() {
			for i := 0; c.send(fmt.Sprintf("u%d-%d-%d@d%d.test", number, n, i, i%5)); i++ {
			}
		})
	}
	clients.Wait()
	c.stop()
	must(c.t, store.Close())
	c.took = maps.Clone(c.before)
}

// send puts a message and cuts the power when it was the last. It tells whether there is power.
func (c *powerCut) send(to string) bool {
	id, err := c.q.Put(context.Background(), envelope("ann@north.test", to), mail.Bytes(letter))
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.dark:
		return false // what was said after it does not count
	default:
	}
	if err != nil {
		c.t.Errorf("put: %v", err)
		return false
	}
	c.promised[id] = to
	if len(c.promised) >= c.until {
		close(c.dark)
		c.world.mu.Lock() // no delivery counts from here on
		defer c.world.mu.Unlock()
		maps.Copy(c.before, c.took)
		c.fs = c.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.rng.IntN(101), RNG: c.rng})
	}
	return true
}
