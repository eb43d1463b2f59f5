package remote

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"posthaste/dns"
	"posthaste/mail"
)

// A Destination is a set of hosts that take the mail of one or more domains.
type Destination struct {
	// Key names the set: the sorted host names. Domains with the same Key share hosts, so they share
	// limits on concurrency and learn of each other's failures.
	Key    string
	Domain string // that was routed; empty for a fixed route
	Hosts  []Host // best preference first, those of equal preference together

	Port  int // 0: Config.Port
	LMTP  bool
	TLS   TLSPolicy
	Login *Login // nil: no AUTH
}

// A Host is one mail exchanger.
type Host struct {
	Name       string
	Preference uint16
	Addrs      []netip.Addr // set for address literals; else looked up when it is tried
}

// A TLSPolicy is what a Destination asks of encryption.
type TLSPolicy int

// The policies.
const (
	Opportunistic TLSPolicy = iota // STARTTLS where it works, any certificate
	Plaintext                      // never: for links that stay on this machine
	Encrypted                      // STARTTLS always, any certificate
	Verified                       // STARTTLS always, a certificate for the host's name from a known root
	Implicit                       // TLS from the first byte (RFC 8314), with a certificate as for Verified
)

// A Login is how we authenticate to a smarthost.
type Login struct{ Username, Password string }

// Fixed returns the Destination of one host, by name or address literal, and port: a smarthost or
// an LMTP server. Set TLS, LMTP and Login as needed.
func Fixed(host string, port int) Destination {
	host = strings.ToLower(host)
	h := Host{Name: host}
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		h = Host{Name: "[" + ip.String() + "]", Addrs: []netip.Addr{ip}}
	}
	return Destination{Key: net.JoinHostPort(h.Name, strconv.Itoa(port)), Hosts: []Host{h}, Port: port}
}

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
	answer, err := a.cfg.Resolver.MX(ctx, domain)
	switch {
	case errors.Is(err, dns.ErrNoName):
		return Destination{}, mail.NewStatus(550, "5.1.2", "the domain %s does not exist", domain)
	case errors.Is(err, dns.ErrNotFound):
		return a.routeByAddress(ctx, domain)
	case err != nil:
		return Destination{}, mail.NewStatus(451, "4.4.3", "the DNS does not tell where mail for %s goes: %v", domain, err)
	}
	hosts, status := exchangers(domain, answer.Records, a.own)
	if status != nil {
		return Destination{}, status
	}
	return Destination{Key: keyOf(hosts), Domain: domain, Hosts: hosts}, nil
}

// routeByAddress takes the domain itself as its exchanger when it has an address ("implicit MX").
func (a *Agent) routeByAddress(ctx context.Context, domain string) (Destination, *mail.Status) {
	_, err := a.cfg.Resolver.Host(ctx, domain)
	switch {
	case errors.Is(err, dns.ErrNotFound):
		return Destination{}, mail.NewStatus(550, "5.1.2", "the domain %s has neither MX records nor an address", domain)
	case err != nil:
		return Destination{}, mail.NewStatus(451, "4.4.3", "the DNS does not tell the address of %s: %v", domain, err)
	case a.own[domain]:
		return Destination{}, loop(domain)
	}
	return Destination{Key: domain, Domain: domain, Hosts: []Host{{Name: domain}}}, nil
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

// exchangers decides which hosts remain of a domain's MX records when own are our names.
func exchangers(domain string, records []dns.MX, own map[string]bool) ([]Host, *mail.Status) {
	if len(records) == 1 && records[0].Null() {
		return nil, mail.NewStatus(556, "5.1.10", "the domain %s takes no mail (null MX)", domain)
	}
	records = slices.Clone(records)
	slices.SortStableFunc(records, func(x, y dns.MX) int { return cmp.Compare(x.Preference, y.Preference) })
	var hosts []Host
	for _, mx := range records {
		if own[mx.Host] {
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

func keyOf(hosts []Host) string {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = h.Name
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

// shuffled returns hosts by preference, with those of equal preference in random order to share
// their load.
func shuffled(hosts []Host) []Host {
	hosts = slices.Clone(hosts)
	rand.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	slices.SortStableFunc(hosts, func(x, y Host) int { return cmp.Compare(x.Preference, y.Preference) })
	return hosts
}

// addresses returns where h is to be tried, IPv6 and IPv4 in turn, so that a broken family costs one
// attempt only.
func (a *Agent) addresses(ctx context.Context, h Host) ([]netip.Addr, *mail.Status) {
	if len(h.Addrs) > 0 {
		return h.Addrs, nil
	}
	answer, err := a.cfg.Resolver.Host(ctx, h.Name)
	switch {
	case errors.Is(err, dns.ErrNotFound):
		return nil, mail.NewStatus(550, "5.4.4", "the mail host %s has no address", h.Name)
	case err != nil:
		return nil, mail.NewStatus(451, "4.4.3", "the DNS does not tell the address of the mail host %s: %v", h.Name, err)
	}
	six := slices.DeleteFunc(slices.Clone(answer.Records), netip.Addr.Is4)
	four := slices.DeleteFunc(answer.Records, netip.Addr.Is6)
	var addrs []netip.Addr
	for i := range max(len(six), len(four)) {
		if i < len(six) {
			addrs = append(addrs, six[i])
		}
		if i < len(four) {
			addrs = append(addrs, four[i])
		}
	}
	return addrs[:min(len(addrs), maxAddresses)], nil
}
