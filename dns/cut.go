package dns

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"posthaste/dns/dnssec"

	wire "github.com/miekg/dns"
)

// Bounds of what is kept of zones, and of the way to them.
const (
	maxCuts     = 10_000
	maxCutBytes = 16 << 20
	cutBytes    = 1024 // that a cut costs, about: a few keys
	maxDepth    = 40   // labels of a name that can be proven; ip6.arpa has 34
	maxCutTTL   = time.Hour

	postureTTL = time.Hour // how long a trusted server is taken to validate, or not to
)

// A cut is what is proven of a name on the way down from the trust anchor: whether a zone begins there.
// With zone it is the zone that holds the name; without zone and err nothing from here on is signed.
type cut struct {
	zone    *dnssec.Zone
	gone    bool // neither the name nor anything below it exists
	err     error
	expires time.Time
}

// cutAt returns the cut at a name (canonical, with the final dot): from the cache, or fetched once for all
// who wait for it. Each fetch waits only for that of the name above, so they cannot wait in a circle.
func (r *Resolver) cutAt(ctx context.Context, name string) cut {
	if c, ok := r.cuts.get(name, time.Now()); ok {
		return c
	}
	if wire.CountLabel(name) > maxDepth {
		return cut{err: fmt.Errorf("%s has more than %d labels, too many to prove", name, maxDepth)}
	}
	fetched := r.flights.DoChan("cut "+name, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timeout)
		defer cancel()
		c := r.fetchCut(ctx, name)
		if c.err != nil && !errors.Is(c.err, ErrUnreachable) {
			c.expires = time.Now().Add(failureTTL)
		}
		r.cuts.put(name, c, cutBytes+len(name), c.expires, time.Now())
		return c, nil
	})
	select {
	case f := <-fetched:
		return f.Val.(cut)
	case <-ctx.Done():
		return cut{err: ctx.Err()}
	}
}

// fetchCut proves a name step by step from the trust anchor above it (RFC 4035 section 5).
func (r *Resolver) fetchCut(ctx context.Context, name string) cut {
	if ds := r.anchors[name]; ds != nil {
		return r.fetchKeys(ctx, name, ds, time.Now().Add(maxCutTTL))
	}
	if name == "." {
		return cut{expires: time.Now().Add(maxCutTTL)} // above all anchors nothing is proven
	}
	above := r.cutAt(ctx, parent(name))
	if above.err != nil || above.zone == nil || above.gone {
		return above
	}
	rep, err := r.ask(ctx, question{fromWire(name), wire.TypeDS, wantRecords})
	if err != nil {
		return cut{err: err}
	}
	p := r.newProof(rep.proof)
	ds, c := p.delegation(name, above)
	if ds == nil || c.err != nil {
		return c
	}
	return r.fetchKeys(ctx, name, ds, c.expires)
}

// fetchKeys proves the keys of a zone by its DS records, true until expires.
func (r *Resolver) fetchKeys(ctx context.Context, name string, ds []*wire.DS, expires time.Time) cut {
	rep, err := r.ask(ctx, question{fromWire(name), wire.TypeDNSKEY, wantRecords})
	if err != nil {
		return cut{err: err}
	}
	p := r.newProof(rep.proof)
	zone, err := dnssec.Prove(name, ds, p.answer, p.now, p.effort)
	switch {
	case errors.Is(err, dnssec.ErrUnsupported):
		return cut{expires: expires}
	case err != nil && p.unsigned() && r.anchors[name] != nil:
		return cut{err: &BogusError{fromWire(name), "our name server leaves out the signatures: it cannot be used for DNSSEC; use another, or a validating one on this machine (dns.servers)"}}
	case err != nil:
		return cut{err: bogus(err)}
	}
	return cut{zone: zone, expires: earlier(earlier(expires, zone.Expires), p.now.Add(maxCutTTL))}
}

// delegation reads the reply to the question for the DS records of name, asked of the zone above. Without
// DS records the cut is final.
func (p *proof) delegation(name string, above cut) ([]*wire.DS, cut) {
	if set, ok := dnssec.Find(p.answer, name, wire.TypeDS); ok {
		proof, err := above.zone.Verify(set, p.now, p.effort)
		if err == nil && proof.Wildcard != "" {
			err = &dnssec.Broken{Zone: above.zone.Name, Reason: "its " + set.String() + " comes from a wildcard"}
		}
		if err != nil {
			return nil, cut{err: bogus(err)}
		}
		return dsOf(set), cut{expires: earlier(above.expires, proof.Expires)}
	}
	within := cut{zone: above.zone, expires: above.expires}
	if p.aliased(name, above.zone) {
		return nil, within
	}
	d, err := above.zone.Deny(name, wire.TypeDS, p.authority, p.now, p.effort)
	if err != nil {
		return nil, cut{err: bogus(err)}
	}
	within.expires = earlier(within.expires, d.Expires)
	within.gone = d.NoName
	if d.Weak || d.Cut {
		within.zone = nil
	}
	return nil, within
}

// aliased tells whether the zone proves that name is an alias, by CNAME or DNAME: no zone begins there.
func (p *proof) aliased(name string, zone *dnssec.Zone) bool {
	for _, s := range p.answer {
		if s.Type == wire.TypeCNAME && s.Name == name || s.Type == wire.TypeDNAME && s.Name != name && wire.IsSubDomain(s.Name, name) {
			if _, err := zone.Verify(s, p.now, p.effort); err == nil {
				return true
			}
		}
	}
	return false
}

func dsOf(set dnssec.Set) []*wire.DS {
	var ds []*wire.DS
	for _, rr := range set.Records {
		if d, ok := rr.(*wire.DS); ok {
			ds = append(ds, d)
		}
	}
	return ds
}

func parent(name string) string {
	if i, end := wire.NextLabel(name, 0); !end {
		return name[i:]
	}
	return "."
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// bogus makes a failed proof an error of this package.
func bogus(err error) error {
	if b, ok := errors.AsType[*dnssec.Broken](err); ok {
		return &BogusError{Zone: fromWire(b.Zone), Reason: b.Reason}
	}
	return err
}

// validates tells whether a server that we trust validates at all: it vouches for a zone that we know to
// be signed.
func (r *Resolver) validates(ctx context.Context, s server) bool {
	if does, ok := r.verdicts.get(s.address, time.Now()); ok {
		return does
	}
	zone := "."
	if r.anchors[zone] == nil {
		for zone = range r.anchors {
			break
		}
	}
	rep, err := r.exchangeWith(ctx, s, question{fromWire(zone), wire.TypeSOA, wantAnswer}, flags{ad: true})
	does := err == nil && rep.security == Secure
	if err == nil {
		r.verdicts.put(s.address, does, len(s.address), time.Now().Add(postureTTL), time.Now())
	}
	return does
}

// CanValidate fails when validation cannot work with our name servers, because they leave out signatures or
// the trust anchor is not that of their root. Call it at start: later that is taken for a forgery.
func (r *Resolver) CanValidate(ctx context.Context) error {
	for _, s := range r.servers {
		if s.trusted && r.validates(ctx, s) {
			return nil
		}
	}
	var failures failed
	for zone := range r.anchors {
		if c := r.cutAt(ctx, zone); c.err != nil {
			failures = append(failures, fmt.Errorf("dns: no proof from the trust anchor %s: %w", strings.TrimSuffix(zone, "."), c.err))
		}
	}
	if failures != nil {
		return failures
	}
	return nil
}
