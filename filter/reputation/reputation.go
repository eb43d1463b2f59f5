// Package reputation remembers how the mail of a sender turned out, over time: of a domain that proved
// itself, of the network that a client is in.
//
// A [Book] counts good and bad mail for an [Identity], each counting half after thirty days. What a
// filter decided counts little, what readers said much. The counts of an identity become a
// [mail.Finding] once there are enough. Nothing is counted for a name that anybody can claim: who asks
// names domains only that SPF or DKIM proved.
//
// Counts gather in memory and are added to the store every few seconds, so that several nodes add up
// theirs; a crash may lose the last of them, never mail. Memory and store are bounded. Format:
// docs/formats/reputation.md.
package reputation

import (
	"context"
	"log/slog"
	"math"
	"net/netip"
	"strings"
	"sync"
	"time"

	"posthaste/kv"
	"posthaste/mail"
)

// An Identity is what mail is counted for: a domain or a network, as "domain:north.test" or
// "net:192.0.2.0/24".
type Identity string

// Domain returns the identity of a domain that proved itself.
func Domain(name string) Identity { return Identity("domain:" + strings.ToLower(name)) }

// Address returns the identity of an author whose domain proved itself.
func Address(a mail.Address) Identity { return Identity("address:" + strings.ToLower(a.String())) }

// Network returns the identity of the network of a client: an IPv4 /24 or an IPv6 /48. It is empty for
// an address that tells nothing about the Internet.
func Network(ip netip.Addr) Identity {
	ip = ip.Unmap().WithZone("")
	if !ip.IsValid() || ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() {
		return ""
	}
	bits := 48
	if ip.Is4() {
		bits = 24
	}
	prefix, err := ip.Prefix(bits)
	if err != nil {
		return ""
	}
	return Identity("net:" + prefix.String())
}

// A Standing is what is known of an identity.
type Standing struct {
	Good, Bad float64   // mails, those long past counting less
	First     time.Time // when the first came; zero: never
	Last      time.Time
}

const (
	halfLife   = 30 * 24 * time.Hour
	maxCount   = 10_000 // of good or bad; more make no difference
	forgotten  = 180 * 24 * time.Hour
	flushEvery = 5 * time.Second
	maxCached  = 50_000 // identities in memory
)

// at returns s as it counts at now.
func (s Standing) at(now time.Time) Standing {
	if s.Last.IsZero() || !now.After(s.Last) {
		return s
	}
	left := math.Exp2(-float64(now.Sub(s.Last)) / float64(halfLife))
	s.Good, s.Bad = s.Good*left, s.Bad*left
	return s
}

// add returns s and what was counted beside it.
func (s Standing) add(more Standing) Standing {
	latest := s.Last
	if more.Last.After(latest) {
		latest = more.Last
	}
	a, b := s.at(latest), more.at(latest)
	sum := Standing{Good: max(0, min(a.Good+b.Good, maxCount)), Bad: max(0, min(a.Bad+b.Bad, maxCount)), First: s.First, Last: latest}
	if sum.First.IsZero() || !more.First.IsZero() && more.First.Before(sum.First) {
		sum.First = more.First
	}
	return sum
}

// enough is how many mails must be known until they say something.
const enough = 3

// Weight returns the points of s: up to 3 for bad, down to -1.5 for good, 0 while little is known.
func (s Standing) Weight() float64 {
	n := s.Good + s.Bad
	if n < enough {
		return 0
	}
	share := s.Bad / n
	sure := n / (n + 5)
	w := 3 * (share - 0.5) * 2
	if share < 0.5 {
		w = 1.5 * (share - 0.5) * 2
	}
	return math.Round(w*sure*100) / 100
}

// Config says what a Book works with.
type Config struct {
	KV  kv.Store
	Log *slog.Logger // default: none
}

// A Book keeps standings. It may be used at the same time; Run must run for it to remember.
type Book struct {
	store shelf
	log   *slog.Logger

	mu      sync.Mutex // guards what follows
	known   map[Identity]Standing
	pending map[Identity]Standing // counted, not stored yet
}

// New returns a Book.
func New(cfg Config) *Book {
	b := &Book{store: shelf{cfg.KV}, log: cfg.Log, known: map[Identity]Standing{}, pending: map[Identity]Standing{}}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	return b
}

// Look returns the standing of id at now. What cannot be read is as if nothing were known.
func (b *Book) Look(ctx context.Context, id Identity, now time.Time) Standing {
	if id == "" {
		return Standing{}
	}
	b.mu.Lock()
	s, ok := b.known[id]
	b.mu.Unlock()
	if !ok {
		var err error
		if s, err = b.store.load(ctx, id); err != nil {
			b.log.Warn("reputation: cannot read a standing", "identity", string(id), "err", err)
			return Standing{}
		}
		b.mu.Lock()
		b.makeRoom()
		s = s.add(b.pending[id])
		b.known[id] = s
		b.mu.Unlock()
	}
	return s.at(now)
}

// Count notes mail of id: weight mails, good or bad. A negative weight takes some back.
func (b *Book) Count(id Identity, bad bool, weight float64, now time.Time) {
	if id == "" || weight == 0 {
		return
	}
	one := Standing{Good: weight, First: now, Last: now}
	if bad {
		one.Good, one.Bad = 0, weight
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.pending[id]; !ok && len(b.pending) >= maxCached {
		return // the store does not keep up: better less is counted than memory is lost
	}
	b.pending[id] = merge(b.pending[id], one)
	if s, ok := b.known[id]; ok {
		b.known[id] = s.add(one)
	}
}

// merge adds up what is not stored yet; unlike a standing it may be negative.
func merge(a, b Standing) Standing {
	if a.Last.IsZero() {
		return b
	}
	a = a.at(b.Last)
	return Standing{Good: a.Good + b.Good, Bad: a.Bad + b.Bad, First: a.First, Last: b.Last}
}

// makeRoom forgets some of what can be read again. The caller holds mu.
func (b *Book) makeRoom() {
	if len(b.known) < maxCached {
		return
	}
	for id := range b.known {
		delete(b.known, id)
		if len(b.known) < maxCached*3/4 {
			return
		}
	}
}

// Run stores what is counted until ctx ends, then the rest.
func (b *Book) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b.Flush(ctx)
		case <-ctx.Done():
			b.Flush(context.WithoutCancel(ctx))
			return nil
		}
	}
}

// Flush stores what is counted. What cannot be stored now is tried again.
func (b *Book) Flush(ctx context.Context) {
	b.mu.Lock()
	pending := b.pending
	b.pending = map[Identity]Standing{}
	b.mu.Unlock()
	failed, err := b.store.add(ctx, pending)
	if err != nil {
		b.log.Warn("reputation: cannot store what was counted", "err", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, s := range failed {
		if now, ok := b.pending[id]; ok {
			s = merge(s, now)
		}
		b.pending[id] = s
	}
}
