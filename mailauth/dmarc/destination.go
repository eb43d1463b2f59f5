package dmarc

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"posthaste/dns"
	"posthaste/mail"
	"posthaste/smtp"
)

// MaxDestinations is how many addresses of one domain get its reports.
const MaxDestinations = 5

// maxName is the longest name that the DNS can hold.
const maxName = 253

// A Kind is a kind of report, named by the tag that says where it goes.
type Kind string

// The kinds.
const (
	AggregateReport Kind = "rua"
	FailureReport   Kind = "ruf"
)

func (r Record) uris(k Kind) []string {
	if k == FailureReport {
		return r.Failure
	}
	return r.Aggregate
}

// Destinations returns the mail addresses that reports about a policy domain go to: those of its record
// that lie in its own organization, and others where their domain says by a record at _report._dmarc that
// it wants them, which may name another address there (RFC 9990 section 4). URIs of other schemes mean
// nothing. An error means that it is not known now; the addresses that come with it are good.
func Destinations(ctx context.Context, r Resolver, domain string, record Record, kind Kind) ([]mail.Address, error) {
	var found []mail.Address
	var problems []error
	org := ""
	for _, uri := range record.uris(kind) {
		to, ok := mailto(uri)
		if !ok || len(found) == MaxDestinations {
			continue
		}
		if org == "" {
			var err error
			if org, err = OrgDomain(ctx, r, domain); err != nil {
				return found, err
			}
		}
		all, err := destination(ctx, r, domain, org, to, kind)
		if err != nil {
			problems = append(problems, err)
		}
		for _, a := range all {
			if len(found) < MaxDestinations && !slices.Contains(found, a) {
				found = append(found, a)
			}
		}
	}
	return found, errors.Join(problems...)
}

// destination verifies one address.
func destination(ctx context.Context, r Resolver, domain, org string, to mail.Address, kind Kind) ([]mail.Address, error) {
	if to.Domain == domain {
		return []mail.Address{to}, nil
	}
	if !isDomain(to.Domain) {
		return nil, nil
	}
	theirs, err := OrgDomain(ctx, r, to.Domain)
	if err != nil {
		return nil, err
	}
	if theirs == org {
		return []mail.Address{to}, nil
	}
	name := domain + "._report._dmarc." + to.Domain
	if len(name) > maxName {
		return nil, nil
	}
	answer, err := r.TXT(ctx, name)
	if errors.Is(err, dns.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("dmarc: whether %s takes reports about %s: %w", to.Domain, domain, err)
	}
	return consent(answer.Records, to, kind), nil
}

// consent reads the records by which a domain agrees to take reports. One that names a host elsewhere
// means that nobody gets any (section 4).
func consent(records []string, to mail.Address, kind Kind) []mail.Address {
	agreed := false
	var instead []mail.Address
	for _, text := range records {
		record, ok := ParseRecord(text)
		if !ok {
			continue
		}
		agreed = true
		for _, uri := range record.uris(kind) {
			other, ok := mailto(uri)
			if !ok || other.Domain != to.Domain {
				return nil
			}
			instead = append(instead, other)
		}
	}
	switch {
	case !agreed:
		return nil
	case len(instead) > 0:
		return instead
	}
	return []mail.Address{to}
}

// mailto reads the address of a mailto: URI (RFC 6068). Its header fields are not honoured.
func mailto(uri string) (mail.Address, bool) {
	u, err := url.Parse(uri)
	if err != nil || !strings.EqualFold(u.Scheme, "mailto") {
		return mail.Address{}, false
	}
	text, err := url.PathUnescape(u.Opaque)
	if err != nil {
		return mail.Address{}, false
	}
	a, err := smtp.ParseAddress(text)
	return a, err == nil
}
