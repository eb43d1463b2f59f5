package remote

import (
	"net/netip"
	"sync"
	"time"
)

// Bounds of the memory of hosts that did not answer.
const (
	mourning  = 5 * time.Minute // for which such an address is tried last
	maxGraves = 10_000
)

// A graveyard remembers the addresses that could not be connected to, whoever found out, so that the
// next message for any domain with the same host does not wait for it first. It only changes the order of
// hosts: an address that is the only one is tried always.
type graveyard struct {
	mu    sync.Mutex // guards until
	until map[netip.AddrPort]time.Time
}

func newGraveyard() *graveyard { return &graveyard{until: make(map[netip.AddrPort]time.Time)} }

// bury notes that addr did not answer.
func (g *graveyard) bury(addr netip.AddrPort, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for a, until := range g.until {
		if len(g.until) < maxGraves {
			break
		}
		if !now.Before(until) || len(g.until) >= maxGraves {
			delete(g.until, a)
		}
	}
	g.until[addr] = now.Add(mourning)
}

// raise forgets that addr did not answer.
func (g *graveyard) raise(addr netip.AddrPort) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.until, addr)
}

// dead tells whether addr did not answer lately.
func (g *graveyard) dead(addr netip.AddrPort, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return now.Before(g.until[addr])
}
