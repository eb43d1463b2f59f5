package dns

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	wire "github.com/miekg/dns"
)

// maxRecords is how many records of one reply are kept; nobody has more in earnest.
const maxRecords = 256

var (
	errTruncated = errors.New("the reply was cut short")
	errFormat    = errors.New("the server does not understand the query (FORMERR)")
	errServFail  = errors.New("the server answered SERVFAIL")
	errForeign   = errors.New("the reply does not belong to the query")
)

// A reply is what one server said about one question.
type reply struct {
	records  []record
	name     string // where its chain of CNAMEs ends
	links    int    // length of that chain
	open     bool   // the chain ends outside the reply: ask for name
	ttl      time.Duration
	security Security
	err      error     // ErrNoName or ErrNoData
	proof    *wire.Msg // the reply itself, while its security is not known
}

// parseReply reads a reply to q. Its error means that this server gave no answer.
func parseReply(raw []byte, id uint16, q question) (reply, error) {
	m, err := openReply(raw, id, q)
	if err != nil {
		return reply{}, err
	}
	if q.want == wantRecords {
		return reply{name: q.name, proof: m}, nil
	}
	return readAnswer(m, q)
}

// openReply unpacks a reply to q and checks that it is one and says something.
func openReply(raw []byte, id uint16, q question) (*wire.Msg, error) {
	m := new(wire.Msg)
	if err := m.Unpack(raw); err != nil {
		if m.Id == id && m.Response && m.Truncated {
			return nil, errTruncated // some servers cut inside a record
		}
		return nil, fmt.Errorf("malformed reply: %w", err)
	}
	if err := belongs(m, id, q); err != nil {
		return nil, err
	}
	switch {
	case m.Truncated:
		return nil, errTruncated
	case m.Rcode == wire.RcodeFormatError || m.Rcode == wire.RcodeNotImplemented:
		return nil, errFormat
	case m.Rcode == wire.RcodeServerFailure:
		return nil, errServFail
	case m.Rcode != wire.RcodeSuccess && m.Rcode != wire.RcodeNameError:
		return nil, fmt.Errorf("the server answered %s", wire.RcodeToString[m.Rcode])
	}
	return m, nil
}

// belongs checks that m answers our query and not another's. FORMERR may come without the question.
func belongs(m *wire.Msg, id uint16, q question) error {
	if m.Id != id || !m.Response {
		return errForeign
	}
	if len(m.Question) == 0 && m.Rcode == wire.RcodeFormatError {
		return nil
	}
	if len(m.Question) != 1 || m.Question[0].Qtype != q.qtype || m.Question[0].Qclass != wire.ClassINET ||
		fromWire(m.Question[0].Name) != q.name {
		return errForeign
	}
	return nil
}

// readAnswer follows the CNAMEs of the answer section from q.name and takes the records at their end.
func readAnswer(m *wire.Msg, q question) (reply, error) {
	rep := reply{name: q.name, ttl: maxTTL, security: adBit(m.AuthenticatedData), proof: m}
	if q.qtype != typeCNAME {
		if err := rep.follow(m.Answer); err != nil {
			return reply{}, err
		}
	}
	for _, rr := range m.Answer {
		rec, ok := readRecord(rr)
		if !ok || rr.Header().Rrtype != q.qtype || fromWire(rr.Header().Name) != rep.name {
			continue
		}
		if len(rep.records) < maxRecords {
			rep.records = append(rep.records, rec)
			rep.keep(rr.Header().Ttl)
		}
	}
	if len(rep.records) > 0 {
		return rep, nil
	}
	return rep, rep.absent(m)
}

// follow goes along the CNAMEs among rrs.
func (rep *reply) follow(rrs []wire.RR) error {
	next := make(map[string]*wire.CNAME)
	for _, rr := range rrs {
		if c, ok := rr.(*wire.CNAME); ok {
			next[fromWire(c.Hdr.Name)] = c
		}
	}
	for c := next[rep.name]; c != nil; c = next[rep.name] {
		if rep.links++; rep.links > maxCNAMEs {
			return fmt.Errorf("chain of CNAMEs longer than %d", maxCNAMEs)
		}
		rep.keep(c.Hdr.Ttl)
		rep.name = fromWire(c.Target)
		if _, ok := canonical(rep.name); !ok {
			rep.err = ErrNoName // a target that cannot be asked for
			return nil
		}
	}
	return nil
}

// absent decides what a reply without records means (RFC 2308 section 2).
func (rep *reply) absent(m *wire.Msg) error {
	var soa *wire.SOA
	referral := false
	for _, rr := range m.Ns {
		switch rr := rr.(type) {
		case *wire.SOA:
			soa = rr
		case *wire.NS:
			referral = true
		}
	}
	switch {
	case rep.err != nil:
	case m.Rcode == wire.RcodeNameError:
		rep.err = ErrNoName
	case rep.links > 0 && soa == nil:
		rep.open = true
		return nil
	case referral && soa == nil && !m.Authoritative:
		return errors.New("the server refers us to others: it does not recurse")
	default:
		rep.err = ErrNoData
	}
	negative := noSOATTL
	if soa != nil {
		negative = min(seconds(min(soa.Minttl, soa.Hdr.Ttl)), maxNegativeTTL)
	}
	rep.ttl = min(rep.ttl, negative)
	return nil
}

// keep lowers the time to live to that of one more record.
func (rep *reply) keep(ttl uint32) { rep.ttl = min(rep.ttl, seconds(ttl)) }

// seconds reads a TTL; one with the top bit set is zero (RFC 2181 section 8).
func seconds(ttl uint32) time.Duration {
	if ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}

func readRecord(rr wire.RR) (record, bool) {
	switch rr := rr.(type) {
	case *wire.MX:
		return record{preference: rr.Preference, text: fromWire(rr.Mx)}, true
	case *wire.PTR:
		return record{text: fromWire(rr.Ptr)}, true
	case *wire.CNAME:
		return record{text: fromWire(rr.Target)}, true
	case *wire.TLSA:
		data, err := hex.DecodeString(rr.Certificate)
		return record{tlsa: TLSA{Usage: rr.Usage, Selector: rr.Selector, Matching: rr.MatchingType, Data: data}}, err == nil
	case *wire.TXT:
		return record{text: unescape(strings.Join(rr.Txt, ""))}, true
	case *wire.A:
		ip, ok := netip.AddrFromSlice(rr.A.To4())
		return record{addr: ip}, ok
	case *wire.AAAA:
		ip, ok := netip.AddrFromSlice(rr.AAAA.To16())
		return record{addr: ip.Unmap()}, ok
	}
	return record{}, false
}

// unescape undoes the escapes of master files (RFC 1035 section 5.1), which the library leaves in
// character strings: \DDD and \X.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			continue
		}
		i++
		if i+2 < len(s) && isDigit(s[i]) && isDigit(s[i+1]) && isDigit(s[i+2]) {
			b = append(b, (s[i]-'0')*100+(s[i+1]-'0')*10+(s[i+2]-'0'))
			i += 2
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
