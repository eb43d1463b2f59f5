package queue

import (
	"testing"
	"testing/synctest"
	"time"

	"posthaste/kv/memkv"
	"posthaste/mail"
)

func TestAnotherNodeTakesOverADeadOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := memkv.New()
		diskA := &flaky{Store: base}
		a := newWorld(t, Config{KV: diskA, Lease: 9 * time.Second})
		synctest.Wait()
		b := newWorld(t, Config{KV: base, Node: 1, Lease: 9 * time.Second})
		defer b.stop()
		time.Sleep(time.Minute)
		id := b.put("ann@north.test", "bob@south.test") // b puts, a schedules
		time.Sleep(time.Second)
		if a.taken(id, "bob@south.test") != 1 || b.attempts != 0 {
			t.Errorf("the holder delivered %d, the other tried %d times", a.taken(id, "bob@south.test"), b.attempts)
		}
		a.answer = func(mail.Address, time.Time) *mail.Status { return greylist }
		id = b.put("ann@north.test", "cat@south.test")
		time.Sleep(time.Second)
		diskA.dead.Store(true)
		died := time.Now()
		for b.taken(id, "cat@south.test") == 0 && time.Since(died) < time.Hour {
			time.Sleep(time.Second)
		}
		if took := time.Since(died); took > 4*time.Minute {
			t.Errorf("the other node delivered after %v", took)
		}
		a.stop()
	})
}

// A database that restarts must not stop a node for longer than it was away.
func TestHolderGoesOnAfterAnOutage(t *testing.T) {
	for _, outage := range []time.Duration{4 * time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			disk := &flaky{Store: memkv.New()}
			a := newWorld(t, Config{KV: disk, Lease: 15 * time.Second})
			defer a.stop()
			time.Sleep(time.Minute - time.Millisecond)
			disk.dead.Store(true)
			time.Sleep(outage)
			disk.dead.Store(false)
			time.Sleep(2 * time.Second)
			id := a.put("ann@north.test", "bob@south.test")
			time.Sleep(time.Second)
			if a.taken(id, "bob@south.test") != 1 {
				t.Errorf("not delivered 3 seconds after an outage of %v", outage)
			}
		})
	}
}

func TestLeaseIsGivenBackAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := memkv.New()
		a := newWorld(t, Config{KV: base, Lease: time.Hour})
		synctest.Wait()
		b := newWorld(t, Config{KV: base, Node: 1, Lease: time.Hour})
		defer b.stop()
		synctest.Wait()
		a.stop()
		time.Sleep(21 * time.Minute)
		id := b.put("ann@north.test", "bob@south.test")
		synctest.Wait()
		if b.taken(id, "bob@south.test") != 1 {
			t.Error("the other node does not schedule")
		}
	})
}

// A holder that was cut off must not record anything once another node has taken over.
func TestLostLeaseRecordsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := memkv.New()
		a := newWorld(t, Config{KV: base, Lease: 9 * time.Second})
		synctest.Wait()
		hold := make(chan struct{})
		a.answer = func(mail.Address, time.Time) *mail.Status { <-hold; return unknown }
		id := a.put("ann@north.test", "bob@south.test")
		time.Sleep(time.Second)
		shard := shardOf(id)
		d := a.q.dispatcher.Load()
		d.mu.Lock()
		d.shards[shard].epoch-- // as if its lease were of an older epoch
		d.mu.Unlock()
		close(hold)
		synctest.Wait()
		if e, err := a.q.Show(t.Context(), id); err != nil || e.Recipients[0].State != Incoming {
			t.Errorf("%+v, %v; want it untouched", e, err)
		}
		a.stop()
	})
}
