package spf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"posthaste/explain"
)

// checking is one check under way.
type checking struct {
	resolver      Resolver
	query         Query
	local, domain string // of the identity

	terms, voids, lookups int
	names                 []string // of the client, confirmed; see validated
	named                 bool     // they were looked up
	blind                 error    // why we do not know them, where a term asked
}

// failure ends a check early, with permerror or temperror.
type failure struct {
	result Result
	reason string
}

func (f *failure) Error() string { return f.reason }

func permError(format string, args ...any) error {
	return &failure{PermError, fmt.Sprintf(format, args...)}
}

func tempError(format string, args ...any) error {
	return &failure{TempError, fmt.Sprintf(format, args...)}
}

// An outcome is what the policy of one domain says.
type outcome struct {
	result Result
	term   string // that decided, or empty
	at     string // the domain in whose record it stands
	exp    macroString
	err    error // behind temperror and permerror
}

func (c *checking) verdict(ctx context.Context, identity Identity) Verdict {
	o := outcome{result: None, err: errors.New("the address of the client is not known")}
	if c.query.IP.IsValid() {
		o = c.evaluate(ctx, c.domain)
	}
	if c.blind != nil && (o.result == Fail || o.result == SoftFail) {
		o = outcome{result: TempError, at: o.at, term: o.term, err: c.blind}
	}
	v := Verdict{Result: o.result, Identity: identity, Domain: printable(c.domain, maxTold), IP: c.query.IP.String(),
		Mechanism: printable(o.term, maxTold), At: printable(o.at, maxTold)}
	if o.result == Fail && o.exp != nil {
		v.Explanation = c.explanation(ctx, o)
	}
	v.Lookups = c.lookups
	v.Reason = v.reason(o.err)
	explain.Note(ctx, "spf", "%s for %s: %s", v.Result, v.who(), v.Reason)
	return v
}

// evaluate is check_host() of RFC 7208 section 4 for one domain.
func (c *checking) evaluate(ctx context.Context, domain string) outcome {
	o := outcome{result: None, at: domain}
	if why := malformed(domain); why != "" {
		o.err = fmt.Errorf("%q %s", printable(domain, maxTold), why)
		return o
	}
	rec, err := c.fetch(ctx, domain)
	if err != nil || rec == nil {
		return c.fail(ctx, o, err)
	}
	for i := range rec.mechanisms {
		m := &rec.mechanisms[i]
		matched, err := c.matches(ctx, m, domain)
		if err != nil {
			o.term = m.text
			return c.fail(ctx, o, err)
		}
		if matched {
			o.result, o.term, o.exp = m.qualifier, m.text, rec.exp
			return o
		}
	}
	o.result = Neutral // section 4.7
	if rec.redirect != nil {
		return c.redirect(ctx, rec, o)
	}
	return o
}

// fail puts the failure err, or none, into o.
func (c *checking) fail(ctx context.Context, o outcome, err error) outcome {
	if err == nil {
		return o
	}
	o.result, o.err = TempError, err
	if f, ok := errors.AsType[*failure](err); ok {
		o.result = f.result
	}
	note(ctx, o.at, "%s: %v", o.result, err)
	return o
}

// fetch returns the record of a domain, nil when it has none (RFC 7208 sections 4.4 and 4.5).
func (c *checking) fetch(ctx context.Context, domain string) (*record, error) {
	texts, err := ask(ctx, c, "TXT", domain, c.resolver.TXT)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, txt := range texts {
		if isRecord(txt) {
			found = append(found, txt)
		}
	}
	switch len(found) {
	case 0:
		note(ctx, domain, "it has no SPF record")
		return nil, nil
	case 1:
		note(ctx, domain, "its record: %s", printable(found[0], maxRecordTold))
	default:
		return nil, permError("%s has %d SPF records where one is allowed", domain, len(found))
	}
	rec, err := parseRecord(found[0])
	if err != nil {
		return nil, permError("the record of %s is malformed: %v", domain, err)
	}
	return rec, nil
}

// redirect goes on with another domain's policy in the place of ours (RFC 7208 section 6.1).
func (c *checking) redirect(ctx context.Context, rec *record, o outcome) outcome {
	o.term = "redirect"
	if err := c.count(); err != nil {
		return c.fail(ctx, o, err)
	}
	target, ok, err := c.target(ctx, rec.redirect, o.at)
	if err != nil {
		return c.fail(ctx, o, err)
	}
	if !ok {
		return c.fail(ctx, o, permError("redirect of %s leads nowhere: the local-part is not ASCII", o.at))
	}
	note(ctx, o.at, "redirect to %s", printable(target, maxTold))
	next := c.evaluate(ctx, target)
	if next.result == None {
		return c.fail(ctx, o, permError("redirect of %s leads to %q, which has no SPF record", o.at, printable(target, maxTold)))
	}
	return next
}

// count counts a term that needs the DNS.
func (c *checking) count() error {
	if c.terms++; c.terms > maxTerms {
		return permError("more than %d terms need the DNS", maxTerms)
	}
	return nil
}

// target expands the domain-spec of a term. It is not ok when the term cannot match: RFC 8616 section 4
// on local-parts that are not ASCII.
func (c *checking) target(ctx context.Context, m macroString, domain string) (name string, ok bool, err error) {
	if m == nil {
		return domain, true, nil
	}
	if m.has("sl") && !ascii(c.local) {
		return "", false, nil
	}
	name, err = m.expand(func(letter byte) string { return c.value(ctx, letter, domain) })
	return shorten(name), true, err
}

// value is what a macro letter stands for (RFC 7208 section 7.2).
func (c *checking) value(ctx context.Context, letter byte, domain string) string {
	switch letter {
	case 's':
		return c.local + "@" + c.domain
	case 'l':
		return c.local
	case 'o':
		return c.domain
	case 'd':
		return domain
	case 'i':
		return dotted(c.query.IP)
	case 'p':
		return c.nameOf(ctx, domain)
	case 'v':
		if c.query.IP.Is4() {
			return "in-addr"
		}
		return "ip6"
	case 'h':
		return c.query.Helo
	case 'c':
		return c.query.IP.String()
	case 'r':
		if c.query.Hostname != "" {
			return c.query.Hostname
		}
		return "unknown"
	default: // t
		return fmt.Sprint(max(0, c.query.Now.Unix()))
	}
}

// dotted is an address as macro i has it: an IPv6 one nibble by nibble.
func dotted(ip netip.Addr) string {
	if ip.Is4() {
		return ip.String()
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i, octet := range ip.As16() {
		if i > 0 {
			b.WriteByte('.')
		}
		b.Write([]byte{hex[octet>>4], '.', hex[octet&15]})
	}
	return b.String()
}
