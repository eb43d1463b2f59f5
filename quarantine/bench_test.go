package quarantine

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"posthaste/kv/pebblekv"
	"posthaste/mail"
)

// benchWorld is a quarantine on a disk.
func benchWorld(b *testing.B) *Quarantine {
	b.Helper()
	keys, err := pebblekv.Open(pebblekv.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { keys.Close() })
	return New(Config{KV: keys, Policy: func() Policy { return Policy{Keep: time.Hour} }})
}

func benchItem(n uint32) Item {
	return Item{Envelope: mail.Envelope{ID: mail.NewQueueID(time.Now(), 1, n)}, Content: []byte(letter),
		Recipients: []mail.Recipient{{Address: address(fmt.Sprintf("u%d@north.test", n%1000))}}}
}

func BenchmarkPut(b *testing.B) {
	q := benchWorld(b)
	var n atomic.Uint32
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := q.Put(b.Context(), benchItem(n.Add(1))); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkListOne lists the messages of one of a thousand recipients among 5,000.
func BenchmarkListOne(b *testing.B) {
	q := benchWorld(b)
	for n := range uint32(5000) {
		if _, err := q.Put(b.Context(), benchItem(n)); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if list, err := q.List(b.Context(), Filter{Recipient: address("u7@north.test")}); err != nil || len(list) != 5 {
			b.Fatal(len(list), err)
		}
	}
}
