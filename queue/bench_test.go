package queue

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"posthaste/kv/memkv"
	"posthaste/mail"
)

type sink struct {
	left atomic.Int64
	done chan struct{}
}

func (s *sink) Route(context.Context, mail.QueueID, mail.Address) (Route, error) {
	return Route{Agent: "sink", Destination: "sink"}, nil
}

func (s *sink) Deliver(_ context.Context, job Job) []*mail.Status {
	if s.left.Add(-1) == 0 {
		close(s.done)
	}
	return []*mail.Status{fine}
}

// BenchmarkThrough measures a message of 4 KB from Put to the agent, without SMTP and without disk.
func BenchmarkThrough(b *testing.B) {
	content := mail.Bytes(fmt.Sprintf("%s%04000d\r\n", letter, 7))
	s := &sink{done: make(chan struct{})}
	s.left.Store(int64(b.N))
	store := memkv.New()
	defer store.Close()
	q := New(Config{KV: store})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { q.Run(ctx, s, map[string]Agent{"sink": s}) })
	b.ReportAllocs()
	b.ResetTimer()
	var n atomic.Int64
	b.SetParallelism(5)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			env := envelope("ann@north.test", fmt.Sprintf("bob@d%d.test", n.Add(1)%20))
			if _, err := q.Put(ctx, env, content); err != nil {
				b.Error(err)
			}
		}
	})
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
