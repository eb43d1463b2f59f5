package table

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A slowServer answers from a map, after a while, or fails.
type slowServer struct {
	mu    sync.Mutex
	takes time.Duration
	fails error
	asked int
	most  int // asked at one time
	now   int
}

func (s *slowServer) Lookup(ctx context.Context, key string) (string, bool, error) {
	s.mu.Lock()
	s.asked++
	s.now++
	s.most = max(s.most, s.now)
	takes, fails := s.takes, s.fails
	s.mu.Unlock()
	defer func() { s.mu.Lock(); s.now--; s.mu.Unlock() }()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return "", false, ctx.Err()
	}
	if fails != nil {
		return "", false, fails
	}
	return "value of " + key, !strings.HasPrefix(key, "no"), nil
}

func (s *slowServer) Close() error { return nil }

func (s *slowServer) set(takes time.Duration, fails error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takes, s.fails = takes, fails
}

// cached runs do in a bubble with a cache of d before s.
func cached(t *testing.T, d Definition, do func(t *testing.T, c *cache, s *slowServer)) {
	synctest.Test(t, func(t *testing.T) {
		s := new(slowServer)
		c := newCache(s, d, slog.New(slog.DiscardHandler))
		defer c.Close()
		do(t, c, s)
	})
}

func wants(t *testing.T, c *cache, key string, found bool) {
	t.Helper()
	if _, got, err := c.Lookup(t.Context(), key); err != nil || got != found {
		t.Errorf("%s: found %v, error %v; want %v", key, got, err, found)
	}
}

func TestAnswersAreRemembered(t *testing.T) {
	cached(t, Definition{}, func(t *testing.T, c *cache, s *slowServer) {
		for _, step := range []struct {
			after time.Duration
			key   string
			asked int
		}{
			{0, "yes", 1}, {DefaultTTL - 1, "yes", 1}, {1, "yes", 2},
			{0, "no", 3}, {DefaultNegativeTTL - 1, "no", 3}, {1, "no", 4},
		} {
			time.Sleep(step.after)
			wants(t, c, step.key, step.key == "yes")
			if s.asked != step.asked {
				t.Errorf("%s after %v: the server was asked %d times, want %d", step.key, step.after, s.asked, step.asked)
			}
		}
	})
}

func TestFailureIsNeverNotFound(t *testing.T) {
	cached(t, Definition{}, func(t *testing.T, c *cache, s *slowServer) {
		wants(t, c, "yes", true)
		s.set(0, errors.New("down"))
		time.Sleep(DefaultTTL)
		for range 2 { // a failure is not remembered either
			if _, _, err := c.Lookup(t.Context(), "yes"); err == nil {
				t.Error("a dead server gives an answer")
			}
		}
		s.set(0, nil)
		wants(t, c, "yes", true)
	})
}

func TestStaleValueServesWhereConfigured(t *testing.T) {
	cached(t, Definition{StaleTTL: time.Hour}, func(t *testing.T, c *cache, s *slowServer) {
		wants(t, c, "yes", true)
		wants(t, c, "no", false)
		s.set(0, errors.New("down"))
		time.Sleep(time.Hour)
		wants(t, c, "yes", true)
		if _, _, err := c.Lookup(t.Context(), "no"); err == nil {
			t.Error("a stale \"not found\" serves")
		}
		time.Sleep(DefaultTTL)
		if _, _, err := c.Lookup(t.Context(), "yes"); err == nil {
			t.Error("a value serves longer than it may")
		}
	})
}

func TestQueryHasADeadline(t *testing.T) {
	cached(t, Definition{}, func(t *testing.T, c *cache, s *slowServer) {
		s.set(time.Hour, nil)
		start := time.Now()
		if _, _, err := c.Lookup(t.Context(), "yes"); err == nil || time.Since(start) != DefaultTimeout {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

func TestOneKeyIsAskedOnceAtATimeAndFewAtOnce(t *testing.T) {
	cached(t, Definition{Parallel: 2}, func(t *testing.T, c *cache, s *slowServer) {
		s.set(time.Second, nil)
		var all sync.WaitGroup
		for _, key := range strings.Fields("a a a a b c d") {
			all.Go(func() { wants(t, c, key, true) })
		}
		all.Wait()
		if s.asked != 4 || s.most != 2 {
			t.Errorf("asked %d times, %d at once; want 4 and 2", s.asked, s.most)
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	cached(t, Definition{CacheBytes: 10 * (entryOverhead + 20)}, func(t *testing.T, c *cache, s *slowServer) {
		for n := range 1000 {
			wants(t, c, strings.Repeat("k", 1+n%500), true)
			if c.bytes > c.d.CacheBytes || len(c.byKey) != c.recent.Len() {
				t.Fatalf("%d bytes in %d entries", c.bytes, len(c.byKey))
			}
		}
	})
}
