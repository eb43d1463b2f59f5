package spf

import (
	"context"
	"errors"
	"fmt"

	"posthaste/dns"
	"posthaste/explain"
)

// ask puts a question to the resolver. That there is nothing is no error; every error is a temperror.
func ask[K, T any](ctx context.Context, c *checking, kind string, key K,
	lookup func(context.Context, K) (dns.Answer[T], error)) ([]T, error) {
	c.lookups++
	answer, err := lookup(ctx, key)
	switch {
	case err == nil:
		return answer.Records, nil
	case errors.Is(err, dns.ErrNotFound):
		return nil, nil
	case ctx.Err() != nil:
		return nil, tempError("the DNS did not tell the %s records of %s in time", kind, printable(fmt.Sprint(key), maxTold))
	}
	explain.Note(ctx, "dns", "%v", err)
	return nil, tempError("the DNS did not tell the %s records of %s", kind, printable(fmt.Sprint(key), maxTold))
}

// askTerm is ask for the question of a term, of which only few may find nothing: void lookups, RFC 7208
// section 4.6.4. The addresses of single mail exchangers and names are not counted; the standard counts
// terms, and a host without IPv6 would exhaust them for every client with.
func askTerm[K, T any](ctx context.Context, c *checking, kind string, key K,
	lookup func(context.Context, K) (dns.Answer[T], error)) ([]T, error) {
	found, err := ask(ctx, c, kind, key, lookup)
	if err == nil && len(found) == 0 {
		if c.voids++; c.voids > maxVoids {
			return nil, permError("more than %d terms ask for what does not exist", maxVoids)
		}
	}
	return found, err
}

// note tells who listens what came of a term in the record of domain.
func note(ctx context.Context, domain, format string, args ...any) {
	if explain.On(ctx) {
		explain.Note(ctx, printable(domain, maxTold), "%s", printable(fmt.Sprintf(format, args...), maxRecordTold))
	}
}

func noteMatch(ctx context.Context, domain string, m *mechanism, matched bool, target string) {
	if !explain.On(ctx) {
		return
	}
	words := "does not match"
	if matched {
		words = "matches: " + string(m.qualifier)
	}
	if m.target != nil && target != "" && target != m.target.String() {
		words = "asks " + target + ", " + words
	}
	note(ctx, domain, "%s %s", m.text, words)
}
