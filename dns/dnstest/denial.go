package dnstest

import (
	"slices"
	"strings"

	wire "github.com/miekg/dns"
)

// A link is one name of a zone's chain of NSEC or NSEC3 records.
type link struct {
	name string // or its hash
	full string
}

// deny returns the records that prove that name, in zone z, has no records of the type asked for, or with
// positive that it does not exist, where a wildcard answers for it.
func (s *Server) deny(z *zone, name string, positive bool) []wire.RR {
	if z == nil || z.Unsigned || z.NoDenial {
		return nil
	}
	chain := s.chain(z)
	closest := s.encloser(z, name)
	wildcard := "*." + strings.TrimPrefix(closest, ".")
	var about []string // names to match or cover
	switch {
	case closest == name:
		about = []string{name}
		if z.NSEC3 && !slices.ContainsFunc(chain, func(l link) bool { return l.full == name }) {
			closest = s.linked(chain, name)
			about = []string{closest, nextCloser(name, closest)}
		}
	case positive && z.NSEC3:
		about = []string{nextCloser(name, closest)}
	case positive:
		about = []string{name}
	case z.NSEC3:
		about = []string{closest, nextCloser(name, closest), wildcard}
	default:
		about = []string{name, wildcard}
	}
	var rrs []wire.RR
	var used []int
	for _, n := range about {
		at := z.find(chain, n)
		if !slices.Contains(used, at) {
			used = append(used, at)
			rrs = append(rrs, z.sign([]wire.RR{s.denial(z, chain, at)})...)
		}
	}
	return rrs
}

// linked returns the closest ancestor of name that is in the chain.
func (s *Server) linked(chain []link, name string) string {
	for {
		name = parent(name)
		if name == "." || slices.ContainsFunc(chain, func(l link) bool { return l.full == name }) {
			return name
		}
	}
}

// find returns the link that matches name, or else covers it.
func (z *zone) find(chain []link, name string) int {
	want := link{name, name}
	if z.NSEC3 {
		want.name = z.hash(name)
	}
	at, ok := slices.BinarySearchFunc(chain, want, z.compare)
	if ok {
		return at
	}
	return (at - 1 + len(chain)) % len(chain)
}

func (z *zone) hash(name string) string { return wire.HashName(name, wire.SHA1, z.Iterations, z.Salt) }

func (z *zone) compare(a, b link) int {
	if z.NSEC3 {
		return strings.Compare(a.name, b.name)
	}
	x, y := wire.SplitDomainName(a.name), wire.SplitDomainName(b.name)
	slices.Reverse(x)
	slices.Reverse(y)
	return slices.Compare(x, y)
}

// chain returns the links of z in order.
func (s *Server) chain(z *zone) []link {
	names := map[string]bool{z.apex: true}
	add := func(name string, isCut bool) {
		if isCut && z.NSEC3 && z.OptOut && s.signed[name].ds() == nil {
			return
		}
		names[name] = true
		for n := parent(name); z.NSEC3 && n != z.apex && wire.IsSubDomain(z.apex, n); n = parent(n) {
			names[n] = true // an empty non-terminal has a hash, but no NSEC
		}
	}
	for name := range s.zones {
		if s.zoneOf(name, wire.TypeA) == z {
			add(name, false)
		}
	}
	for apex := range s.signed {
		if apex != z.apex && s.zoneOf(apex, wire.TypeDS) == z {
			add(apex, true)
		}
	}
	var chain []link
	for name := range names {
		l := link{name, name}
		if z.NSEC3 {
			l.name = z.hash(name)
		}
		chain = append(chain, l)
	}
	slices.SortFunc(chain, z.compare)
	return chain
}

// denial returns the record of one link.
func (s *Server) denial(z *zone, chain []link, at int) wire.RR {
	next := chain[(at+1)%len(chain)].name
	types := s.types(z, chain[at].full)
	if !z.NSEC3 {
		types = append(types, wire.TypeNSEC, wire.TypeRRSIG)
		slices.Sort(types)
		return &wire.NSEC{Hdr: wire.RR_Header{Name: chain[at].name, Rrtype: wire.TypeNSEC, Class: wire.ClassINET, Ttl: s.negative},
			NextDomain: next, TypeBitMap: types}
	}
	if len(types) > 0 {
		types = append(types, wire.TypeRRSIG)
	}
	slices.Sort(types)
	var flags uint8
	if z.OptOut {
		flags = 1
	}
	name := strings.ToLower(chain[at].name) + "." + strings.TrimPrefix(z.apex, ".")
	return &wire.NSEC3{Hdr: wire.RR_Header{Name: name, Rrtype: wire.TypeNSEC3, Class: wire.ClassINET, Ttl: s.negative},
		Hash: wire.SHA1, Flags: flags, Iterations: z.Iterations, SaltLength: uint8(len(z.Salt) / 2), Salt: z.Salt,
		HashLength: 20, NextDomain: next, TypeBitMap: types}
}

// types returns those that a name has in zone z, signatures and denials aside.
func (s *Server) types(z *zone, name string) []uint16 {
	if name != z.apex && s.signed[name] != nil { // a delegation
		if s.signed[name].ds() != nil {
			return []uint16{wire.TypeNS, wire.TypeDS}
		}
		return []uint16{wire.TypeNS}
	}
	var types []uint16
	for _, rr := range s.zones[name] {
		types = append(types, rr.Header().Rrtype)
	}
	if name == z.apex {
		types = append(types, wire.TypeSOA, wire.TypeNS, wire.TypeDNSKEY)
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// encloser returns the deepest ancestor of name, or name itself, that exists.
func (s *Server) encloser(z *zone, name string) string {
	for name != "." && (z == nil || name != z.apex) && !s.exists(name) {
		name = parent(name)
	}
	return name
}

func parent(name string) string {
	if i, end := wire.NextLabel(name, 0); !end {
		return name[i:]
	}
	return "."
}

// nextCloser returns the ancestor of name one label below closest.
func nextCloser(name, closest string) string {
	for parent(name) != closest && name != "." {
		name = parent(name)
	}
	return name
}
