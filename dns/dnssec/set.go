package dnssec

import (
	"slices"
	"strings"

	wire "github.com/miekg/dns"
)

// maxSets bounds the sets of one section of a reply.
const maxSets = 64

// A Set is the records of one name and type with their signatures.
type Set struct {
	Name       string // canonical, with the final dot
	Type       uint16
	Records    []wire.RR
	Signatures []*wire.RRSIG
}

// String returns "MX record at north.test".
func (s Set) String() string {
	return wire.TypeToString[s.Type] + " record at " + strings.TrimSuffix(s.Name, ".")
}

// Sets sorts a section of a reply into sets. It makes the owners of the records canonical.
func Sets(rrs []wire.RR) []Set {
	var sets []Set
	at := func(name string, qtype uint16) *Set {
		i := slices.IndexFunc(sets, func(s Set) bool { return s.Name == name && s.Type == qtype })
		if i < 0 && len(sets) < maxSets {
			i = len(sets)
			sets = append(sets, Set{Name: name, Type: qtype})
		}
		if i < 0 {
			return nil
		}
		return &sets[i]
	}
	for _, rr := range rrs {
		h := rr.Header()
		if h.Class != wire.ClassINET {
			continue
		}
		h.Name = wire.CanonicalName(h.Name)
		if sig, ok := rr.(*wire.RRSIG); ok {
			if s := at(h.Name, sig.TypeCovered); s != nil {
				s.Signatures = append(s.Signatures, sig)
			}
		} else if s := at(h.Name, h.Rrtype); s != nil {
			s.Records = append(s.Records, rr)
		}
	}
	return slices.DeleteFunc(sets, func(s Set) bool { return len(s.Records) == 0 })
}

// Find returns the set of a name and type.
func Find(sets []Set, name string, qtype uint16) (Set, bool) {
	for _, s := range sets {
		if s.Name == name && s.Type == qtype {
			return s, true
		}
	}
	return Set{}, false
}

// Signer returns the zone that is said to have signed s, one at or above its name, or "".
func (s Set) Signer() string {
	for _, sig := range s.Signatures {
		if signer := wire.CanonicalName(sig.SignerName); wire.IsSubDomain(signer, s.Name) {
			return signer
		}
	}
	return ""
}
