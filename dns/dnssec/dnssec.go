// Package dnssec checks what signed zones say of themselves (RFC 4033 to 4035, 5155, 6840): signatures of
// records, the keys of a zone against its parent's DS records or a trust anchor, and proofs that a name or
// a type does not exist.
//
// A [Zone] is a zone whose keys are proven: it verifies the [Set]s and denials of its own. The package does
// no I/O: package dns fetches what is to be checked, from the anchors down.
//
// An error of this package is a [Broken], or one of the facts that make a zone as good as not signed:
// [ErrUnsupported]. All work is counted by an [Effort], so that no zone, however strange, costs more than a
// few milliseconds (CVE-2023-50387 and CVE-2023-50868, known as KeyTrap).
package dnssec

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	wire "github.com/miekg/dns"
)

// Limits of a proof.
const (
	maxKeys       = 64  // keys of one zone that are looked at
	maxDS         = 16  // DS records of one zone likewise
	maxSignatures = 8   // signatures of one set
	maxSameTag    = 4   // keys of one zone with the same tag
	maxDenials    = 16  // NSEC or NSEC3 records of one reply
	maxIterations = 100 // of an NSEC3 hash; more is as good as not signed (RFC 9276 section 3.2)

	maxChecks = 64  // signatures that are computed within one Effort
	maxHashes = 160 // NSEC3 hashes likewise: no name has more than 128 labels
)

// ErrUnsupported says that a zone is signed in ways that we do not know: it counts as not signed (RFC 4035
// section 5.2).
var ErrUnsupported = errors.New("all its algorithms are unknown to us")

// A Broken is a proof that fails.
type Broken struct {
	Zone   string // whose proof it is, with the final dot
	Reason string // for people
}

// Error returns the zone and the reason.
func (b *Broken) Error() string { return fmt.Sprintf("zone %s: %s", b.Zone, b.Reason) }

// An Effort counts the work of one proof. The zero Effort is a new one.
type Effort struct{ checks, hashes int }

func (e *Effort) check() bool { e.checks++; return e.checks <= maxChecks }
func (e *Effort) hash() bool  { e.hashes++; return e.hashes <= maxHashes }

// A Zone is a zone whose keys are proven until Expires.
type Zone struct {
	Name    string // canonical, with the final dot
	Expires time.Time

	keys []*wire.DNSKEY
}

// A Proof says of what kind a verified set is.
type Proof struct {
	Expires  time.Time
	Wildcard string // the owner "*.north.test." it was made from, "" for none: [Zone.NoCloser] must hold too
}

// Prove proves the keys of zone name by the DS records of its parent, or of a trust anchor. Sets are those
// of a reply to the question for its DNSKEY records.
func Prove(name string, ds []*wire.DS, sets []Set, now time.Time, e *Effort) (*Zone, error) {
	ds = usable(ds)
	if len(ds) == 0 {
		return nil, ErrUnsupported
	}
	set, ok := Find(sets, name, wire.TypeDNSKEY)
	if !ok {
		return nil, &Broken{name, "it is said to be signed, but has no keys (DNSKEY records)"}
	}
	keys := signers(set)
	anchored := &Zone{Name: name, keys: slices.DeleteFunc(slices.Clone(keys), func(k *wire.DNSKEY) bool { return !named(k, ds) })}
	if len(anchored.keys) == 0 {
		return nil, &Broken{name, "none of its keys is one that its parent zone (DS records) or the trust anchor names"}
	}
	proof, err := anchored.Verify(set, now, e)
	if err != nil {
		return nil, err
	}
	return &Zone{Name: name, Expires: proof.Expires, keys: keys}, nil
}

// usable returns the DS records that we can compare. SHA-1 counts only where there is nothing better (RFC
// 4509 section 3).
func usable(ds []*wire.DS) []*wire.DS {
	ds = slices.DeleteFunc(slices.Clone(ds[:min(len(ds), maxDS)]), func(d *wire.DS) bool {
		return !supported(d.Algorithm) || d.DigestType != wire.SHA1 && d.DigestType != wire.SHA256 && d.DigestType != wire.SHA384
	})
	weak := func(d *wire.DS) bool { return d.DigestType == wire.SHA1 }
	if slices.ContainsFunc(ds, func(d *wire.DS) bool { return !weak(d) }) {
		ds = slices.DeleteFunc(ds, weak)
	}
	return ds
}

// supported tells whether we know an algorithm (RFC 8624 section 3.1). RSA with SHA-1 counts as unknown.
func supported(algorithm uint8) bool {
	switch algorithm {
	case wire.RSASHA256, wire.RSASHA512, wire.ECDSAP256SHA256, wire.ECDSAP384SHA384, wire.ED25519:
		return true
	}
	return false
}

// signers returns the keys of a DNSKEY set that may sign (RFC 4034 section 2.1, RFC 5011 section 2.1).
func signers(set Set) []*wire.DNSKEY {
	var keys []*wire.DNSKEY
	for _, rr := range set.Records[:min(len(set.Records), maxKeys)] {
		k, ok := rr.(*wire.DNSKEY)
		if ok && k.Flags&wire.ZONE != 0 && k.Flags&wire.REVOKE == 0 && k.Protocol == 3 && supported(k.Algorithm) {
			keys = append(keys, k)
		}
	}
	return keys
}

func named(k *wire.DNSKEY, ds []*wire.DS) bool {
	tag := k.KeyTag()
	return slices.ContainsFunc(ds, func(d *wire.DS) bool {
		if d.KeyTag != tag || d.Algorithm != k.Algorithm {
			return false
		}
		made := k.ToDS(d.DigestType)
		return made != nil && strings.EqualFold(made.Digest, d.Digest)
	})
}

// Verify checks that the zone has signed s: one good signature is enough (RFC 4035 section 5.3).
func (z *Zone) Verify(s Set, now time.Time, e *Effort) (Proof, error) {
	reason := fmt.Sprintf("its %s has no signature of the zone", s)
	tried := 0
	for _, sig := range s.Signatures {
		if wire.CanonicalName(sig.SignerName) != z.Name {
			continue
		}
		if tried++; tried > maxSignatures {
			break
		}
		if why := unfit(sig, s, z, now); why != "" {
			reason = why
			continue
		}
		if why := z.try(sig, s, e); why != "" {
			reason = why
			continue
		}
		return proofOf(sig, s, now), nil
	}
	return Proof{}, &Broken{z.Name, reason}
}

// try computes sig with each key it may be made with. It returns why it is not good.
func (z *Zone) try(sig *wire.RRSIG, s Set, e *Effort) string {
	same := 0
	for _, k := range z.keys {
		if k.Algorithm != sig.Algorithm || k.KeyTag() != sig.KeyTag {
			continue
		}
		if same++; same > maxSameTag {
			return fmt.Sprintf("more than %d of its keys have the tag %d", maxSameTag, sig.KeyTag)
		}
		if !e.check() {
			return fmt.Sprintf("it takes more than %d computed signatures to prove", maxChecks)
		}
		if sig.Verify(k, s.Records) == nil {
			return ""
		}
	}
	if same == 0 {
		return fmt.Sprintf("the signature of its %s is made with key %d, which it does not have", s, sig.KeyTag)
	}
	return fmt.Sprintf("the signature of its %s is wrong", s)
}

// unfit says why sig cannot be one of s at this time, or "" (RFC 4035 section 5.3.1).
func unfit(sig *wire.RRSIG, s Set, z *Zone, now time.Time) string {
	clock := uint32(now.Unix()) // compared in serial number arithmetic, RFC 4034 section 3.1.5
	switch labels := wire.CountLabel(s.Name); {
	case int(sig.Labels) > labels || int(sig.Labels) < wire.CountLabel(z.Name):
		return fmt.Sprintf("the signature of its %s is for another name", s)
	case !supported(sig.Algorithm):
		return fmt.Sprintf("the signature of its %s is of an algorithm unknown to us (%d)", s, sig.Algorithm)
	case int32(sig.Expiration-clock) < 0:
		return fmt.Sprintf("the signature of its %s expired on %s", s, day(sig.Expiration, now))
	case int32(clock-sig.Inception) < 0:
		return fmt.Sprintf("the signature of its %s is valid only from %s on (is our clock right?)", s, day(sig.Inception, now))
	}
	return ""
}

// day prints a time of a signature, the one of its meanings that is nearest to now.
func day(at uint32, now time.Time) string {
	t := now.Add(time.Duration(int32(at-uint32(now.Unix()))) * time.Second)
	return t.UTC().Format("2 January 2006 15:04 MST")
}

func proofOf(sig *wire.RRSIG, s Set, now time.Time) Proof {
	ttl := sig.OrigTtl
	for _, rr := range s.Records {
		ttl = min(ttl, rr.Header().Ttl)
	}
	left := min(time.Duration(ttl)*time.Second, time.Duration(int32(sig.Expiration-uint32(now.Unix())))*time.Second)
	p := Proof{Expires: now.Add(left)}
	labels := wire.SplitDomainName(s.Name)
	if len(labels) > 0 && labels[0] == "*" {
		labels = labels[1:]
	}
	if n := len(labels) - int(sig.Labels); n > 0 {
		p.Wildcard = wire.Fqdn(strings.Join(append([]string{"*"}, labels[n:]...), "."))
	}
	return p
}
