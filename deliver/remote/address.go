package remote

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"posthaste/dns"
	"posthaste/mail"
)

// ownLookup bounds how long a route waits for the addresses of its hosts, which serve only to find loops.
const ownLookup = 5 * time.Second

// addresses returns where h is to be tried, IPv6 and IPv4 in turn, so that a broken family costs one
// attempt only.
func (a *Agent) addresses(ctx context.Context, dest Destination, h Host) (dns.Answer[netip.Addr], *mail.Status) {
	if len(h.Addrs) > 0 {
		return dns.Answer[netip.Addr]{Records: h.Addrs}, nil
	}
	answer, err := a.cfg.Resolver.Host(ctx, h.Name)
	switch {
	case errors.Is(err, dns.ErrNotFound):
		return answer, mail.NewStatus(550, "5.4.4", "the mail host %s has no address", h.Name)
	case err != nil:
		return answer, mail.NewStatus(451, "4.4.3", "the DNS does not tell the address of the mail host %s: %v", h.Name, err)
	case dest.Domain != "" && a.isOwn(answer.Records, portFor(dest, h)):
		return answer, mail.NewStatus(451, "4.4.6", "the mail host %s has an address of ours: mail would go in circles", h.Name)
	}
	answer.Records = interleaved(answer.Records)
	if dest.Source.IsValid() {
		answer.Records = slices.DeleteFunc(answer.Records, func(ip netip.Addr) bool { return ip.Is4() != dest.Source.Unmap().Is4() })
		if len(answer.Records) == 0 {
			return answer, mail.NewStatus(451, "4.4.1", "the mail host %s has no address that can be reached from %s", h.Name, dest.Source)
		}
	}
	answer.Records = answer.Records[:min(len(answer.Records), maxAddresses)]
	return answer, nil
}

func interleaved(records []netip.Addr) []netip.Addr {
	six := slices.DeleteFunc(slices.Clone(records), netip.Addr.Is4)
	four := slices.DeleteFunc(slices.Clone(records), netip.Addr.Is6)
	var addrs []netip.Addr
	for i := range max(len(six), len(four)) {
		if i < len(six) {
			addrs = append(addrs, six[i])
		}
		if i < len(four) {
			addrs = append(addrs, four[i])
		}
	}
	return addrs
}

func portFor(dest Destination, h Host) int {
	if h.Port != 0 {
		return h.Port
	}
	return dest.Port
}

// ownAddresses replaces unspecified addresses by those of this machine.
func ownAddresses(listed []netip.AddrPort) []netip.AddrPort {
	var own []netip.AddrPort
	for _, ap := range listed {
		if !ap.Addr().IsUnspecified() {
			own = append(own, netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()))
			continue
		}
		interfaces, _ := net.InterfaceAddrs() // without them, names alone tell loops
		for _, i := range interfaces {
			if prefix, err := netip.ParsePrefix(i.String()); err == nil {
				own = append(own, netip.AddrPortFrom(prefix.Addr().Unmap(), ap.Port()))
			}
		}
	}
	return own
}

// isOwn tells whether one of addrs, at port, is where this node takes mail.
func (a *Agent) isOwn(addrs []netip.Addr, port int) bool {
	if port == 0 {
		port = a.cfg.Port
	}
	return slices.ContainsFunc(a.addrs, func(own netip.AddrPort) bool {
		return (own.Port() == 0 || int(own.Port()) == port) && slices.Contains(addrs, own.Addr())
	})
}

// ownHosts returns the hosts of records that have an address of ours. A host whose address cannot be
// looked up now is looked at again when it is tried.
func (a *Agent) ownHosts(ctx context.Context, records []dns.MX) map[string]bool {
	if len(a.addrs) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, ownLookup)
	defer cancel()
	here := make(map[string]bool)
	var mu sync.Mutex // guards here
	var lookups sync.WaitGroup
	for _, mx := range records[:min(len(records), maxHosts)] {
		if !dns.IsHostName(mx.Host) {
			continue
		}
		lookups.Go(func() {
			answer, err := a.cfg.Resolver.Host(ctx, mx.Host)
			if err == nil && a.isOwn(answer.Records, 0) {
				mu.Lock()
				here[mx.Host] = true
				mu.Unlock()
			}
		})
	}
	lookups.Wait()
	return here
}
