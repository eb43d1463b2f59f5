package auth

import (
	"net/netip"
	"testing"
	"time"
)

func TestGuesses(t *testing.T) {
	var g Guesses
	start := time.Now()
	fail := func(addr string, n int) {
		for range n {
			g.Failed(netip.MustParseAddr(addr), start)
		}
	}
	fail("192.0.2.1", MaxGuesses)
	fail("192.0.2.2", MaxGuesses-1)
	fail("2001:db8::1", MaxGuesses)
	for range 2 * MaxGuesses {
		g.Failed(netip.Addr{}, start)
	}
	for _, c := range []struct {
		claim string
		addr  netip.Addr
		after time.Duration
		want  bool
	}{
		{"too many", netip.MustParseAddr("192.0.2.1"), 0, false},
		{"the same address mapped into IPv6", netip.MustParseAddr("::ffff:192.0.2.1"), 0, false},
		{"to the end of the window", netip.MustParseAddr("192.0.2.1"), guessWindow - 1, false},
		{"and no longer", netip.MustParseAddr("192.0.2.1"), guessWindow, true},
		{"one more is free", netip.MustParseAddr("192.0.2.2"), 0, true},
		{"another address of the same IPv6 network", netip.MustParseAddr("2001:db8::2"), 0, false},
		{"another IPv6 network", netip.MustParseAddr("2001:db8:0:1::1"), 0, true},
		{"an address never seen", netip.MustParseAddr("192.0.2.3"), 0, true},
		{"a client on this host", netip.Addr{}, 0, true},
	} {
		if got := g.Allow(c.addr, start.Add(c.after)); got != c.want {
			t.Errorf("%s: %t, want %t", c.claim, got, c.want)
		}
	}
	for i := range 2 * maxGuessers {
		g.Failed(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), start)
	}
	if len(g.networks) > maxGuessers {
		t.Errorf("%d networks are remembered, want at most %d", len(g.networks), maxGuessers)
	}
}
