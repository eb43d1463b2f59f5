package auth

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := Guesses{Exempt: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
		var failing sync.WaitGroup
		fail := func(addr netip.Addr, n int) {
			for range n {
				failing.Go(func() { g.Failed(t.Context(), addr, 0) })
			}
		}
		fail(netip.MustParseAddr("192.0.2.1"), MaxGuesses)
		fail(netip.MustParseAddr("192.0.2.2"), MaxGuesses-1)
		fail(netip.MustParseAddr("2001:db8::1"), MaxGuesses)
		fail(netip.MustParseAddr("10.0.0.1"), 2*MaxGuesses)
		fail(netip.Addr{}, 2*MaxGuesses)
		failing.Wait() // a second later
		for _, c := range []struct {
			claim string
			addr  netip.Addr
			after time.Duration // since the row before
			want  bool
		}{
			{"too many", netip.MustParseAddr("192.0.2.1"), 0, false},
			{"the same address mapped into IPv6", netip.MustParseAddr("::ffff:192.0.2.1"), 0, false},
			{"one more is free", netip.MustParseAddr("192.0.2.2"), 0, true},
			{"another address of the same IPv6 network", netip.MustParseAddr("2001:db8::2"), 0, false},
			{"another IPv6 network", netip.MustParseAddr("2001:db8:0:1::1"), 0, true},
			{"an address never seen", netip.MustParseAddr("192.0.2.3"), 0, true},
			{"an exempt one", netip.MustParseAddr("10.0.0.1"), 0, true},
			{"a client on this host", netip.Addr{}, 0, true},
			{"to the end of the window", netip.MustParseAddr("192.0.2.1"), guessWindow - GuessDelay - 1, false},
			{"and no longer", netip.MustParseAddr("192.0.2.1"), 1, true},
		} {
			time.Sleep(c.after)
			if got := g.Allow(c.addr); got != c.want {
				t.Errorf("%s: %t, want %t", c.claim, got, c.want)
			}
		}
	})
}

func TestGuessesAreAnsweredLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := Guesses{Exempt: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		stranger := netip.MustParseAddr("192.0.2.1")
		for _, c := range []struct {
			claim  string
			ctx    context.Context
			addr   netip.Addr
			before int
			want   time.Duration
		}{
			{"the first", t.Context(), stranger, 0, time.Second},
			{"each twice as late", t.Context(), stranger, 3, 8 * time.Second},
			{"on this host too", t.Context(), netip.Addr{}, 1, 2 * time.Second},
			{"not to exempt ones", t.Context(), netip.MustParseAddr("10.0.0.1"), 3, 0},
			{"not when all ends", over, stranger, 3, 0},
		} {
			start := time.Now()
			g.Failed(c.ctx, c.addr, c.before)
			if d := time.Since(start); d != c.want {
				t.Errorf("%s: after %v, want %v", c.claim, d, c.want)
			}
		}
	})
}

func TestGuessersAreBounded(t *testing.T) {
	var g Guesses
	now := time.Now()
	for i := range 2 * maxGuessers {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		g.count(netip.PrefixFrom(addr, 32), now)
	}
	if len(g.networks) > maxGuessers {
		t.Errorf("%d networks are remembered, want at most %d", len(g.networks), maxGuessers)
	}
}
