package table

import (
	"context"
	"strings"

	"posthaste/mail"
)

// maxParents bounds how many parents of a domain are looked up: those nearest to the root. A name may
// have 127 labels, and each costs a query.
const maxParents = 10

// Address looks a up, most specific key first: user+tag@domain, user@domain, @domain. Sep divides user
// and tag; 0 is none. The tag is what follows the first sep that does not begin the local-part. An
// address without domain has the keys user+tag and user.
//
// Local-parts are quoted where RFC 5321 section 4.1.2 asks for it, as postmap(1) expects them.
func Address(ctx context.Context, t Table, a mail.Address, sep byte) (value, key string, found bool, err error) {
	keys := AddressKeys(a, sep)
	if a.Domain != "" {
		keys = append(keys, "@"+a.Domain)
	}
	return First(ctx, t, keys...)
}

// AddressKeys returns the keys of a alone, as [Address] tries them before those of its domain: a, then
// a without its tag.
func AddressKeys(a mail.Address, sep byte) []string {
	keys := []string{a.String()}
	if user, ok := withoutTag(a.Local, sep); ok {
		keys = append(keys, mail.Address{Local: user, Domain: a.Domain}.String())
	}
	return keys
}

func withoutTag(local string, sep byte) (user string, tagged bool) {
	if sep == 0 {
		return "", false
	}
	i := strings.IndexByte(local, sep)
	if i <= 0 {
		return "", false
	}
	return local[:i], true
}

// Domain looks domain up, most specific key first: the domain, its parents each with a leading dot
// (".example.org" stands for every name below example.org), "*". An address literal has no parents.
func Domain(ctx context.Context, t Table, domain string) (value, key string, found bool, err error) {
	return First(ctx, t, append(DomainKeys(domain), "*")...)
}

// DomainKeys returns the keys of [Domain] without "*", for callers where that would be dangerous.
func DomainKeys(domain string) []string {
	keys := []string{domain}
	if strings.HasPrefix(domain, "[") {
		return keys
	}
	return append(keys, parents(domain)...)
}

// parents returns the parents of domain with a leading dot, longest first.
func parents(domain string) []string {
	var all []string
	for i := strings.IndexByte(domain, '.'); i >= 0; {
		all = append(all, domain[i:])
		next := strings.IndexByte(domain[i+1:], '.')
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return all[max(0, len(all)-maxParents):]
}
