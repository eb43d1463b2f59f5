package queue

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"posthaste/kv"
	"posthaste/kv/memkv"
	"posthaste/kv/pebblekv"
	"posthaste/mail"
)

type sink struct {
	left atomic.Int64
	done chan struct{}
}

func (s *sink) Route(context.Context, Query) (Route, error) {
	return Route{Agent: "sink", Destination: "sink"}, nil
}

func (s *sink) Deliver(_ context.Context, job Job) []*mail.Status {
	if s.left.Add(-1) == 0 {
		close(s.done)
	}
	return []*mail.Status{fine}
}

// BenchmarkThrough measures a message of 4 KB from Put to the agent, without SMTP.
func BenchmarkThrough(b *testing.B) {
	b.Run("memkv", func(b *testing.B) { benchThrough(b, memkv.New()) })
	b.Run("pebblekv", func(b *testing.B) { benchThrough(b, openPebble(b, b.TempDir())) })
}

func openPebble(b *testing.B, dir string) kv.Store {
	s, err := pebblekv.Open(pebblekv.Config{Dir: dir})
	must(b, err)
	return s
}

func fourKB() mail.Bytes { return mail.Bytes(fmt.Sprintf("%s%04000d\r\n", letter, 7)) }

// clientsAtOnce is how many clients put mail at the same time.
const clientsAtOnce = 10

func benchThrough(b *testing.B, store kv.Store) {
	defer store.Close()
	content := fourKB()
	s := &sink{done: make(chan struct{})}
	s.left.Store(int64(b.N))
	q := New(Config{KV: store})
	ctx, cancel := context.WithCancel(context.Background())
	var running, clients sync.WaitGroup
	running.Go(func() { q.Run(ctx, s, map[string]Agent{"sink": s}) })
	b.ReportAllocs()
	b.ResetTimer()
	var n atomic.Int64
	for range clientsAtOnce {
		clients.Go(func() {
			for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
				if _, err := q.Put(ctx, envelope("ann@north.test", fmt.Sprintf("bob@d%d.test", i%20)), content); err != nil {
					b.Error(err)
				}
			}
		})
	}
	clients.Wait()
	<-s.done
	b.StopTimer()
	cancel()
	running.Wait()
}

func BenchmarkDecodeEntry(b *testing.B) {
	e := newEntry(envelope("ann@north.test", "bob@south.test"), letterTime)
	stored := e.encode()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeEntry("0123456789abcdef", stored); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScan(b *testing.B) {
	const entries = 20_000
	store := openPebble(b, b.TempDir())
	defer store.Close()
	q := New(Config{KV: store})
	for i := range entries {
		e := newEntry(envelope("ann@north.test", fmt.Sprintf("u%d@d%d.test", i, i%1000)), letterTime)
		e.ID = q.NewID()
		e.Recipients[0].State, e.Recipients[0].Status = Deferred, greylist
		_, err := store.Update(b.Context(), shardPartition(shardOf(e.ID)), func(tx kv.Txn) error {
			e.insert(tx, []byte("x"))
			return nil
		})
		must(b, err)
	}
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for range q.List(b.Context(), Filter{}) {
			n++
		}
		if n != entries {
			b.Fatal(n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/entries, "µs/entry")
}
