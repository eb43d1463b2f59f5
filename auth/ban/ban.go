// Package ban keeps away who attacks: it counts offences of all protocols, bans networks, and protects
// accounts that many guess at.
//
// [Bans.Offence] and [Gate.Failed] count what a client did: for its network (an IPv4 address or an IPv6
// /64), for the wider prefix (/24, /48), for its autonomous system where a table tells it, and for the
// login it tried. What follows is a plain function of the counts and the time, by [Rules]. A ban ends by
// itself, later each time. Before all that, the answer to a wrong password is slow: see [Gate.Failed].
//
// [Bans.Deny] is asked about each connection, before a server spends anything on it; it takes a read lock
// only while anybody is banned and makes no garbage. Who logged in from a network not long ago is known
// there: a [Device], network and account. A banned network, prefix or system where one is known may still
// connect to services with logins, since only the login shows who it is; the Gate then lets known devices
// log in, and nobody else. An account that is guessed at from many networks is closed to unknown devices
// in the same way, whichever network they come from.
//
// A wrong password that comes again counts once: a forgotten telephone is no attack.
//
// Bans and devices are in the store and shared by all nodes ([Bans.Run]); counts are of one node and of
// its memory. Everything is bounded, and the oldest goes first. Keys are told in docs/formats/ban.md.
package ban

import (
	"context"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"posthaste/directory"
	"posthaste/kv"
	"posthaste/trace"
	"posthaste/wire"
)

// Bounds of what is remembered.
const (
	maxHistories = 20_000 // subjects whose offences are counted
	maxBans      = 20_000 // bans at a time, those of operators included
	maxReason    = 200    // bytes of a reason
	maxLogin     = 320    // bytes of a login
)

// Accounts finds accounts: *directory.Directory.
type Accounts interface {
	AccountByLogin(ctx context.Context, login string) (directory.Account, error)
}

// Config says what a Bans works with. The zero Config counts and bans by [DefaultRules], in memory.
type Config struct {
	Rules    Rules          // zero: DefaultRules
	Exempt   []netip.Prefix // clients without delays and bans
	Accounts Accounts       // nil: no login is known
	ASN      *ASNTable      // nil: systems are unknown
	KV       kv.Store       // nil: in memory only
	Trace    trace.Recorder
	Log      *slog.Logger
}

// A Bans is the memory of who attacked. Servers of all protocols share one, or who is refused here goes
// on there. Its methods may be called at the same time.
type Bans struct {
	accounts Accounts
	store    *keeper // nil: in memory only
	trace    trace.Recorder
	log      *slog.Logger
	seed     maphash.Seed // of passwords tried

	settings atomic.Pointer[settings]
	active   atomic.Int64 // bans in force or just over: none, none is looked for

	mu        sync.RWMutex // guards what follows
	bans      map[Subject]*entry
	widths    [2][129]int // bans of networks by length, of IPv4 and IPv6
	histories map[Subject]*history
	devices   devices
}

// settings are what a reload may change.
type settings struct {
	rules  Rules
	exempt []netip.Prefix
	asn    *ASNTable
}

// An entry is a ban and how often it turned somebody away.
type entry struct {
	Ban
	hits atomic.Int64
}

// New returns a Bans. With a store, call Load for what is in it, and Run.
func New(cfg Config) *Bans {
	if cfg.Trace == nil {
		cfg.Trace = trace.Discard
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	b := &Bans{accounts: cfg.Accounts, trace: cfg.Trace, log: cfg.Log, seed: maphash.MakeSeed(),
		bans: map[Subject]*entry{}, histories: map[Subject]*history{}, devices: newDevices()}
	if cfg.KV != nil {
		b.store = newKeeper(cfg.KV)
	}
	b.Configure(cfg.Rules, cfg.Exempt, cfg.ASN)
	return b
}

// Configure changes by what rules it goes from now on. The zero Rules are DefaultRules.
func (b *Bans) Configure(rules Rules, exempt []netip.Prefix, asn *ASNTable) {
	if rules == (Rules{}) {
		rules = DefaultRules
	}
	b.settings.Store(&settings{rules: rules, exempt: exempt, asn: asn})
}

// Banned returns the ban that holds for addr at now, the narrowest one. The zero Addr, a client on this
// host, never is.
func (b *Bans) Banned(addr netip.Addr, now time.Time) (Ban, bool) {
	e := b.banOf(addr, now)
	if e == nil {
		return Ban{}, false
	}
	return e.Ban, true
}

// banOf is on the way of every connection.
func (b *Bans) banOf(addr netip.Addr, now time.Time) *entry {
	if b.active.Load() == 0 || !addr.IsValid() {
		return nil
	}
	s := b.settings.Load()
	addr = addr.Unmap().WithZone("")
	asn, family := uint32(0), 0
	if s.asn != nil {
		asn = s.asn.Lookup(addr)
	}
	if addr.Is6() {
		family = 1
	}
	b.mu.RLock()
	e := b.find(addr, family, asn, now)
	b.mu.RUnlock()
	if e == nil || wire.Contains(s.exempt, addr) {
		return nil
	}
	return e
}

// find returns the ban of addr, or nil. b.mu is held.
func (b *Bans) find(addr netip.Addr, family int, asn uint32, now time.Time) *entry {
	for bits := addr.BitLen(); bits >= 0; bits-- {
		if b.widths[family][bits] == 0 {
			continue
		}
		network, _ := addr.Prefix(bits)
		if e := b.bans[Subject{Network: network}]; e != nil && e.holds(now) {
			return e
		}
	}
	if asn != 0 {
		if e := b.bans[Subject{ASN: asn}]; e != nil && e.holds(now) {
			return e
		}
	}
	return nil
}

// Deny returns why a client from addr shall have no session now, or nothing. Where it could log in, one
// whose network knows devices may come in: see [Gate].
func (b *Bans) Deny(addr netip.Addr, logins bool) string {
	e := b.banOf(addr, time.Now())
	if e == nil || logins && b.knownAt(addr) {
		return ""
	}
	e.hits.Add(1)
	return e.Text()
}

// knownAt tells whether anybody logged in from the network of addr not long ago.
func (b *Bans) knownAt(addr netip.Addr) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.devices.anyAt(wire.NetworkOf(addr), time.Now().Add(-b.settings.Load().rules.Devices))
}
