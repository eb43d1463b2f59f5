package reputation

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/kv/memkv"
	"posthaste/mail"
)

func TestStandingsSpeakOnceEnoughIsKnown(t *testing.T) {
	for _, c := range []struct {
		name     string
		s        Standing
		min, max float64
	}{
		{"nothing known says nothing", Standing{}, 0, 0},
		{"two mails say nothing", Standing{Bad: 2}, 0, 0},
		{"a few bad ones say something", Standing{Bad: 4}, 0.5, 2},
		{"many bad ones say much", Standing{Bad: 400}, 2.8, 3},
		{"many good ones help", Standing{Good: 400}, -1.5, -1.4},
		{"half and half says nothing", Standing{Good: 50, Bad: 50}, 0, 0},
	} {
		if w := c.s.Weight(); w < c.min || w > c.max {
			t.Errorf("%s: %v points, want %v to %v", c.name, w, c.min, c.max)
		}
	}
}

func TestNetworksOfTheInternetOnly(t *testing.T) {
	for ip, want := range map[string]Identity{
		"192.0.2.7": "net:192.0.2.0/24", "::ffff:192.0.2.7": "net:192.0.2.0/24", "2001:db8:1:2::3": "net:2001:db8:1::/48",
		"127.0.0.1": "", "10.1.2.3": "", "fe80::1": "",
	} {
		if got := Network(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s: %q, want %q", ip, got, want)
		}
	}
	if got := Network(netip.Addr{}); got != "" {
		t.Errorf("no address: %q", got)
	}
}

func TestCountsFadeAndSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memkv.New()
		b := New(Config{KV: store})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.Run(ctx) }()
		for range 20 {
			b.Count(Domain("North.test"), true, 1, time.Now())
		}
		if got := b.Look(ctx, Domain("north.test"), time.Now()); got.Bad != 20 {
			t.Errorf("before it is stored: %+v", got)
		}
		time.Sleep(2 * flushEvery)
		stop()
		<-done
		again := New(Config{KV: store})
		again.Count(Domain("north.test"), true, 1, time.Now())
		if got := again.Look(t.Context(), Domain("north.test"), time.Now()); got.Bad < 20.9 || got.Bad > 21 {
			t.Errorf("after a restart: %+v, want 21", got)
		}
		again.Flush(t.Context())
		time.Sleep(halfLife)
		if got := again.Look(t.Context(), Domain("north.test"), time.Now()); got.Bad < 10.4 || got.Bad > 10.6 {
			t.Errorf("after a month: %+v, want half", got)
		}
		if got := again.Look(t.Context(), "domain:unknown.test", time.Now()); got != (Standing{}) {
			t.Errorf("unknown: %+v", got)
		}
	})
}

func TestTwoNodesAddUp(t *testing.T) {
	store, now := memkv.New(), time.Now()
	a, b := New(Config{KV: store}), New(Config{KV: store})
	id := Address(mail.Address{Local: "Ann", Domain: "north.test"})
	for range 5 {
		a.Count(id, false, 1, now)
		b.Count(id, true, 1, now)
	}
	a.Flush(t.Context())
	b.Flush(t.Context())
	if got := New(Config{KV: store}).Look(t.Context(), id, now); math.Round(got.Good*1000) != 5000 || math.Round(got.Bad*1000) != 5000 {
		t.Errorf("got %+v, want 5 and 5", got)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	b := New(Config{KV: memkv.New()})
	now := time.Now()
	for i := range 2 * maxCached {
		id := Domain(fmt.Sprintf("d%d.test", i))
		b.Look(t.Context(), id, now)
		b.Count(id, true, 1, now)
	}
	if len(b.known) > maxCached || len(b.pending) > maxCached {
		t.Errorf("%d known, %d pending; want %d at most", len(b.known), len(b.pending), maxCached)
	}
}

func TestAReadersWordTakesBackWhatTheFilterCounted(t *testing.T) {
	b, now := New(Config{KV: memkv.New()}), time.Now()
	id := Domain("north.test")
	b.Count(id, true, 5, now)
	b.Count(id, true, -5, now)
	b.Count(id, false, 3, now)
	if got := b.Look(t.Context(), id, now); got.Bad != 0 || got.Good != 3 {
		t.Errorf("got %+v", got)
	}
}
