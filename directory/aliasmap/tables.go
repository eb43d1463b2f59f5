package aliasmap

import (
	"context"
	"fmt"
	"strings"

	"posthaste/aliases"
	"posthaste/directory"
	"posthaste/explain"
	"posthaste/mail"
	"posthaste/table"
)

// Tables is a layer of alias tables. The keys of an address are, most specific first,
//
//	user+detail@domain
//	user@domain
//	user+detail, user    where the domain is local
//	@domain              when nobody else takes the address
//
// The value is a list of addresses, which may have their domain from Names, or :fail:, :defer: and
// :blackhole: as in an alias file; programs and files need an alias file. "@other.example" stands for
// the same local-part in another domain.
type Tables struct {
	Names

	Aliases []table.Table // asked in order
	// Own lists further domains of ours as keys, with any value. All their addresses are aliases:
	// those that are in no table do not exist.
	Own []table.Table
}

// Domain tells whether domain is in a table of Own, or local.
func (l *Tables) Domain(ctx context.Context, domain string) (bool, error) {
	if l.Local(domain) {
		return true, nil
	}
	for _, t := range l.Own {
		_, found, err := t.Lookup(ctx, domain)
		if err != nil || found {
			return found, err
		}
	}
	return false, nil
}

// Find looks an address up.
func (l *Tables) Find(ctx context.Context, address mail.Address) (directory.Target, error) {
	keys := table.AddressKeys(address, l.separator())
	if l.Local(address.Domain) {
		keys = append(keys, table.AddressKeys(mail.Address{Local: address.Local}, l.separator())...)
	}
	for _, t := range l.Aliases {
		value, key, found, err := table.First(ctx, t, keys...)
		if err != nil {
			return directory.Target{}, err
		}
		if found {
			return l.target(ctx, address, key, value)
		}
	}
	return directory.Target{}, nil
}

// CatchAll looks the domain of an address up. Tables of patterns have been asked already.
func (l *Tables) CatchAll(ctx context.Context, address mail.Address) (directory.Target, error) {
	key := "@" + address.Domain
	for _, t := range l.Aliases {
		if table.WholeKeys(t) {
			continue
		}
		value, found, err := t.Lookup(ctx, key)
		if err != nil {
			return directory.Target{}, err
		}
		if found {
			return l.target(ctx, address, key, value)
		}
	}
	return directory.Target{}, nil
}

func (l *Tables) target(ctx context.Context, address mail.Address, key, value string) (directory.Target, error) {
	explain.Note(ctx, "alias table", "%s has %s", key, value)
	if domain, ok := strings.CutPrefix(strings.TrimSpace(value), "@"); ok && !strings.ContainsAny(domain, ", ") {
		name, err := directory.DomainName(domain)
		other := mail.Address{Local: address.Local, Domain: name}
		return directory.Target{Kind: directory.KindAlias, Addresses: []mail.Address{other}}, err
	}
	targets, err := aliases.ParseTargets([]byte(value))
	if err != nil {
		return directory.Target{}, fmt.Errorf("aliasmap: value of %s: %w", key, err)
	}
	g := gathering{names: l.Names, of: address}
	for _, t := range targets {
		switch t.Kind {
		case aliases.Program, aliases.File, aliases.Include:
			return directory.Target{}, fmt.Errorf("aliasmap: value of %s: %s: a table holds no programs and files: use an alias file", key, t)
		}
		g.add(t, "")
	}
	return g.done(), nil
}
