package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	wire "github.com/miekg/dns"
)

// udpSize is what we take in one datagram: no path cuts that in pieces (DNS flag day 2020).
const udpSize = 1232

// resolvConf names the system's servers.
const resolvConf = "/etc/resolv.conf"

// A server is one recursive server.
type server struct {
	address string // host:port
	trusted bool
}

// parseServers reads the configured addresses, or the system's when there are none.
func parseServers(addresses, trusted []string) ([]server, error) {
	if len(addresses) == 0 {
		addresses = systemServers()
	}
	believe := make([]string, 0, len(trusted))
	for _, t := range trusted {
		address, err := parseServer(t)
		if err != nil {
			return nil, err
		}
		believe = append(believe, address)
	}
	var servers []server
	for _, a := range addresses[:min(len(addresses), maxServers)] {
		address, err := parseServer(a)
		if err != nil {
			return nil, err
		}
		servers = append(servers, server{address, slices.Contains(believe, address) || onLoopback(address)})
	}
	return servers, nil
}

// onLoopback tells whether nobody but this machine can answer in the name of a server.
func onLoopback(address string) bool {
	at, err := netip.ParseAddrPort(address)
	return err == nil && at.Addr().Unmap().IsLoopback()
}

// parseServer returns "host:port" of "host:port", "host", "[v6]:port" or "v6".
func parseServer(s string) (string, error) {
	if ip, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return netip.AddrPortFrom(ip, 53).String(), nil
	}
	if _, err := netip.ParseAddrPort(s); err == nil {
		return s, nil
	}
	host, port, err := net.SplitHostPort(s)
	if err == nil && IsHostName(host) && port != "" {
		return s, nil
	}
	if IsHostName(s) {
		return net.JoinHostPort(s, "53"), nil
	}
	return "", fmt.Errorf("dns: server %q: want an address and a port, such as 127.0.0.1:53", s)
}

func systemServers() []string {
	conf, err := wire.ClientConfigFromFile(resolvConf)
	if err != nil || len(conf.Servers) == 0 {
		return []string{"127.0.0.1:53"}
	}
	var servers []string
	for _, host := range conf.Servers {
		servers = append(servers, net.JoinHostPort(host, conf.Port))
	}
	return servers
}

// askServer puts q to one server, with the verdict of a server that we trust or, where a proof is wanted
// and there is none, with what it takes to make one.
func (r *Resolver) askServer(ctx context.Context, s server, q question, timeout time.Duration) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if q.want != wantProof {
		return r.exchangeWith(ctx, s, q, flags{do: q.want == wantRecords, cd: q.want == wantRecords, ad: s.trusted})
	}
	if s.trusted && r.validates(ctx, s) {
		return r.askValidator(ctx, s, q)
	}
	return r.exchangeWith(ctx, s, q, flags{do: true, cd: true})
}

// askValidator takes the verdict of a server that we trust to validate. Its SERVFAIL is bogus when it has
// an answer for those who do not ask it to validate.
func (r *Resolver) askValidator(ctx context.Context, s server, q question) (reply, error) {
	rep, err := r.exchangeWith(ctx, s, q, flags{ad: true})
	if !errors.Is(err, errServFail) {
		return rep, err
	}
	if _, unchecked := r.exchangeWith(ctx, s, q, flags{cd: true}); unchecked != nil {
		return rep, err
	}
	return rep, &BogusError{Zone: q.name, Reason: "the validating server " + s.address + " rejects the answer (its log, or \"delv " + q.name + "\", tells why)"}
}

// flags are those of a query: do asks for DNSSEC records (RFC 3225), ad for the server's verdict (RFC 6840
// section 5.7), cd for the answer even if that is bad (RFC 4035 section 3.2.2).
type flags struct{ do, ad, cd bool }

// exchangeWith asks by UDP, by TCP when the answer does not fit into a datagram, and without EDNS0 when the
// server is too old for it.
func (r *Resolver) exchangeWith(ctx context.Context, s server, q question, f flags) (reply, error) {
	network, edns := "udp", true
	for range 3 { // at most: datagram, again without EDNS0, stream
		id := wire.Id()
		query, err := packQuery(id, q, edns, f)
		if err != nil {
			return reply{}, err
		}
		raw, err := r.exchange(ctx, network, s.address, query)
		if err != nil {
			return reply{}, &errSilent{network, err}
		}
		r.heard()
		rep, err := parseReply(raw, id, q)
		switch {
		case errors.Is(err, errTruncated) && network == "udp":
			network = "tcp"
		case errors.Is(err, errFormat) && edns:
			edns = false
		case err != nil:
			return reply{}, err
		default:
			if !f.do {
				rep.proof = nil
			}
			if !s.trusted {
				rep.security = min(rep.security, Insecure)
			}
			return rep, nil
		}
	}
	return reply{}, errTruncated
}

func packQuery(id uint16, q question, edns bool, f flags) ([]byte, error) {
	m := new(wire.Msg)
	m.Id = id
	m.RecursionDesired = true
	m.AuthenticatedData = f.ad
	m.CheckingDisabled = f.cd
	m.Question = []wire.Question{{Name: wire.Fqdn(q.name), Qtype: q.qtype, Qclass: wire.ClassINET}}
	if edns {
		m.SetEdns0(udpSize, f.do)
	}
	packed, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("pack query: %w", err)
	}
	return packed, nil
}
