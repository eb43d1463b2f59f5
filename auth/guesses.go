package auth

import (
	"net/netip"
	"sync"
	"time"
)

// Bounds on guessing passwords.
const (
	MaxGuesses  = 30 // failed logins from one network within guessWindow
	guessWindow = 15 * time.Minute
	maxGuessers = 10_000 // networks that are remembered
)

// Guesses counts failed logins by network, an IPv4 address or an IPv6 /64, in a window that begins with
// the first. The servers of all protocols share one, or who is refused here goes on there. The zero
// Guesses is ready; its methods may be called at the same time.
type Guesses struct {
	mu       sync.Mutex // guards networks
	networks map[netip.Prefix]guesser
}

type guesser struct {
	failed int
	since  time.Time
}

// Allow tells whether a login from addr is to be tried at all. From the zero Addr, a client on this
// host, it always is.
func (g *Guesses) Allow(addr netip.Addr, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	network := g.networks[networkOf(addr)]
	return network.failed < MaxGuesses || now.Sub(network.since) >= guessWindow
}

// Failed counts a login from addr with wrong credentials.
func (g *Guesses) Failed(addr netip.Addr, now time.Time) {
	if !addr.IsValid() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	key := networkOf(addr)
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

// networkOf returns the network of addr, which one customer has; the zero Prefix of the zero Addr.
func networkOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	network, _ := addr.Prefix(bits) // bits fit every valid address
	return network
}
