package queue

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"posthaste/kv/pebblekv"
	"posthaste/mail"
)

func TestBig(t *testing.T) {
	dir := os.Getenv("QBIG")
	if dir == "" {
		t.Skip()
	}
	s, err := pebblekv.Open(pebblekv.Config{Dir: dir})
	must(t, err)
	q := New(Config{KV: s})
	n := 200_000
	var g errgroup.Group
	g.SetLimit(200)
	content := mail.Bytes(fmt.Sprintf("%s%04000d\r\n", letter, 7))
	start := time.Now()
	for i := range n {
		g.Go(func() error {
			env := envelope("ann@north.test", fmt.Sprintf("u%d@d%d.test", i, i%1000))
			e := newEntry(env, time.Now())
			e.ID = q.NewID()
			e.Recipients[0].State, e.Recipients[0].Next = Deferred, time.Now().Add(time.Hour)
			e.Recipients[0].Status = greylist
			return q.put(context.Background(), e, content, false)
		})
	}
	must(t, g.Wait())
	t.Logf("put %v, %.0f/s", time.Since(start), float64(n)/time.Since(start).Seconds())
	must(t, s.Close())

	start = time.Now()
	s, err = pebblekv.Open(pebblekv.Config{Dir: dir})
	must(t, err)
	q = New(Config{KV: s})
	t.Logf("open %v", time.Since(start))
	sk := &sink{done: make(chan struct{})}
	sk.left.Store(1)
	ctx, cancel := context.WithCancel(context.Background())
	go q.Run(ctx, sk, map[string]Agent{"sink": sk})
	_, err = q.Put(ctx, envelope("a@b.test", "c@d.test"), content)
	must(t, err)
	<-sk.done
	t.Logf("restart to sending %v", time.Since(start))
	var m runtime.MemStats
	start = time.Now()
	st, err := q.Stats(ctx)
	must(t, err)
	t.Logf("list %v %+v", time.Since(start), st)
	runtime.ReadMemStats(&m)
	rss, _ := os.ReadFile("/proc/self/statm")
	t.Logf("heap %d MB sys %d MB statm %s", m.HeapAlloc>>20, m.Sys>>20, rss)
	cancel()
}
