// Package sim is a small Internet in one test process, for tests of whole nodes.
//
// A [World] has a network of its own links, a DNS, and machines. A [Host] is a machine that runs a real
// node (package node, with the real parts) on a disk that forgets what was not synced; a [Peer] is
// somebody else's mail host that answers as told. Links delay, break and split on command, machines
// lose power, resolvers fail. A [Ledger] notes what was promised to whom and counts, in the end, what
// became of it.
//
// Worlds run inside a bubble of testing/synctest, so that five days of retries take seconds. What goes
// wrong follows from a seed ([Seed]), which a test prints and POSTHASTE_SEED replays. The seed fixes the plan
// of faults and the traffic, not the order in which goroutines run: a replay is alike, not identical.
//
// Nothing but tests imports this package.
package sim

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"posthaste/dns/dnstest"
)

// seedVariable names the environment variable that replays a seed.
const seedVariable = "POSTHASTE_SEED"

// Seed returns the seed that POSTHASTE_SEED asks for, or else a new one.
func Seed(t testing.TB) uint64 {
	text := os.Getenv(seedVariable)
	if text == "" {
		return rand.Uint64()
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s=%q: %v", seedVariable, text, err)
	}
	return seed
}

// A World is one Internet. Make it inside a synctest bubble.
type World struct {
	Net    *Network
	DNS    *dnstest.Server
	Ledger *Ledger

	t       testing.TB
	seed    uint64
	crashes int
	log     *slog.Logger
	hosts   []*Host
	peers   []*Peer
	spool   string         // of all peers
	running sync.WaitGroup // nodes, also those that lost power but do not know yet, and peers
}

// NewWorld returns an Internet with nobody on it. What it runs ends with [World.Close].
func NewWorld(t testing.TB, seed uint64) *World {
	w := &World{Net: newNetwork(seed), DNS: dnstest.New(), Ledger: newLedger(), t: t, seed: seed, log: slog.New(slog.DiscardHandler)}
	if os.Getenv("POSTHASTE_SIM_LOG") != "" {
		w.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return w
}

// Rand returns a source of randomness for one purpose.
func (w *World) Rand(purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(w.seed, purpose)) }

// address returns the IP address of the next machine: of 192.0.2.0/24, and beyond of 198.18.0.0/15.
func (w *World) address() netip.Addr {
	n := 1 + len(w.hosts) + len(w.peers)
	if n < 250 {
		return netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})
	}
	return netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)})
}

// spoolDir returns a directory for large messages under way.
func (w *World) spoolDir() string {
	if w.spool == "" {
		w.spool = w.t.TempDir()
	}
	return w.spool
}

// Settle waits, at most limit of virtual time, until no host has anything in its queue.
func (w *World) Settle(limit time.Duration) {
	w.t.Helper()
	const step = 10 * time.Minute
	for until := time.Now().Add(limit); ; time.Sleep(step) {
		left := 0
		for _, h := range w.hosts {
			left += len(h.Queue())
		}
		if left == 0 {
			return
		}
		if time.Now().After(until) {
			w.t.Errorf("%d entries are still in the queues after %v", left, limit)
			for _, h := range w.hosts {
				for _, e := range h.Queue() {
					for _, r := range e.Recipients {
						w.t.Logf("%s: %s to %s: %s, %d attempts, next in %v: %v", h.Name, e.ID, r.Address, r.State, r.Attempts, time.Until(r.Next), r.Status)
					}
				}
			}
			return
		}
	}
}

// Excuses returns how many copies too many the faults so far explain: a connection that broke carried
// one message for some recipients, and a power cut may come when a delivery is done and not recorded.
func (w *World) Excuses() int {
	const recipients = 3
	return recipients * (w.Net.Broken() + w.crashes)
}

// Close ends all that runs: nodes as by SIGTERM, so that their disks can be read.
func (w *World) Close() {
	for _, h := range w.hosts {
		h.Stop()
	}
	for _, p := range w.peers {
		p.stop()
	}
	w.running.Wait()
}

// must ends the test on an error that no fault explains.
func (w *World) must(err error, doing string, args ...any) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%s: %v", fmt.Sprintf(doing, args...), err)
	}
}

// background is the context of what no fault interrupts.
func background() context.Context { return context.Background() }
