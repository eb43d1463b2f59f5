package dnstest

import (
	"context"
	"errors"
	"slices"
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
	if opt := m.IsEdns0(); opt != nil {
		reply.SetEdns0(opt.UDPSize(), false)
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
		s.fill(reply, q)
	}
	return pack(reply, m, stream, fault.Kind == Truncate), fault.Delay
}

// fill puts in what the zones say about q.
func (s *Server) fill(reply *wire.Msg, q wire.Question) {
	name := key(q.Name)
	for range maxLinks {
		rrs := s.zones[name]
		found := slices.DeleteFunc(slices.Clone(rrs), func(rr wire.RR) bool { return rr.Header().Rrtype != q.Qtype })
		reply.Answer = append(reply.Answer, found...)
		if len(found) > 0 {
			return
		}
		alias := slices.IndexFunc(rrs, func(rr wire.RR) bool { return rr.Header().Rrtype == wire.TypeCNAME })
		if alias < 0 {
			break
		}
		reply.Answer = append(reply.Answer, rrs[alias])
		name = key(rrs[alias].(*wire.CNAME).Target)
	}
	if !s.exists(name) {
		reply.Rcode = wire.RcodeNameError
	}
	reply.Ns = append(reply.Ns, &wire.SOA{
		Hdr: wire.RR_Header{Name: ".", Rrtype: wire.TypeSOA, Class: wire.ClassINET, Ttl: s.negative},
		Ns:  "ns.test.", Mbox: "hostmaster.test.", Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: s.negative,
	})
}

// exists tells whether name has records, or is an empty non-terminal above one that has
// (RFC 8020): then the answer is NODATA.
func (s *Server) exists(name string) bool {
	if len(s.zones[name]) > 0 {
		return true
	}
	for other := range s.zones {
		if strings.HasSuffix(other, "."+name) {
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
