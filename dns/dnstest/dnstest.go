// Package dnstest is a small authoritative name server whose zones Go code sets while it runs. Tests
// and the demo use it in place of the Internet's DNS.
//
// A [Server] answers over UDP and TCP once it listens ([Server.Listen], [Server.Serve]), and within
// the process, without sockets and in virtual time, through [Server.Exchange], which fits
// dns.Config.Exchange. It holds the whole name space: a name that was never set does not exist. Names
// can be made to fail on command: see [Fault]. Zones can be signed, well and badly: see [Server.Sign]; then
// the server answers as a recursive one that does not validate.
package dnstest

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"posthaste/dns"

	wire "github.com/miekg/dns"
)

// The TTLs of records, in seconds, until [Server.SetTTL] changes them.
const (
	defaultTTL         = 60
	defaultNegativeTTL = 10
)

// A Server is an authoritative server for everything. Its methods are safe for concurrent use.
type Server struct {
	mu            sync.Mutex // guards what follows
	ttl, negative uint32
	authentic     bool
	zones         map[string][]wire.RR // by name with the final dot, lower case
	faults        map[string]Fault     // by name likewise; "." stands for every name
	queries       map[string]int       // by "MX north.test"
	signed        map[string]*zone     // by apex, likewise
	oblivious     bool

	listeners
}

// New returns a Server without any name.
func New() *Server {
	return &Server{
		ttl:      defaultTTL,
		negative: defaultNegativeTTL,
		zones:    make(map[string][]wire.RR),
		faults:   make(map[string]Fault),
		queries:  make(map[string]int),
		signed:   make(map[string]*zone),
	}
}

// SetTTL sets the time to live, in seconds, of records added from now on, and of negative answers.
func (s *Server) SetTTL(ttl, negative uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ttl, s.negative = ttl, negative
}

// SetAuthentic says whether replies carry the AD bit, as those of a validating resolver do.
func (s *Server) SetAuthentic(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.authentic = on
}

// MX adds a mail exchanger to domain. Host "." at preference 0 is a null MX.
func (s *Server) MX(domain string, preference uint16, host string) {
	s.add(&wire.MX{Hdr: header(domain, wire.TypeMX), Preference: preference, Mx: wire.Fqdn(host)})
}

// Host adds addresses, IPv4 or IPv6, to a host, and a PTR record back from each.
func (s *Server) Host(host string, addrs ...string) {
	for _, a := range addrs {
		s.Addr(host, a)
		s.PTR(a, host)
	}
}

// Addr adds an A or AAAA record to a host. It panics when addr is none: zones are written by hand.
func (s *Server) Addr(host, addr string) {
	ip := netip.MustParseAddr(addr)
	if ip.Is4() {
		s.add(&wire.A{Hdr: header(host, wire.TypeA), A: ip.AsSlice()})
		return
	}
	s.add(&wire.AAAA{Hdr: header(host, wire.TypeAAAA), AAAA: ip.AsSlice()})
}

// PTR adds a name to the reverse zone of addr.
func (s *Server) PTR(addr, name string) {
	reverse := dns.ReverseName(netip.MustParseAddr(addr))
	s.add(&wire.PTR{Hdr: header(reverse, wire.TypePTR), Ptr: wire.Fqdn(name)})
}

// TXT adds a text record, cut into strings of 255 bytes where it is longer.
func (s *Server) TXT(name, text string) {
	var parts []string
	for part := range slices.Chunk([]byte(text), 255) {
		parts = append(parts, escape(part))
	}
	s.add(&wire.TXT{Hdr: header(name, wire.TypeTXT), Txt: parts})
}

// TLSA adds a certificate association to a service such as "_25._tcp.mx.north.test".
func (s *Server) TLSA(name string, t dns.TLSA) {
	s.add(&wire.TLSA{Hdr: header(name, wire.TypeTLSA), Usage: t.Usage, Selector: t.Selector, MatchingType: t.Matching,
		Certificate: hex.EncodeToString(t.Data)})
}

// CNAME makes name an alias of target.
func (s *Server) CNAME(name, target string) {
	s.add(&wire.CNAME{Hdr: header(name, wire.TypeCNAME), Target: wire.Fqdn(target)})
}

// Add adds records in the form of master files: "north.test. 60 IN SOA …".
func (s *Server) Add(records ...string) error {
	for _, text := range records {
		rr, err := wire.NewRR(text)
		if err != nil || rr == nil {
			return fmt.Errorf("dnstest: record %q: %v", text, err)
		}
		s.add(rr)
	}
	return nil
}

// Remove deletes every record of name.
func (s *Server) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.zones, key(name))
}

// Queries returns how often name was asked for with a type such as "MX".
func (s *Server) Queries(qtype, name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queries[qtype+" "+key(name)]
}

func (s *Server) add(rr wire.RR) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := rr.Header()
	h.Name = key(h.Name)
	if h.Ttl == 0 {
		h.Ttl = s.ttl
	}
	s.zones[h.Name] = append(s.zones[h.Name], rr)
}

func header(name string, qtype uint16) wire.RR_Header {
	return wire.RR_Header{Name: name, Rrtype: qtype, Class: wire.ClassINET}
}

// key returns a name as the zones have it. The library escapes some characters of a name that came over the
// wire; zones are written without.
func key(name string) string {
	name = strings.ToLower(wire.Fqdn(name))
	for _, c := range []string{" ", "'", "@", ";", "(", ")", `"`} {
		name = strings.ReplaceAll(name, `\`+c, c)
	}
	return name
}

// escape writes bytes as the library wants character strings: as in a master file.
func escape(text []byte) string {
	var b strings.Builder
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, "\\%03d", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
