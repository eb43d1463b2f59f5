package dnssec

import (
	"slices"
	"time"

	wire "github.com/miekg/dns"
)

// A Denial is what is proven about a name that has no record of a type.
type Denial struct {
	Expires time.Time
	NoName  bool // the name does not exist either
	Cut     bool // a zone that is not signed begins at the name; only of type DS
	Weak    bool // the zone proves it for its signed part only (opt-out), or by a hash that costs too much
}

// Denies tells whether sets hold records that deny anything, and returns the zone said to have signed them.
func Denies(sets []Set, name string) (signer string, found bool) {
	for _, s := range sets {
		if s.Type != wire.TypeNSEC && s.Type != wire.TypeNSEC3 {
			continue
		}
		found = true
		if signer := s.Signer(); signer != "" && wire.IsSubDomain(signer, name) {
			return signer, true
		}
	}
	return "", found
}

// Deny checks that the authority section of a reply proves that name has no record of type qtype.
func (z *Zone) Deny(name string, qtype uint16, authority []Set, now time.Time, e *Effort) (Denial, error) {
	p := z.proofs(authority, now, e)
	var d Denial
	var ok bool
	switch {
	case !wire.IsSubDomain(z.Name, name):
	case len(p.nsec) > 0:
		d, ok = p.nsec.deny(name, qtype)
	case p.weak:
		d, ok = Denial{Weak: true}, true
	case len(p.nsec3.records) > 0:
		d, ok = p.nsec3.deny(name, qtype, z.Name)
	}
	d.Expires = p.expires
	if !ok {
		return Denial{}, p.broken(z.Name, "it does not prove that there is no "+wire.TypeToString[qtype]+" record of "+name)
	}
	return d, nil
}

// NoCloser checks that the authority section proves that name itself does not exist, so that what the
// wildcard gave is right (RFC 4035 section 5.3.4, RFC 5155 section 8.8). Weak is as for a Denial.
func (z *Zone) NoCloser(name, wildcard string, authority []Set, now time.Time, e *Effort) (Denial, error) {
	p := z.proofs(authority, now, e)
	d := Denial{Expires: p.expires, Weak: p.weak}
	closest := wire.CountLabel(wildcard) - 1
	ok := p.weak
	switch {
	case len(p.nsec) > 0:
		ok = slices.ContainsFunc(p.nsec, func(n nsec) bool { return n.covers(labelsOf(name)) && n.encloser(labelsOf(name)) == closest })
	case !p.weak && len(p.nsec3.records) > 0:
		var cover nsec3
		cover, ok = p.nsec3.cover(ancestor(name, closest+1))
		d.Weak = ok && cover.optOut
	}
	if !ok {
		return Denial{}, p.broken(z.Name, "it does not prove that "+name+" is made from the wildcard "+wildcard)
	}
	return d, nil
}

// proofs are the verified NSEC and NSEC3 records of one reply.
type proofs struct {
	expires time.Time
	nsec    nsecs
	nsec3   nsec3s
	weak    bool  // there are NSEC3 records whose hash costs too much
	failed  error // why a record was not taken
}

func (p *proofs) broken(zone, reason string) error {
	if p.failed != nil {
		return p.failed
	}
	return &Broken{zone, reason}
}

func (z *Zone) proofs(authority []Set, now time.Time, e *Effort) proofs {
	p := proofs{expires: z.Expires, nsec3: nsec3s{effort: e, hashes: make(map[string]string)}}
	taken := 0
	for _, s := range authority {
		if s.Type != wire.TypeNSEC && s.Type != wire.TypeNSEC3 || len(s.Records) != 1 || !wire.IsSubDomain(z.Name, s.Name) {
			continue
		}
		if taken++; taken > maxDenials {
			break
		}
		proof, err := z.Verify(s, now, e)
		if err != nil || proof.Wildcard != "" {
			p.failed = err
			continue
		}
		if proof.Expires.Before(p.expires) {
			p.expires = proof.Expires
		}
		switch rr := s.Records[0].(type) {
		case *wire.NSEC:
			p.nsec = append(p.nsec, nsec{labelsOf(rr.Hdr.Name), labelsOf(rr.NextDomain), rr.TypeBitMap})
		case *wire.NSEC3:
			p.weak = p.weak || rr.Hash == wire.SHA1 && rr.Iterations > maxIterations
			p.nsec3.add(rr, z.Name)
		}
	}
	return p
}

// types is the bit map of an NSEC or NSEC3 record.
type types []uint16

func (t types) has(qtype uint16) bool { return slices.Contains(t, qtype) }

// cut tells whether the record stands at a delegation, on the side of the parent.
func (t types) cut() bool { return t.has(wire.TypeNS) && !t.has(wire.TypeSOA) }

// above tells whether names below the record's are not the zone's to deny (RFC 6840 section 4.1).
func (t types) above() bool { return t.cut() || t.has(wire.TypeDNAME) }

// denies tells whether the record of a name proves that it has no qtype. What the parent says of a
// delegation counts for DS only, and for DS only the parent counts (RFC 6840 section 4.1 and 4.4).
func (t types) denies(qtype uint16, root bool) bool {
	switch {
	case t.has(qtype) || t.has(wire.TypeCNAME):
		return false
	case qtype == wire.TypeDS:
		return root || !t.has(wire.TypeSOA)
	}
	return !t.cut()
}
