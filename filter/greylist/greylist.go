// Package greylist puts mail of strangers off once: programs that send spam seldom come again, mail
// systems always do (RFC 6647).
//
// A [Try] is a client's network, a sender and a recipient. What was not seen before is told to wait; who
// comes again, after a little and within two days, is let through, and after that the network with the
// sender's domain for 36 days from its latest mail. A network of which several different senders came
// through is known altogether. Mail that authenticates is never put off, nor is mail that its recipient
// expects ([Greylist.Expect]) or that comes from somebody the recipient wrote to, which the caller knows.
//
// The decision is a function of what is stored and the time. What is stored lies in buckets by the
// client's network, with a bounded memory before it; when the store does not answer, nothing is put off.
// Keys are told in docs/formats/greylist.md.
package greylist

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"posthaste/kv"
	"posthaste/mail"
)

// Rules say how long is waited and remembered.
type Rules struct {
	Wait   time.Duration // after which who comes again is let through
	Retry  time.Duration // within which it must come again
	Pass   time.Duration // how long a pair of network and domain is let through after its latest mail
	Passes int           // how many different pairs make a network known
}

// DefaultRules follow RFC 6647 section 5.
var DefaultRules = Rules{Wait: time.Minute, Retry: 48 * time.Hour, Pass: 36 * 24 * time.Hour, Passes: 5}

// A Try is a message on offer for one recipient.
type Try struct {
	Client        netip.Addr
	From          mail.ReversePath
	To            mail.Address
	Authenticated bool // SPF, DKIM or DMARC say that the mail is from whom it says
	Known         bool // the sender is known otherwise: the recipient wrote to it, it has a good name
}

// Config says what a Greylist works with.
type Config struct {
	Rules  Rules          // zero: DefaultRules
	Exempt []netip.Prefix // clients that never wait
	KV     kv.Store
	Log    *slog.Logger
}

// A Greylist remembers who came. Its methods may be called at the same time.
type Greylist struct {
	rules  Rules
	exempt []netip.Prefix
	kv     kv.Store
	log    *slog.Logger

	fresh atomic.Int64 // triplets that were new since the last sweep

	mu      sync.Mutex // guards passing
	passing map[string]time.Time
}

// Bounds between two sweeps and of memory.
const (
	maxFresh   = 500_000   // new triplets; more are not put off, or who makes up senders would fill the disk
	maxPassing = 50_000    // pairs and networks that memory knows to pass, so that ordinary mail costs no look into the store
	passingFor = time.Hour // after which the store is told that they still come
)

// New returns a Greylist.
func New(cfg Config) *Greylist {
	if cfg.Rules == (Rules{}) {
		cfg.Rules = DefaultRules
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Greylist{rules: cfg.Rules, exempt: cfg.Exempt, kv: cfg.KV, log: cfg.Log, passing: map[string]time.Time{}}
}

// Check returns how long a message is to wait, and the reason in a sentence; zero is not at all.
func (g *Greylist) Check(ctx context.Context, try Try, now time.Time) (wait time.Duration, reason string) {
	switch {
	case !try.Client.IsValid() || contains(g.exempt, try.Client):
		return 0, "the client is exempt"
	case try.Authenticated:
		return 0, "the mail authenticates"
	case try.Known:
		return 0, "the sender is known"
	}
	k := keysOf(try)
	if g.passes(k, now) {
		return 0, "the sender came before"
	}
	expected, err := g.expected(ctx, try, now)
	if err == nil && expected {
		return 0, "the recipient expects mail"
	}
	if g.fresh.Load() >= maxFresh {
		return 0, "there are too many strangers to remember"
	}
	if err == nil {
		wait, reason, err = g.ask(ctx, k, now)
	}
	if err != nil {
		if ctx.Err() == nil {
			g.log.Warn("greylisting: the store does not answer, so nothing waits", "err", err)
		}
		return 0, "what came before cannot be read"
	}
	return wait, reason
}

// passes tells whether memory knows that the pair, or the network, is let through.
func (g *Greylist) passes(k keys, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return now.Sub(g.passing[string(k.pair)]) < passingFor || now.Sub(g.passing[string(k.network)]) < passingFor
}

// remember keeps in memory that what has a key is let through.
func (g *Greylist) remember(key []byte, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.passing) >= maxPassing {
		n := maxPassing / 8
		for k := range g.passing { // any: the store knows them
			if n--; n < 0 {
				break
			}
			delete(g.passing, k)
		}
	}
	g.passing[string(key)] = now
}

// ask decides by what is stored, and stores what follows.
func (g *Greylist) ask(ctx context.Context, k keys, now time.Time) (wait time.Duration, reason string, err error) {
	var v verdict
	_, err = g.kv.Update(ctx, k.partition, func(t kv.Txn) error {
		t.Quiet()
		var past past
		for _, read := range []struct {
			key []byte
			to  *stamp
		}{{k.triplet, &past.triplet}, {k.pair, &past.pair}, {k.network, &past.network}} {
			value, err := t.Get(read.key)
			if err != nil && !errors.Is(err, kv.ErrNotFound) {
				return err
			}
			read.to.parse(value)
		}
		v = g.rules.decide(past, now)
		for _, write := range []struct {
			key []byte
			was stamp
			is  stamp
		}{{k.triplet, past.triplet, v.triplet}, {k.pair, past.pair, v.pair}, {k.network, past.network, v.network}} {
			switch {
			case write.is == write.was:
			case write.is == stamp{}:
				t.Delete(write.key)
			default:
				t.Put(write.key, write.is.append(nil))
			}
		}
		return nil
	})
	if err != nil {
		return 0, "", err
	}
	if v.wait == g.rules.Wait {
		g.fresh.Add(1)
	}
	if v.wait == 0 {
		g.remember(k.pair, now)
		if v.network.count >= uint64(g.rules.Passes) {
			g.remember(k.network, now)
		}
	}
	return v.wait, v.reason, nil
}

// keys are where a try is remembered.
type keys struct {
	partition              kv.Partition
	triplet, pair, network []byte
}

func keysOf(try Try) keys {
	network := networkOf(try.Client)
	n := append([]byte{byte(network.Bits())}, network.Addr().AsSlice()...)
	domain := strings.ToLower(try.From.Domain)
	k := keys{partition: bucketOf(n)}
	k.network = hash("n/", n)
	k.pair = hash("p/", n, []byte(domain))
	k.triplet = hash("t/", n, []byte(domain), []byte(local(try.From.Local)), []byte(strings.ToLower(try.To.String())))
	return k
}

// local returns a local-part without what changes from mail to mail: digits, and what follows the first
// "+", "=" or "-" of a return path such as bounce-1234=ann@… (RFC 6647 section 5, item 4).
func local(s string) string {
	s = strings.ToLower(s)
	if i := strings.IndexAny(s, "+=-"); i > 0 {
		s = s[:i]
	}
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, s)
}

// networkOf returns what is taken for one client: an IPv4 /24 or IPv6 /64, since mail systems come again
// from another of their hosts.
func networkOf(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap().WithZone("")
	bits := 64
	if ip.Is4() {
		bits = 24
	}
	network, _ := ip.Prefix(bits)
	return network
}

// hash returns a key of the parts.
func hash(kind string, parts ...[]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(p))))
		h.Write(p)
	}
	return append([]byte(kind), h.Sum(nil)[:16]...)
}

func contains(networks []netip.Prefix, ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	for _, n := range networks {
		if n.Contains(ip) {
			return true
		}
	}
	return false
}
