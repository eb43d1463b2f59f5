package dmarc

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"posthaste/dns"
)

// maxQuestions is how many names one tree walk asks for (section 4.10).
const maxQuestions = 8

// A node is a domain on the way of a tree walk that has a record.
type node struct {
	domain string
	record Record
}

// lookup returns the record of a domain. More than one is none (section 4.10, step 2).
func lookup(ctx context.Context, r Resolver, domain string) (record Record, found bool, err error) {
	answer, err := r.TXT(ctx, "_dmarc."+domain)
	if errors.Is(err, dns.ErrNotFound) {
		return Record{}, false, nil
	}
	if err != nil {
		return Record{}, false, fmt.Errorf("dmarc: the record of %s: %w", domain, err)
	}
	n := 0
	for _, text := range answer.Records {
		if one, ok := ParseRecord(text); ok {
			record = one
			n++
		}
	}
	if n != 1 {
		return Record{}, false, nil
	}
	return record, true, nil
}

// targets returns the names that a tree walk asks for, the longest first: the domain, then those above
// it, of more than eight labels only those with seven and fewer.
func targets(domain string) []string {
	all := []string{domain}
	labels := strings.Split(domain, ".")
	start := max(1, len(labels)-(maxQuestions-1))
	for i := start; i < len(labels); i++ {
		all = append(all, strings.Join(labels[i:], "."))
	}
	return all
}

// walk does the DNS tree walk from domain and returns the domains with a record, the longest first.
func walk(ctx context.Context, r Resolver, domain string) ([]node, error) {
	var found []node
	for _, target := range targets(domain) {
		record, ok, err := lookup(ctx, r, target)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		found = append(found, node{target, record})
		if record.PublicSuffix != "" {
			break
		}
	}
	return found, nil
}

// organizational chooses the Organizational Domain of domain from what its walk found (section 4.10.2).
func organizational(domain string, found []node) string {
	for _, n := range found {
		switch {
		case n.record.PublicSuffix == "n":
			return n.domain
		case n.record.PublicSuffix == "y" && n.domain != domain:
			return below(domain, n.domain)
		}
	}
	if len(found) > 0 {
		return found[len(found)-1].domain
	}
	return domain
}

// below returns the name on the way to domain that is one label below suffix.
func below(domain, suffix string) string {
	labels := strings.TrimSuffix(domain, "."+suffix)
	return labels[strings.LastIndexByte(labels, '.')+1:] + "." + suffix
}

// OrgDomain returns the Organizational Domain of a domain (section 4.10.2). An error means that nobody
// knows now.
func OrgDomain(ctx context.Context, r Resolver, domain string) (string, error) {
	domain = canonical(domain)
	found, err := walk(ctx, r, domain)
	if err != nil {
		return "", err
	}
	return organizational(domain, found), nil
}

// canonical returns a name in lower case without its final dot.
func canonical(domain string) string { return strings.TrimSuffix(strings.ToLower(domain), ".") }

// isDomain tells whether a name can have a record: names of hosts, not address literals.
func isDomain(name string) bool { return dns.IsHostName(name) }

// exists tells whether a domain is in the DNS: only NXDOMAIN says that it is not (section 3.2.13).
func exists(ctx context.Context, r Resolver, domain string) (bool, error) {
	_, err := r.TXT(ctx, domain)
	if err == nil || errors.Is(err, dns.ErrNoData) {
		return true, nil
	}
	if errors.Is(err, dns.ErrNoName) {
		return false, nil
	}
	return false, fmt.Errorf("dmarc: whether %s exists: %w", domain, err)
}
