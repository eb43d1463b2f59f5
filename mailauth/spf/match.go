package spf

import (
	"context"
	"net/netip"
	"strings"

	"posthaste/dns"
)

// matches tells whether a mechanism matches the client (RFC 7208 section 5).
func (c *checking) matches(ctx context.Context, m *mechanism, domain string) (matched bool, err error) {
	switch m.name {
	case "all":
		note(ctx, domain, "%s: matches everybody", m.text)
		return true, nil
	case "ip4", "ip6":
		matched = m.network.Contains(c.query.IP)
		noteMatch(ctx, domain, m, matched, "")
		return matched, nil
	}
	if err := c.count(); err != nil {
		return false, err
	}
	target, ok, err := c.target(ctx, m.target, domain)
	if err != nil {
		return false, err
	}
	if !ok {
		note(ctx, domain, "%s: cannot match a local-part that is not ASCII", m.text)
		return false, nil
	}
	switch m.name {
	case "include":
		return c.include(ctx, m, domain, target)
	case "a":
		matched, err = c.matchA(ctx, m, target)
	case "mx":
		matched, err = c.matchMX(ctx, m, target)
	case "ptr":
		matched, err = c.matchPTR(ctx, target)
	case "exists":
		var addrs []netip.Addr
		addrs, err = askTerm(ctx, c, "A", target, c.resolver.A) // A also for IPv6 clients, section 5.7
		matched = len(addrs) > 0
	}
	if err == nil {
		noteMatch(ctx, domain, m, matched, target)
	}
	return matched, err
}

// include asks another domain's policy and matches when that passes (RFC 7208 section 5.2).
func (c *checking) include(ctx context.Context, m *mechanism, domain, target string) (bool, error) {
	o := c.evaluate(ctx, target)
	switch o.result {
	case Pass:
		noteMatch(ctx, domain, m, true, "")
		return true, nil
	case TempError:
		return false, tempError("include:%s: %v", printable(target, maxTold), o.err)
	case PermError:
		return false, permError("include:%s: %v", printable(target, maxTold), o.err)
	case None:
		return false, permError("include:%s: it has no SPF record", printable(target, maxTold))
	}
	noteMatch(ctx, domain, m, false, "")
	return false, nil
}

// addresses returns the addresses of a host in the family of the client.
func (c *checking) addresses() (string, func(context.Context, string) (dns.Answer[netip.Addr], error)) {
	if c.query.IP.Is4() {
		return "A", c.resolver.A
	}
	return "AAAA", c.resolver.AAAA
}

func (c *checking) matchA(ctx context.Context, m *mechanism, target string) (bool, error) {
	kind, lookup := c.addresses()
	addrs, err := askTerm(ctx, c, kind, target, lookup)
	return c.among(m, addrs), err
}

func (c *checking) matchMX(ctx context.Context, m *mechanism, target string) (bool, error) {
	exchangers, err := askTerm(ctx, c, "MX", target, c.resolver.MX)
	if err != nil {
		return false, err
	}
	if len(exchangers) > maxNames {
		return false, permError("%s has %d mail exchangers, mx allows %d", printable(target, maxTold), len(exchangers), maxNames)
	}
	kind, lookup := c.addresses()
	for _, mx := range exchangers {
		if mx.Null() {
			continue
		}
		addrs, err := ask(ctx, c, kind, mx.Host, lookup)
		if err != nil || c.among(m, addrs) {
			return err == nil, err
		}
	}
	return false, nil
}

// among tells whether the client is in the network, as large as m says, of one of addrs.
func (c *checking) among(m *mechanism, addrs []netip.Addr) bool {
	bits := m.bits4
	if c.query.IP.Is6() {
		bits = m.bits6
	}
	for _, addr := range addrs {
		if network, err := addr.Prefix(bits); err == nil && network.Contains(c.query.IP) {
			return true
		}
	}
	return false
}

// matchPTR tells whether a confirmed name of the client is target or below it (RFC 7208 section 5.5).
func (c *checking) matchPTR(ctx context.Context, target string) (bool, error) {
	names, err := c.validated(ctx, askTerm[netip.Addr, string])
	if err != nil {
		return false, err
	}
	for _, name := range names {
		if within(name, target) {
			return true, nil
		}
	}
	return false, nil
}

// within tells whether name is domain or below it.
func within(name, domain string) bool {
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	return name == domain || strings.HasSuffix(name, "."+domain)
}

// validated returns the names of the client that lead back to it. They are looked up once. A failure makes
// the check blind, not the term fail: the standard has it as no match.
func (c *checking) validated(ctx context.Context, by func(context.Context, *checking, string, netip.Addr,
	func(context.Context, netip.Addr) (dns.Answer[string], error)) ([]string, error)) ([]string, error) {
	if c.named {
		return c.names, nil
	}
	c.named = true
	claimed, err := by(ctx, c, "PTR", c.query.IP, c.resolver.PTR)
	if f, ok := err.(*failure); ok && f.result == TempError {
		c.blind = err
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	kind, lookup := c.addresses()
	for _, name := range claimed[:min(len(claimed), maxNames)] {
		addrs, err := ask(ctx, c, kind, name, lookup)
		if err != nil {
			c.blind = err
			continue
		}
		for _, addr := range addrs {
			if addr == c.query.IP {
				c.names = append(c.names, strings.ToLower(name))
				break
			}
		}
	}
	return c.names, nil
}

// nameOf is macro p: of the confirmed names domain itself, else one below it, else any (section 7.3).
func (c *checking) nameOf(ctx context.Context, domain string) string {
	names, _ := c.validated(ctx, ask[netip.Addr, string]) // counts nothing, so it fails for no limit
	for _, name := range names {
		if strings.EqualFold(name, domain) {
			return name
		}
	}
	for _, name := range names {
		if within(name, domain) {
			return name
		}
	}
	if len(names) > 0 {
		return names[0]
	}
	return "unknown"
}
