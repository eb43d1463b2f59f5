package ban

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"time"

	"posthaste/directory"
	"posthaste/mail"
	"posthaste/trace"
	"posthaste/wire"
)

// Widths of the prefixes that are banned when several networks in them offend.
const (
	wide4 = 24
	wide6 = 48
)

// Offence counts what a client at addr did. evidence says it in few words, for the log.
func (b *Bans) Offence(addr netip.Addr, k Kind, evidence string) {
	b.offence(addr, k, "", 0, evidence, time.Now())
}

// offence counts against the network of addr, its prefix and system, and against login where there is
// one. password is a hash, or 0.
func (b *Bans) offence(addr netip.Addr, k Kind, login string, password uint64, evidence string, now time.Time) {
	s := b.settings.Load()
	worth := s.rules.worth(k)
	if !addr.IsValid() || k >= kinds || wire.Contains(s.exempt, addr) {
		return
	}
	network := wire.NetworkOf(addr)
	b.mu.Lock()
	made := b.count(s, Subject{Network: network}, worth, 1, password, k, now)
	if made.counted {
		for _, wider := range s.wider(network) {
			if e := b.count(s, wider.Subject, worth, wider.enough, 0, k, now); e.ban != nil {
				made.bans = append(made.bans, e.ban)
			}
		}
		if e := b.countLogin(s, login, network, now); e != nil {
			made.bans = append(made.bans, e)
		}
	}
	b.mu.Unlock()
	if made.ban != nil {
		made.bans = append(made.bans, made.ban)
	}
	for _, e := range made.bans {
		b.tell(e.Ban, evidence)
		b.keep(e.Ban)
	}
}

// wider returns the subjects that network is part of and how much it takes to ban each.
func (s *settings) wider(network netip.Prefix) []wider {
	bits := wide6
	if network.Addr().Is4() {
		bits = wide4
	}
	prefix, _ := network.Addr().Prefix(bits)
	all := []wider{{Subject{Network: prefix}, float64(s.rules.Prefix)}}
	if s.asn != nil {
		if asn := s.asn.Lookup(network.Addr()); asn != 0 {
			all = append(all, wider{Subject{ASN: asn}, float64(s.rules.ASN)})
		}
	}
	return all
}

type wider struct {
	Subject
	enough float64
}

// counted is what came of an offence.
type counted struct {
	counted bool // it is not one that was counted before, or of somebody banned already
	ban     *entry
	bans    []*entry
}

// count counts an offence against a subject. b.mu is held.
func (b *Bans) count(s *settings, who Subject, worth, enough float64, password uint64, k Kind, now time.Time) counted {
	if e := b.bans[who]; e != nil && e.holds(now) {
		return counted{}
	}
	h := b.history(who, now)
	if h.repeats(password) {
		return counted{}
	}
	c := counted{counted: true}
	if s.rules.count(h, worth, enough, now) {
		c.ban = b.begin(Ban{Subject: who, Reason: k.String(), Since: now, Until: s.rules.ban(h, now), Times: h.bans}, now)
	}
	return c
}

// countLogin counts a failed login against the login. b.mu is held.
func (b *Bans) countLogin(s *settings, login string, network netip.Prefix, now time.Time) *entry {
	who := Subject{Login: login}
	if e := b.bans[who]; login == "" || s.rules.Login <= 0 || e != nil && e.holds(now) {
		return nil
	}
	h := b.history(who, now)
	enough := s.rules.count(h, 1, float64(s.rules.Login), now)
	many := s.rules.from(h, maphash.Comparable(b.seed, network)|1)
	if !enough || !many {
		return nil
	}
	return b.begin(Ban{Subject: who, Reason: WrongPassword.String(), Since: now, Until: s.rules.ban(h, now), Times: h.bans}, now)
}

// history returns what is known of a subject, and makes room for one that is new. b.mu is held.
func (b *Bans) history(who Subject, now time.Time) *history {
	if h := b.histories[who]; h != nil {
		return h
	}
	if len(b.histories) >= maxHistories {
		b.forget()
	}
	h := &history{}
	if e := b.bans[who]; e != nil { // over, but not forgotten
		h.bans, h.until = e.Times, e.Until
	}
	b.histories[who] = h
	return h
}

// forget drops the quarter of the histories that is oldest. b.mu is held.
func (b *Bans) forget() {
	type aged struct {
		who  Subject
		last time.Time
	}
	all := make([]aged, 0, len(b.histories))
	for who, h := range b.histories {
		last := h.since
		if h.until.After(last) {
			last = h.until
		}
		all = append(all, aged{who, last})
	}
	slices.SortFunc(all, func(x, y aged) int { return x.last.Compare(y.last) })
	for _, a := range all[:len(all)/4] {
		delete(b.histories, a.who)
	}
}

// begin puts a ban into force. Past the bound, those of rules that end first make room. b.mu is held.
func (b *Bans) begin(ban Ban, now time.Time) *entry {
	if len(b.bans) >= maxBans {
		b.makeRoom(now)
	}
	e := &entry{Ban: ban}
	if old := b.bans[ban.Subject]; old != nil {
		e.hits.Store(old.hits.Load())
	} else {
		b.width(ban.Subject, 1)
	}
	b.bans[ban.Subject] = e
	b.active.Store(int64(len(b.bans)))
	return e
}

// end takes a ban out of force. b.mu is held.
func (b *Bans) end(who Subject) {
	if _, ok := b.bans[who]; !ok {
		return
	}
	delete(b.bans, who)
	b.width(who, -1)
	b.active.Store(int64(len(b.bans)))
}

func (b *Bans) width(who Subject, n int) {
	if !who.Network.IsValid() {
		return
	}
	family := 0
	if who.Network.Addr().Is6() {
		family = 1
	}
	b.widths[family][who.Network.Bits()] += n
}

// makeRoom ends the quarter of the bans that is over first; those of operators stay. b.mu is held.
func (b *Bans) makeRoom(now time.Time) {
	all := make([]*entry, 0, len(b.bans))
	for _, e := range b.bans {
		if e.Times > 0 || !e.holds(now) {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(x, y *entry) int {
		return cmp.Or(x.Until.Compare(y.Until), cmp.Compare(x.Subject.String(), y.Subject.String()))
	})
	for _, e := range all[:(len(all)+3)/4] {
		b.end(e.Subject)
	}
}

// tell leaves a line in the log and an event in the trace.
func (b *Bans) tell(ban Ban, evidence string) {
	until := "until it is removed"
	if !ban.Until.IsZero() {
		until = "until " + ban.Until.UTC().Format(time.RFC3339)
	}
	b.log.Info("banned", "subject", ban.Subject.String(), "reason", ban.Reason, "evidence", evidence, "until", until, "times", ban.Times)
	b.trace.Record(trace.Event{Session: ban.Subject.String(), Step: trace.Check, Peer: ban.Subject.String(), Answered: "banned",
		Reason: ban.Reason, Text: fmt.Sprintf("banned %s %s: %s (%s)", ban.Subject, until, ban.Reason, evidence)})
}

// loginOf returns the name under which attempts on a login are counted, for several logins may lead to
// one account, and its account. Known is false only for a login that certainly does not exist.
func (b *Bans) loginOf(ctx context.Context, login string) (name string, account mail.AccountID, known bool) {
	name = strings.ToLower(strings.ToValidUTF8(login[:min(len(login), maxLogin)], "?"))
	if b.accounts == nil {
		return name, 0, true
	}
	a, err := b.accounts.AccountByLogin(ctx, login)
	if err != nil {
		return name, 0, !errors.Is(err, directory.ErrNoAccount)
	}
	return strings.ToLower(a.Address.String()), a.ID, true
}
