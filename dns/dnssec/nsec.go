package dnssec

import (
	"bytes"
	"slices"

	wire "github.com/miekg/dns"
)

// labels are those of a name in wire form, lower case, the top one first: in canonical order names compare
// label by label (RFC 4034 section 6.1).
type labels [][]byte

func labelsOf(name string) labels {
	buf := make([]byte, 256)
	n, err := wire.PackDomainName(wire.CanonicalName(name), buf, 0, nil, false)
	if err != nil {
		return nil
	}
	var l labels
	for i := 0; i < n && buf[i] != 0; i += int(buf[i]) + 1 {
		l = append(l, bytes.ToLower(buf[i+1:i+1+int(buf[i])]))
	}
	slices.Reverse(l)
	return l
}

func (l labels) compare(other labels) int { return slices.CompareFunc(l, other, bytes.Compare) }

// under tells whether l is other or below it.
func (l labels) under(other labels) bool {
	return len(l) >= len(other) && l[:len(other)].compare(other) == 0
}

// common counts the labels that two names share, from the top.
func (l labels) common(other labels) int {
	n := 0
	for n < min(len(l), len(other)) && bytes.Equal(l[n], other[n]) {
		n++
	}
	return n
}

// An nsec says that no name lies between two names, and which types the first one has.
type nsec struct {
	owner, next labels
	types       types
}

type nsecs []nsec

// covers tells whether n proves that name has no records.
func (n nsec) covers(name labels) bool {
	if n.owner.compare(name) >= 0 || name.under(n.owner) && n.types.above() {
		return false
	}
	last := n.next.compare(n.owner) <= 0 // back to the apex
	return last || name.compare(n.next) < 0
}

// encloser returns the number of labels of the closest encloser of a name that n covers: the deepest
// ancestor that exists.
func (n nsec) encloser(name labels) int { return max(name.common(n.owner), name.common(n.next)) }

// deny is section 5.4 of RFC 4035.
func (ns nsecs) deny(name string, qtype uint16) (Denial, bool) {
	at := labelsOf(name)
	if d, ok := ns.noData(at, qtype); ok {
		return d, true
	}
	for _, n := range ns {
		if !n.covers(at) {
			continue
		}
		if n.next.under(at) {
			return Denial{}, true // a name without records, between others
		}
		closest := n.encloser(at)
		if closest == len(at) {
			continue // the next name is above: no such zone
		}
		wildcard := append(slices.Clone(at[:closest]), []byte("*"))
		if _, ok := ns.noData(wildcard, qtype); ok {
			return Denial{}, true
		}
		for _, w := range ns {
			if w.covers(wildcard) {
				return Denial{NoName: !w.next.under(wildcard)}, true
			}
		}
	}
	return Denial{}, false
}

// noData looks for the record of the name itself.
func (ns nsecs) noData(at labels, qtype uint16) (Denial, bool) {
	for _, n := range ns {
		if n.owner.compare(at) == 0 && n.types.denies(qtype, len(at) == 0) {
			return Denial{Cut: n.types.cut()}, true
		}
	}
	return Denial{}, false
}
