package dane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"posthaste/dns"
)

// maxRecords bounds the TLSA records of a host that are looked at.
const maxRecords = 32

// Lookup returns the policy for a host. It asks for TLSA records only where they can be proven, since name
// servers of zones that are not signed often fail at such questions (RFC 7672 section 2.2).
func Lookup(ctx context.Context, r Resolver, q Query) Policy {
	if q.MX != dns.Secure {
		return none("the MX records of %s are not proven by DNSSEC", q.Domain)
	}
	if strings.HasPrefix(q.Host, "[") || strings.HasPrefix(q.Domain, "[") {
		return none("an address has no TLSA records")
	}
	bases, p := candidates(ctx, r, q)
	for _, base := range bases {
		answer, err := r.TLSA(ctx, service(base, q.Port))
		if p = decide(q, base, answer, err); p.Mode != None {
			return p
		}
	}
	return p
}

func service(base string, port int) string { return fmt.Sprintf("_%d._tcp.%s", port, base) }

// candidates returns the names whose TLSA records speak for the host, the best first: the end of its chain
// of CNAMEs if all of that is proven, and the host's own name if at least its own alias is (RFC 7672
// section 2.2.2 and 2.2.3). Without any the policy says why.
func candidates(ctx context.Context, r Resolver, q Query) ([]string, Policy) {
	alias := q.Addrs.Name != "" && q.Addrs.Name != q.Host
	switch {
	case q.Addrs.Security == dns.Secure && alias:
		return []string{q.Addrs.Name, q.Host}, Policy{}
	case q.Addrs.Security == dns.Secure:
		return []string{q.Host}, Policy{}
	case !alias:
		return nil, none("the address of %s is not proven by DNSSEC", q.Host)
	}
	first, err := r.CNAME(ctx, q.Host)
	switch {
	case err == nil && first.Security == dns.Secure:
		return []string{q.Host}, Policy{}
	case err == nil || errors.Is(err, dns.ErrNotFound):
		return nil, none("%s is an alias that is not proven by DNSSEC", q.Host)
	}
	return nil, skip("whether %s is a signed alias", q.Host, err)
}

// decide returns the policy that the TLSA records of one name lead to.
func decide(q Query, base string, answer dns.Answer[dns.TLSA], err error) Policy {
	switch {
	case errors.Is(err, dns.ErrNotFound):
		return none("%s has no TLSA records", base)
	case err != nil:
		return skip("the TLSA records of %s", base, err)
	case answer.Security != dns.Secure:
		return none("the TLSA records of %s are not proven by DNSSEC", base)
	}
	p := Policy{Mode: Authenticate, Base: base, Names: names(q, base), Records: usable(answer.Records)}
	p.Reason = fmt.Sprintf("%s has %d usable TLSA records: its certificate must match one", base, len(p.Records))
	if len(p.Records) == 0 {
		p.Mode = Encrypt
		p.Reason = fmt.Sprintf("%s has TLSA records, but none of a kind that means anything for mail (usage 2 or 3): encrypted, but not authenticated", base)
		p.Failure = &Failure{Result: TLSAInvalid, Reason: p.Reason}
	}
	return p
}

// names returns the names for which a certificate below a trust anchor may be made out.
func names(q Query, base string) []string {
	var names []string
	for _, n := range []string{base, q.Host, q.Domain, q.Expanded} {
		if n != "" && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

func none(format string, args ...any) Policy { return Policy{Reason: fmt.Sprintf(format, args...)} }

// skip is the policy where the DNS does not tell: a lookup that fails may be all that an attacker can do
// (RFC 7672 section 2.1.1).
func skip(what, name string, err error) Policy {
	f := &Failure{Result: DNSSECInvalid, Reason: fmt.Sprintf("the DNS does not tell "+what+": %v", name, err), Err: err}
	return Policy{Mode: Skip, Reason: f.Reason, Failure: f}
}
