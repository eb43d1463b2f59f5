package auth

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"posthaste/wire"
)

// Bounds on guessing passwords.
const (
	MaxGuesses  = 30          // failed logins from one network within guessWindow
	GuessDelay  = time.Second // until the first failed login of a session is answered; doubles with each
	guessWindow = 15 * time.Minute
	maxGuessers = 10_000 // networks that are remembered
)

// Guesses makes guessing passwords slow: it counts failed logins by network, an IPv4 address or an IPv6
// /64, in a window that begins with the first, and puts off the answers to them. The servers of all
// protocols share one, or who is refused here goes on there. The zero Guesses is ready; its methods may
// be called at the same time.
type Guesses struct {
	Exempt []netip.Prefix // who may guess on, without delay; set before use

	mu       sync.Mutex // guards networks
	networks map[netip.Prefix]guesser
}

type guesser struct {
	failed int
	since  time.Time
}

// Allow tells whether a login from addr is to be tried at all. From the zero Addr, a client on this
// host, it always is.
func (g *Guesses) Allow(addr netip.Addr) bool {
	return !addr.IsValid() || wire.Contains(g.Exempt, addr) || g.allow(wire.NetworkOf(addr), time.Now())
}

// Failed counts a login from addr with wrong credentials, before which its session had some others
// fail, and returns when it may be answered, or when ctx ends.
func (g *Guesses) Failed(ctx context.Context, addr netip.Addr, before int) {
	if wire.Contains(g.Exempt, addr) {
		return
	}
	if addr.IsValid() {
		g.count(wire.NetworkOf(addr), time.Now())
	}
	timer := time.NewTimer(GuessDelay << before)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (g *Guesses) allow(key netip.Prefix, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	network := g.networks[key]
	return network.failed < MaxGuesses || now.Sub(network.since) >= guessWindow
}

func (g *Guesses) count(key netip.Prefix, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	network, known := g.networks[key]
	if !known && len(g.networks) >= maxGuessers {
		g.forget(now)
	}
	if !known || now.Sub(network.since) >= guessWindow {
		network = guesser{since: now}
	}
	network.failed++
	if g.networks == nil {
		g.networks = make(map[netip.Prefix]guesser)
	}
	g.networks[key] = network
}

// forget makes room, for many at once since it looks at all: networks whose window is over go, then any.
func (g *Guesses) forget(now time.Time) {
	for key, network := range g.networks {
		if now.Sub(network.since) >= guessWindow {
			delete(g.networks, key)
		}
	}
	for key := range g.networks {
		if len(g.networks) < maxGuessers*3/4 {
			return
		}
		delete(g.networks, key)
	}
}
