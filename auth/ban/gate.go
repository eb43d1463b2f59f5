package ban

import (
	"context"
	"fmt"
	"hash/maphash"
	"net/netip"
	"time"

	"posthaste/auth"
	"posthaste/auth/sasl"
	"posthaste/mail"
	"posthaste/wire"
)

// GuessDelay is how long the first failed login of a session waits for its answer; it doubles with each.
const GuessDelay = time.Second

// A Denied is why a login is not even tried. It is temporary.
type Denied struct{ Text string }

// Error returns what the client is told.
func (d *Denied) Error() string { return d.Text }

// A Gate is the way of one client to log in: the credentials of Backend, for whom the bans let try them.
// Password and SCRAM return a [*Denied] for others. It belongs to one session.
type Gate struct {
	sasl.Backend
	bans     *Bans
	addr     netip.Addr
	login    string // tried last
	password string // tried with it; empty where the mechanism does not show it
}

// Gate returns the Gate of a client at addr.
func (b *Bans) Gate(backend sasl.Backend, addr netip.Addr) *Gate {
	return &Gate{Backend: backend, bans: b, addr: addr}
}

// Open returns why no login of this client is tried, a [*Denied], or nil: the network is banned, and
// nobody is known there.
func (g *Gate) Open() error {
	if why := g.bans.Deny(g.addr, true); why != "" {
		return &Denied{why}
	}
	return nil
}

// Password checks a password where the bans allow it.
func (g *Gate) Password(ctx context.Context, login, password string) (auth.Identity, error) {
	g.login, g.password = login, password
	if err := g.bans.allow(ctx, g.addr, login, time.Now()); err != nil {
		return auth.Identity{}, err
	}
	return g.Backend.Password(ctx, login, password)
}

// SCRAM returns the keys of a login where the bans allow it.
func (g *Gate) SCRAM(ctx context.Context, login string) (auth.ScramCredentials, error) {
	g.login, g.password = login, ""
	if err := g.bans.allow(ctx, g.addr, login, time.Now()); err != nil {
		return auth.ScramCredentials{}, err
	}
	return g.Backend.SCRAM(ctx, login)
}

// Failed counts a login with wrong credentials, before which the session had some others fail, and
// returns when it may be answered, or when ctx ends.
func (g *Gate) Failed(ctx context.Context, before int) {
	b := g.bans
	if wire.Contains(b.settings.Load().exempt, g.addr) {
		return
	}
	b.failed(ctx, g.addr, g.login, g.password, time.Now())
	timer := time.NewTimer(GuessDelay << min(before, 10))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Passed notes who logged in from here, so that a ban of the network does not meet them.
func (g *Gate) Passed(who auth.Identity) { g.bans.passed(g.addr, who.Account, time.Now()) }

// failed counts a login with wrong credentials.
func (b *Bans) failed(ctx context.Context, addr netip.Addr, login, password string, now time.Time) {
	name, _, known := b.loginOf(ctx, login)
	kind, tried := WrongPassword, uint64(0)
	if !known {
		kind = UnknownLogin
	}
	if password != "" {
		tried = maphash.Comparable(b.seed, [2]string{name, password}) | 1
	}
	b.offence(addr, kind, name, tried, fmt.Sprintf("login %.100q", login), now)
}

// allow returns why a login from addr is not tried: its network is banned, or the login is closed to
// unknown devices, and this is one. A known device gets as many attempts as any network.
func (b *Bans) allow(ctx context.Context, addr netip.Addr, login string, now time.Time) error {
	if b.active.Load() == 0 || !addr.IsValid() || wire.Contains(b.settings.Load().exempt, addr) {
		return nil
	}
	e := b.banOf(addr, now)
	name, account, _ := b.loginOf(ctx, login)
	if e == nil {
		b.mu.RLock()
		if l := b.bans[Subject{Login: name}]; l != nil && l.holds(now) {
			e = l
		}
		b.mu.RUnlock()
	}
	if e == nil || account != 0 && b.known(ctx, addr, account, now) {
		return nil
	}
	e.hits.Add(1)
	return &Denied{e.Text()}
}

// known tells whether account logged in from the network of addr not long ago.
func (b *Bans) known(ctx context.Context, addr netip.Addr, account mail.AccountID, now time.Time) bool {
	d := Device{Network: wire.NetworkOf(addr), Account: account}
	since := now.Add(-b.settings.Load().rules.Devices)
	b.mu.RLock()
	known := b.devices.seen(d).After(since)
	b.mu.RUnlock()
	if known || b.store == nil {
		return known
	}
	return b.store.seen(ctx, d).After(since) // it may have been dropped from memory
}

func (b *Bans) passed(addr netip.Addr, account mail.AccountID, now time.Time) {
	if !addr.IsValid() || account == 0 || wire.Contains(b.settings.Load().exempt, addr) {
		return
	}
	d := Device{Network: wire.NetworkOf(addr), Account: account}
	b.mu.Lock()
	fresh := now.Sub(b.devices.seen(d)) >= deviceGrain
	if fresh {
		b.devices.note(d, now)
	}
	b.mu.Unlock()
	if fresh && b.store != nil {
		b.store.noteDevice(d, now)
	}
}
