package dnssec

import (
	"strings"

	wire "github.com/miekg/dns"
)

// An nsec3 is an nsec of hashed names (RFC 5155).
type nsec3 struct {
	owner, next string // base32, upper case
	optOut      bool   // delegations that are not signed may lie between
	types       types
}

// nsec3s are the records of one reply, all hashed alike.
type nsec3s struct {
	records []nsec3
	like    *wire.NSEC3 // the first, for salt and iterations
	hashes  map[string]string
	effort  *Effort
}

// add takes rr unless it is of a kind that we do not know, or hashed otherwise than the first (RFC 5155
// section 8.2).
func (n3 *nsec3s) add(rr *wire.NSEC3, zone string) {
	owner, rest, _ := strings.Cut(rr.Hdr.Name, ".")
	if rr.Hash != wire.SHA1 || rr.Flags&^1 != 0 || rr.Iterations > maxIterations || wire.Fqdn(rest) != zone {
		return
	}
	if n3.like == nil {
		n3.like = rr
	}
	if rr.Iterations == n3.like.Iterations && strings.EqualFold(rr.Salt, n3.like.Salt) {
		n3.records = append(n3.records, nsec3{strings.ToUpper(owner), strings.ToUpper(rr.NextDomain), rr.Flags&1 != 0, rr.TypeBitMap})
	}
}

// hash returns that of a name, or "" when there have been too many.
func (n3 *nsec3s) hash(name string) string {
	h, ok := n3.hashes[name]
	if !ok && n3.effort.hash() {
		h = wire.HashName(name, n3.like.Hash, n3.like.Iterations, n3.like.Salt)
		n3.hashes[name] = h
	}
	return h
}

// match returns the record of a name.
func (n3 *nsec3s) match(name string) (nsec3, bool) {
	h := n3.hash(name)
	for _, n := range n3.records {
		if h != "" && n.owner == h {
			return n, true
		}
	}
	return nsec3{}, false
}

// cover returns a record that proves that name does not exist.
func (n3 *nsec3s) cover(name string) (nsec3, bool) {
	h := n3.hash(name)
	for _, n := range n3.records {
		switch {
		case h == "" || h == n.owner:
		case n.owner < n.next && n.owner < h && h < n.next, n.owner >= n.next && (h > n.owner || h < n.next):
			return n, true
		}
	}
	return nsec3{}, false
}

// deny is section 8.3 to 8.7 of RFC 5155.
func (n3 *nsec3s) deny(name string, qtype uint16, zone string) (Denial, bool) {
	if n, ok := n3.match(name); ok {
		return Denial{Cut: n.types.cut()}, n.types.denies(qtype, name == ".")
	}
	closest, ok := n3.encloser(name, zone)
	if !ok {
		return Denial{}, false
	}
	encloser := ancestor(name, closest)
	cover, ok := n3.cover(ancestor(name, closest+1))
	if !ok {
		return Denial{}, false
	}
	if cover.optOut {
		return Denial{Weak: true}, true
	}
	wildcard := "*." + strings.TrimPrefix(encloser, ".")
	if n, ok := n3.match(wildcard); ok {
		return Denial{}, n.types.denies(qtype, false)
	}
	_, ok = n3.cover(wildcard)
	return Denial{NoName: true}, ok
}

// encloser returns the number of labels of the deepest ancestor of name that exists, unless names below
// that are not the zone's to deny.
func (n3 *nsec3s) encloser(name, zone string) (int, bool) {
	for count := wire.CountLabel(name) - 1; count >= wire.CountLabel(zone); count-- {
		if n, ok := n3.match(ancestor(name, count)); ok {
			return count, !n.types.above()
		}
	}
	return 0, false
}

// ancestor returns the last count labels of a name.
func ancestor(name string, count int) string {
	at := wire.Split(name)
	if count <= 0 || len(at) == 0 {
		return "."
	}
	return name[at[max(0, len(at)-count)]:]
}
