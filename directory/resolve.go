package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"posthaste/kv"
	"posthaste/mail"
)

// Resolve tells where mail for address goes, in one step: who follows aliases bounds the steps.
// Within our domains the exact address comes first, then that of a sub-address without its detail,
// then the stand-ins for postmaster, abuse, mailer-daemon and root, then the catch-all "*". An address
// without domain belongs to the default domain (RFC 5321 section 4.5.1).
func (d *Directory) Resolve(ctx context.Context, address mail.Address) (Target, error) {
	if target, ok := d.cache.get(address); ok {
		return *target, nil
	}
	var from sources
	target, err := d.resolve(ctx, normal(address), &from)
	if err != nil {
		return Target{}, fmt.Errorf("directory: resolve %s: %w", address, err)
	}
	if target.Detail != "" { // as it was written
		_, target.Detail, _ = splitDetail(address.Local, d.separator)
	}
	d.cache.put(address, target, from)
	return target, nil
}

func (d *Directory) resolve(ctx context.Context, address mail.Address, from *sources) (Target, error) {
	if address.Domain == "" {
		address.Domain = d.defaultDomain
	}
	if strings.HasPrefix(address.Domain, "[") || address.Domain == "" {
		return Target{Kind: KindRemote}, nil
	}
	kind, first, err := d.domainFacts(ctx, address.Domain, from)
	if err != nil || kind != KindNone {
		return Target{Kind: kind}, err
	}
	target, err := d.resolveLocal(ctx, address, from)
	if err != nil || target.Kind != KindNone {
		return target, err
	}
	if first != 0 && standsIn(address.Local) {
		return Target{Kind: KindAccount, Account: first, StandIn: true}, nil
	}
	target, err = d.lookup(ctx, mail.Address{Local: catchAll, Domain: address.Domain}, from)
	target.CatchAll = target.Kind != KindNone
	return target, err
}

// domainFacts returns KindRemote, KindRelay, or KindNone for a domain whose addresses are to be
// looked up, with its first account.
func (d *Directory) domainFacts(ctx context.Context, name string, from *sources) (Kind, mail.AccountID, error) {
	from.add(d.cache.domain(name))
	var domain Domain
	var first mail.AccountID
	err := d.store.View(ctx, domainPartition(name), func(r kv.Reader) (err error) {
		if err = getJSON(r, domainKey, &domain); err == nil {
			first, err = firstOf(r)
		}
		return err
	})
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return KindRemote, 0, nil
	case err == nil && domain.Relay:
		return KindRelay, 0, nil
	}
	return KindNone, first, err
}

// resolveLocal looks up the exact address, then the one without detail.
func (d *Directory) resolveLocal(ctx context.Context, address mail.Address, from *sources) (Target, error) {
	target, err := d.lookup(ctx, address, from)
	if err != nil || target.Kind != KindNone {
		return target, err
	}
	user, detail, ok := splitDetail(address.Local, d.separator)
	if !ok {
		return target, nil
	}
	target, err = d.lookup(ctx, mail.Address{Local: user, Domain: address.Domain}, from)
	if target.Kind != KindNone {
		target.Detail = detail
	}
	return target, err
}

// lookup returns what one normal address is. An account that is being made or erased is none.
func (d *Directory) lookup(ctx context.Context, address mail.Address, from *sources) (Target, error) {
	from.add(&d.cache.buckets[bucketOf(address)])
	r, err := d.record(ctx, address)
	switch {
	case err != nil:
		return Target{}, err
	case r.Moved != 0:
		return Target{Kind: KindMoved, Addresses: r.Targets, Status: movedStatus(r)}, nil
	case len(r.Targets) > 0:
		return Target{Kind: KindAlias, Addresses: r.Targets}, nil
	case r.State == active && len(r.Forward) > 0:
		return forwardOf(r), nil
	case r.State == active:
		return Target{Kind: KindAccount, Account: r.Account}, nil
	}
	return Target{}, nil
}

// movedStatus is the answer to mail for an address whose owner has moved (RFC 5321 section 3.4,
// RFC 3463 section 3.2).
func movedStatus(r record) *mail.Status {
	if r.Moved == MovedRefuse {
		return mail.NewStatus(MovedRefuse, "5.1.6", "%s has moved, please try <%s>", r.Address, r.Targets[0])
	}
	return mail.NewStatus(MovedForward, "2.1.5", "%s has moved, we forward to <%s>", r.Address, r.Targets[0])
}

// standsIn tells whether a local-part must always reach somebody: RFC 5321 section 4.5.1, RFC 2142,
// the name our own reports come from, and the one that cron mails to. The last would lose its mail
// without a word: what root gets is from root, and so is the report that it cannot be delivered.
func standsIn(local string) bool {
	switch local {
	case "postmaster", "abuse", "mailer-daemon", "root":
		return true
	}
	return false
}

// Bounds of the search of Owns.
const (
	maxOwnsDepth = 8
	maxOwnsSteps = 1000
)

// Owns tells whether an account may send as address: mail for the address reaches it, by itself,
// as a sub-address or stand-in, or through aliases. What it forwards stays its own.
func (d *Directory) Owns(ctx context.Context, account mail.AccountID, address mail.Address) (bool, error) {
	return owns(ctx, d, account, address)
}

// A resolver is a Directory or Layers.
type resolver interface {
	Resolve(ctx context.Context, address mail.Address) (Target, error)
}

func owns(ctx context.Context, r resolver, account mail.AccountID, address mail.Address) (bool, error) {
	s := ownerSearch{resolver: r, account: account, steps: maxOwnsSteps}
	return s.reaches(ctx, address, maxOwnsDepth)
}

// An ownerSearch looks whether an address leads to an account.
type ownerSearch struct {
	resolver resolver
	account  mail.AccountID
	steps    int // that are left
}

func (s *ownerSearch) reaches(ctx context.Context, address mail.Address, depth int) (bool, error) {
	if s.steps--; s.steps < 0 || depth == 0 {
		return false, nil
	}
	target, err := s.resolver.Resolve(ctx, address)
	if err != nil {
		return false, err
	}
	if target.Account != 0 { // an account, or the forward of one
		return target.Account == s.account, nil
	}
	for _, b := range target.Branches {
		if b.Target.Account == s.account {
			return true, nil
		}
	}
	if target.Kind != KindAlias {
		return false, nil
	}
	for _, next := range target.Addresses {
		if ok, err := s.reaches(ctx, next, depth-1); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// AccountByLogin returns the account that login names: its address, or the local-part of one in the
// default domain, in any case, the domain also in Unicode. It returns ErrNoAccount for all else:
// one does not log in as an alias.
func (d *Directory) AccountByLogin(ctx context.Context, login string) (Account, error) {
	local, domain := login, d.defaultDomain
	if at := strings.LastIndexByte(login, '@'); at >= 0 {
		local, domain = login[:at], login[at+1:]
	}
	name, err := DomainName(domain)
	if err != nil || local == "" || len(local) > MaxLocal {
		return Account{}, noAccount(fmt.Sprintf("%.100q", login))
	}
	r, err := d.record(ctx, normal(mail.Address{Local: local, Domain: name}))
	if err != nil {
		return Account{}, err
	}
	if r.State != active {
		return Account{}, noAccount(fmt.Sprintf("%.100q", login))
	}
	return d.Account(ctx, r.Account)
}
