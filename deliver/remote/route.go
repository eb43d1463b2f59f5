package remote

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"posthaste/dns"
	"posthaste/mail"
)

// Route asks where domain, a name or an address literal, takes its mail (RFC 5321 section 5.1).
//
// The error is a *mail.Status. It is permanent only for facts: the domain does not exist or has no
// address, it takes no mail (null MX), or we are its best exchanger yet do not know it. Where we are
// one of its exchangers (a backup MX), only hosts of better preference than ours remain. The ID is
// that of the message, for the trace.
func (a *Agent) Route(ctx context.Context, id mail.QueueID, domain string) (Destination, error) {
	dest, status := a.route(ctx, domain)
	if status != nil {
		a.traceNoRoute(id, domain, status)
		return Destination{}, status
	}
	return dest, nil
}

func (a *Agent) route(ctx context.Context, domain string) (Destination, *mail.Status) {
	if strings.HasPrefix(domain, "[") {
		return routeLiteral(domain)
	}
	required, status := a.policyOf(ctx, domain)
	if status != nil {
		return Destination{}, status
	}
	dest, status := a.exchangersOf(ctx, domain)
	dest.policy = required
	return dest, status
}

// exchangersOf asks the DNS for the hosts of a domain.
func (a *Agent) exchangersOf(ctx context.Context, domain string) (Destination, *mail.Status) {
	answer, err := a.cfg.Resolver.MX(ctx, domain)
	switch {
	case errors.Is(err, dns.ErrNoName):
		return Destination{}, mail.NewStatus(550, "5.1.2", "the domain %s does not exist", domain)
	case errors.Is(err, dns.ErrNotFound):
		return a.routeByAddress(ctx, domain, securityOf(err, answer.Security))
	case err != nil:
		return Destination{}, mail.NewStatus(451, "4.4.3", "the DNS does not tell where mail for %s goes: %v", domain, err)
	}
	hosts, status := exchangers(domain, answer.Records, a.own, a.ownHosts(ctx, answer.Records))
	if status != nil {
		return Destination{}, status
	}
	return Destination{Key: keyOf(hosts), Domain: domain, Hosts: hosts, mx: answer.Security, expanded: answer.Name}, nil
}

// routeByAddress takes the domain itself as its exchanger when it has an address ("implicit MX").
func (a *Agent) routeByAddress(ctx context.Context, domain string, absence dns.Security) (Destination, *mail.Status) {
	answer, err := a.cfg.Resolver.Host(ctx, domain)
	switch {
	case errors.Is(err, dns.ErrNotFound):
		return Destination{}, mail.NewStatus(550, "5.1.2", "the domain %s has neither MX records nor an address", domain)
	case err != nil:
		return Destination{}, mail.NewStatus(451, "4.4.3", "the DNS does not tell the address of %s: %v", domain, err)
	case a.own[domain] || a.isOwn(answer.Records, a.cfg.Port):
		return Destination{}, loop(domain)
	}
	return Destination{Key: domain, Domain: domain, Hosts: []Host{{Name: domain}}, mx: absence}, nil
}

// routeLiteral routes "[192.0.2.1]" and "[IPv6:2001:db8::1]" (RFC 5321 section 4.1.3).
func routeLiteral(domain string) (Destination, *mail.Status) {
	text := strings.TrimSuffix(strings.TrimPrefix(domain, "["), "]")
	if len(text) > 5 && strings.EqualFold(text[:5], "IPv6:") {
		text = text[5:]
	}
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" {
		return Destination{}, mail.NewStatus(550, "5.1.2", "%s is no address that mail can be sent to", domain)
	}
	ip = ip.Unmap()
	host := Host{Name: "[" + ip.String() + "]", Addrs: []netip.Addr{ip}}
	return Destination{Key: host.Name, Domain: domain, Hosts: []Host{host}}, nil
}

// exchangers decides which hosts remain of a domain's MX records when own are our names and here the
// names that lead to addresses of ours.
func exchangers(domain string, records []dns.MX, own, here map[string]bool) ([]Host, *mail.Status) {
	if len(records) == 1 && records[0].Null() {
		return nil, mail.NewStatus(556, "5.1.10", "the domain %s takes no mail (null MX)", domain)
	}
	records = slices.Clone(records)
	slices.SortStableFunc(records, func(x, y dns.MX) int { return cmp.Compare(x.Preference, y.Preference) })
	var hosts []Host
	for _, mx := range records {
		if own[mx.Host] || here[mx.Host] {
			return betterThan(mx.Preference, hosts, domain)
		}
		known := slices.ContainsFunc(hosts, func(h Host) bool { return h.Name == mx.Host })
		if !known && dns.IsHostName(mx.Host) && len(hosts) < maxHosts {
			hosts = append(hosts, Host{Name: mx.Host, Preference: mx.Preference})
		}
	}
	if len(hosts) == 0 {
		return nil, mail.NewStatus(550, "5.4.4", "no MX record of %s holds a valid host name", domain)
	}
	return hosts, nil
}

// betterThan keeps the hosts of better preference than ours, so that mail moves towards the primary
// and never in circles (RFC 5321 section 5.1).
func betterThan(ours uint16, hosts []Host, domain string) ([]Host, *mail.Status) {
	hosts = slices.DeleteFunc(hosts, func(h Host) bool { return h.Preference >= ours })
	if len(hosts) == 0 {
		return nil, loop(domain)
	}
	return hosts, nil
}

func loop(domain string) *mail.Status {
	return mail.NewStatus(554, "5.4.6", "mail for %s comes back to us: the DNS names us as its best host, but it is no domain of ours; add it with \"domain add\", or correct its MX records", domain)
}

// shuffled returns hosts by preference, with those of equal preference in random order to share
// their load.
func shuffled(hosts []Host) []Host {
	hosts = slices.Clone(hosts)
	rand.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	slices.SortStableFunc(hosts, func(x, y Host) int { return cmp.Compare(x.Preference, y.Preference) })
	return hosts
}

// securityOf returns the DNSSEC state of an absence.
func securityOf(err error, fallback dns.Security) dns.Security {
	var absent *dns.Error
	if errors.As(err, &absent) {
		return absent.Security
	}
	return fallback
}
