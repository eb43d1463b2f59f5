package dnstest

import (
	"crypto"
	"fmt"
	"strings"
	"time"

	wire "github.com/miekg/dns"
)

// How long signatures are valid, before and after now.
const (
	signedSince = time.Hour
	signedUntil = 7 * 24 * time.Hour
	signedWrong = 2 * 24 * time.Hour // by so much an expired signature is late, more than unbound forgives
)

// A Signing says how a zone is signed, and what is wrong with it. The zero Signing is a good one: ECDSA
// P-256, NSEC, and DS records in the zone above.
type Signing struct {
	Algorithm uint8 // of RFC 8624: 8, 10, 13, 14, 15. Default: 13

	NSEC3      bool // hashed denial (RFC 5155)
	Iterations uint16
	Salt       string // hexadecimal
	OptOut     bool   // leave delegations that are not signed out of the NSEC3 chain

	Unsigned bool // the zone is not signed at all, its parent proves that

	NoDS         bool // the parent has no DS records: signed, but an island
	WrongDS      bool // they name another key
	UnknownDS    bool // they name an algorithm that nobody knows
	Expired      bool // its signatures were good until two days ago
	Future       bool // they will be good in two days
	BadSignature bool // its records changed after they were signed
	NoSignature  bool // its records, its keys excepted, lost their signatures
	NoDenial     bool // it proves no absence
}

// A zone is one that was declared by Sign.
type zone struct {
	Signing
	apex    string
	key     *wire.DNSKEY
	private crypto.Signer
}

// Sign declares that a zone begins at apex ("." for the root) and how it is signed; a second call changes
// that, with new keys. The records of a zone are those below its apex and not below another's. For a chain
// of trust sign the root, then each zone on the way. Replies have signatures for those who ask for them.
func (s *Server) Sign(apex string, how Signing) error {
	z := &zone{Signing: how, apex: key(apex)}
	if !how.Unsigned {
		if err := z.newKey(); err != nil {
			return fmt.Errorf("dnstest: sign %s: %w", apex, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signed[z.apex] = z
	return nil
}

// Anchor returns the trust anchor of a zone signed before: its DS record, for dns.Config.Anchors.
func (s *Server) Anchor(apex string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.signed[key(apex)].key.ToDS(wire.SHA256).String()
}

// SetOblivious makes the server leave out all records of DNSSEC, as old or crippled ones do.
func (s *Server) SetOblivious(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.oblivious = on
}

func (z *zone) newKey() error {
	if z.Algorithm == 0 {
		z.Algorithm = wire.ECDSAP256SHA256
	}
	bits := map[uint8]int{wire.RSASHA256: 2048, wire.RSASHA512: 2048, wire.ECDSAP256SHA256: 256, wire.ECDSAP384SHA384: 384, wire.ED25519: 256}[z.Algorithm]
	z.key = &wire.DNSKEY{
		Hdr:   wire.RR_Header{Name: z.apex, Rrtype: wire.TypeDNSKEY, Class: wire.ClassINET, Ttl: defaultTTL},
		Flags: wire.ZONE | wire.SEP, Protocol: 3, Algorithm: z.Algorithm,
	}
	private, err := z.key.Generate(bits)
	if err != nil {
		return err
	}
	z.private = private.(crypto.Signer)
	return nil
}

// zoneOf returns the zone that answers for a name, or nil: DS records are the parent's.
func (s *Server) zoneOf(name string, qtype uint16) *zone {
	var found *zone
	for apex, z := range s.signed {
		if wire.IsSubDomain(apex, name) && (qtype != wire.TypeDS || apex != name || apex == ".") &&
			(found == nil || wire.CountLabel(apex) > wire.CountLabel(found.apex)) {
			found = z
		}
	}
	return found
}

// set returns the records of a name and type: those that were added, and at the apex of a zone those that
// make it one.
func (s *Server) set(name string, qtype uint16) []wire.RR {
	var found []wire.RR
	for _, rr := range s.zones[name] {
		if rr.Header().Rrtype == qtype {
			found = append(found, rr)
		}
	}
	z := s.signed[name]
	if z == nil || found != nil {
		return found
	}
	switch {
	case qtype == wire.TypeSOA:
		return []wire.RR{s.soa(name)}
	case qtype == wire.TypeNS:
		return []wire.RR{&wire.NS{Hdr: wire.RR_Header{Name: name, Rrtype: wire.TypeNS, Class: wire.ClassINET, Ttl: s.ttl}, Ns: "ns.test."}}
	case qtype == wire.TypeDNSKEY && !z.Unsigned:
		return []wire.RR{z.key}
	case qtype == wire.TypeDS && name != ".":
		return z.ds()
	}
	return nil
}

// ds returns what the parent says of the keys of z.
func (z *zone) ds() []wire.RR {
	if z.Unsigned || z.NoDS {
		return nil
	}
	ds := z.key.ToDS(wire.SHA256)
	if z.WrongDS {
		ds.Digest = strings.Repeat("ab", 32)
	}
	if z.UnknownDS {
		ds.Algorithm = 250
	}
	return []wire.RR{ds}
}

// sign returns a set with its signature, as z makes it.
func (z *zone) sign(set []wire.RR) []wire.RR {
	if z == nil || z.Unsigned || len(set) == 0 {
		return set
	}
	isKey := set[0].Header().Rrtype == wire.TypeDNSKEY
	if z.NoSignature && !isKey {
		return set
	}
	now := time.Now()
	from, to := now.Add(-signedSince), now.Add(signedUntil)
	switch {
	case z.Expired:
		from, to = now.Add(-signedUntil), now.Add(-signedWrong)
	case z.Future:
		from = now.Add(signedWrong)
	}
	h := set[0].Header()
	sig := &wire.RRSIG{
		Hdr:        wire.RR_Header{Name: h.Name, Rrtype: wire.TypeRRSIG, Class: wire.ClassINET, Ttl: h.Ttl},
		SignerName: z.apex, KeyTag: z.key.KeyTag(), Algorithm: z.key.Algorithm,
		Inception: uint32(from.Unix()), Expiration: uint32(to.Unix()),
	}
	if err := sig.Sign(z.private, set); err != nil {
		panic(fmt.Errorf("dnstest: sign %s of %s: %w", wire.TypeToString[h.Rrtype], h.Name, err))
	}
	if z.BadSignature && !isKey {
		sig.Signature = corrupt(sig.Signature)
	}
	return append(set[:len(set):len(set)], sig)
}

// corrupt changes one letter of a base64 text.
func corrupt(signature string) string {
	b := []byte(signature)
	if b[4] == 'A' {
		b[4] = 'B'
	} else {
		b[4] = 'A'
	}
	return string(b)
}
