package queue

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

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

// BenchmarkManyDeferred measures a restart with 200,000 deferred messages: until the first new message
// is delivered, listing them all, and the heap. It wants a few GB of disk and half a minute.
func BenchmarkManyDeferred(b *testing.B) {
	const entries = 200_000
	for b.Loop() {
		dir := b.TempDir()
		store := openPebble(b, dir)
		fillDeferred(b, New(Config{KV: store}), entries)
		must(b, store.Close())

		began := time.Now()
		store = openPebble(b, dir)
		q := New(Config{KV: store})
		s := &sink{done: make(chan struct{})}
		s.left.Store(1)
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { q.Run(ctx, s, map[string]Agent{"sink": s}) })
		_, err := q.Put(ctx, envelope("ann@north.test", "bob@south.test"), fourKB())
		must(b, err)
		<-s.done
		b.ReportMetric(time.Since(began).Seconds(), "s/restart")
		began = time.Now()
		stats, err := q.Stats(ctx)
		if err != nil || stats.Entries[Deferred] != entries {
			b.Errorf("%+v, %v", stats, err)
		}
		b.ReportMetric(time.Since(began).Seconds(), "s/list")
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.Sys)/(1<<20), "MB")
		cancel()
		running.Wait()
		must(b, store.Close())
	}
}

// fillDeferred puts mail that is due in an hour.
func fillDeferred(b *testing.B, q *Queue, entries int) {
	var g errgroup.Group
	g.SetLimit(200)
	content := fourKB()
	for i := range entries {
		g.Go(func() error {
			env := envelope("ann@north.test", fmt.Sprintf("u%d@d%d.test", i, i%1000))
			env.ID = q.NewID()
			e := newEntry(env, time.Now())
			r := &e.Recipients[0]
			r.State, r.Status, r.Next = Deferred, greylist, time.Now().Add(time.Hour)
			return q.put(context.Background(), e, content, false)
		})
	}
	must(b, g.Wait())
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
