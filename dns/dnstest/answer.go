package dnstest

import (
	"context"
	"errors"
	"strings"
	"time"

	wire "github.com/miekg/dns"
)

// maxLinks bounds the chain of CNAMEs in one reply.
const maxLinks = 16

// A Fault is how the server treats queries for a name instead of answering well.
type Fault struct {
	Kind  FaultKind
	Delay time.Duration // before the reply, whatever it is
}

// A FaultKind is one way of failing.
type FaultKind int

// The kinds of fault.
const (
	Healthy  FaultKind = iota // answers, after Delay
	ServFail                  // SERVFAIL
	Refuse                    // REFUSED
	Drop                      // no reply at all
	Truncate                  // no records over UDP, TC set; all of them over TCP
	Garbage                   // bytes that are no reply
)

// SetFault makes queries for name fail; name "." means all names without a fault of their own.
// The zero Fault heals it.
func (s *Server) SetFault(name string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f == (Fault{}) {
		delete(s.faults, key(name))
		return
	}
	s.faults[key(name)] = f
}

// Exchange answers a query within the process. It fits dns.Config.Exchange; server is not looked at.
func (s *Server) Exchange(ctx context.Context, network, _ string, query []byte) ([]byte, error) {
	raw, delay := s.answer(query, network == "tcp")
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if raw == nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return raw, nil
}

// answer returns the reply to a packed query, or nil for none, and how long to wait before it.
func (s *Server) answer(query []byte, stream bool) ([]byte, time.Duration) {
	m := new(wire.Msg)
	if err := m.Unpack(query); err != nil || len(m.Question) != 1 || m.Response {
		return nil, 0
	}
	q := m.Question[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queries[wire.TypeToString[q.Qtype]+" "+key(q.Name)]++
	fault, ok := s.faults[key(q.Name)]
	if !ok {
		fault = s.faults["."]
	}
	reply := new(wire.Msg)
	reply.SetReply(m)
	reply.Authoritative = true
	reply.RecursionAvailable = true
	reply.AuthenticatedData = s.authentic
	signed := false
	if opt := m.IsEdns0(); opt != nil {
		signed = opt.Do() && !s.oblivious
		reply.SetEdns0(opt.UDPSize(), signed)
	}
	switch fault.Kind {
	case Drop:
		return nil, fault.Delay
	case Garbage:
		return append(query[:2:2], 0x80, 0x00, 0xff, 0xff, 0xff), fault.Delay
	case ServFail:
		reply.Rcode = wire.RcodeServerFailure
	case Refuse:
		reply.Rcode = wire.RcodeRefused
	default:
		s.fill(reply, q, signed)
	}
	return pack(reply, m, stream, fault.Kind == Truncate), fault.Delay
}

// fill puts in what the zones say about q, with signatures and proofs if signed.
func (s *Server) fill(reply *wire.Msg, q wire.Question, signed bool) {
	name := key(q.Name)
	for range maxLinks {
		a := s.lookup(name, q.Qtype)
		if signed && a.records != nil {
			reply.Ns = append(reply.Ns, a.proof(s)...)
		}
		reply.Answer = append(reply.Answer, a.answer(signed)...)
		if a.made != nil {
			reply.Answer = append(reply.Answer, a.made)
		}
		if a.next == "" && a.records != nil {
			return
		}
		if a.next == "" {
			break
		}
		name = a.next
	}
	z := s.zoneOf(name, q.Qtype)
	if !s.exists(s.source(name)) {
		reply.Rcode = wire.RcodeNameError
	}
	if !signed || z == nil {
		reply.Ns = append(reply.Ns, s.soa(apexOf(z)))
		return
	}
	reply.Ns = append(reply.Ns, z.sign([]wire.RR{s.soa(z.apex)})...)
	reply.Ns = append(reply.Ns, s.deny(z, name, false)...)
}

// A finding is what a zone has for one name.
type finding struct {
	zone    *zone
	name    string    // that was asked for
	records []wire.RR // with their own owner: a wildcard, or the owner of a DNAME
	made    wire.RR   // the CNAME made from a DNAME
	next    string    // where a CNAME leads
}

// lookup finds records of a type, an alias, or neither.
func (s *Server) lookup(name string, qtype uint16) finding {
	f := finding{zone: s.zoneOf(name, qtype), name: name}
	source := s.source(name)
	if f.records = s.set(source, qtype); f.records == nil {
		if f.records = s.set(source, wire.TypeCNAME); f.records != nil {
			f.next = key(f.records[0].(*wire.CNAME).Target)
		}
	}
	for above := parent(name); f.records == nil && above != "."; above = parent(above) {
		if d := s.set(above, wire.TypeDNAME); d != nil {
			f.records = d
			f.next = strings.TrimSuffix(name, above) + key(d[0].(*wire.DNAME).Target)
			f.made = &wire.CNAME{Hdr: wire.RR_Header{Name: name, Rrtype: wire.TypeCNAME, Class: wire.ClassINET, Ttl: s.ttl}, Target: f.next}
		}
	}
	return f
}

// source returns name, or the wildcard that stands for it (RFC 4592).
func (s *Server) source(name string) string {
	z := s.zoneOf(name, wire.TypeA)
	if closest := s.encloser(z, name); closest != name {
		if wildcard := "*." + strings.TrimPrefix(closest, "."); len(s.zones[wildcard]) > 0 {
			return wildcard
		}
	}
	return name
}

// answer returns the records, with their signature if signed, under the name that was asked for.
func (f finding) answer(signed bool) []wire.RR {
	rrs := f.records
	if signed {
		rrs = f.zone.sign(rrs)
	}
	if f.made == nil {
		rrs = renamed(rrs, f.name)
	}
	return rrs
}

// proof returns what proves that a wildcard was rightly used.
func (f finding) proof(s *Server) []wire.RR {
	if f.made != nil || f.records[0].Header().Name == f.name {
		return nil
	}
	return s.deny(f.zone, f.name, true)
}

// renamed returns copies with another owner.
func renamed(rrs []wire.RR, name string) []wire.RR {
	copies := make([]wire.RR, len(rrs))
	for i, rr := range rrs {
		copies[i] = wire.Copy(rr)
		copies[i].Header().Name = name
	}
	return copies
}

func apexOf(z *zone) string {
	if z == nil {
		return "."
	}
	return z.apex
}

func (s *Server) soa(apex string) wire.RR {
	return &wire.SOA{
		Hdr: wire.RR_Header{Name: apex, Rrtype: wire.TypeSOA, Class: wire.ClassINET, Ttl: s.negative},
		Ns:  "ns.test.", Mbox: "hostmaster.test.", Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: s.negative,
	}
}

// exists tells whether name has records, or is an empty non-terminal above one that has
// (RFC 8020): then the answer is NODATA.
func (s *Server) exists(name string) bool {
	if len(s.zones[name]) > 0 || s.signed[name] != nil {
		return true
	}
	for other := range s.zones {
		if strings.HasSuffix(other, "."+name) {
			return true
		}
	}
	for apex := range s.signed {
		if strings.HasSuffix(apex, "."+name) {
			return true
		}
	}
	return false
}

// pack prints the reply, cut to what the client takes in a datagram.
func pack(reply, query *wire.Msg, stream, truncate bool) []byte {
	if !stream {
		size := wire.MinMsgSize
		if opt := query.IsEdns0(); opt != nil {
			size = int(opt.UDPSize())
		}
		reply.Truncate(size)
		if truncate {
			reply.Answer, reply.Truncated = nil, true
		}
	}
	raw, err := reply.Pack()
	if err != nil {
		reply.Answer, reply.Ns, reply.Rcode = nil, nil, wire.RcodeServerFailure
		raw, err = reply.Pack()
	}
	if err != nil {
		panic(errors.Join(errors.New("dnstest: a reply without records does not pack"), err))
	}
	return raw
}
