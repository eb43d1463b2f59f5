package dns

import (
	"context"
	"fmt"
	"time"

	"posthaste/dns/dnssec"

	wire "github.com/miekg/dns"
)

// A proof is the examination of one reply.
type proof struct {
	r                 *Resolver
	answer, authority []dnssec.Set
	now               time.Time
	effort            *dnssec.Effort
	security          Security
	expires           time.Time
}

func (r *Resolver) newProof(m *wire.Msg) *proof {
	now := time.Now()
	return &proof{r: r, answer: dnssec.Sets(m.Answer), authority: dnssec.Sets(m.Ns), now: now,
		effort: new(dnssec.Effort), security: Secure, expires: now.Add(maxTTL)}
}

// unsigned tells whether the reply has no signature at all.
func (p *proof) unsigned() bool {
	for _, s := range p.answer {
		if len(s.Signatures) > 0 {
			return false
		}
	}
	return true
}

// prove finds out how secure a reply is and says so in it. Its error is a BogusError, or temporary because
// the proof could not be had.
func (r *Resolver) prove(ctx context.Context, q question, rep *reply) error {
	p := r.newProof(rep.proof)
	rep.proof = nil
	if err := p.chain(ctx, q, rep); err != nil {
		return bogus(err)
	}
	rep.security = p.security
	rep.ttl = max(0, min(rep.ttl, p.expires.Sub(p.now)))
	return nil
}

// chain goes along the CNAMEs as reply.follow did, to the records or to what denies them.
func (p *proof) chain(ctx context.Context, q question, rep *reply) error {
	name := wire.CanonicalName(q.name)
	end := wire.CanonicalName(rep.name)
	for range rep.links {
		alias, ok := dnssec.Find(p.answer, name, typeCNAME)
		if !ok || len(alias.Records) != 1 {
			return &dnssec.Broken{Zone: name, Reason: "it is an alias of more than one name"}
		}
		if err := p.alias(ctx, alias); err != nil {
			return err
		}
		name = wire.CanonicalName(alias.Records[0].(*wire.CNAME).Target)
	}
	if _, ok := canonical(fromWire(name)); name != end || !ok {
		return nil // a target that cannot be asked for
	}
	switch {
	case rep.open:
		return nil
	case rep.err != nil:
		return p.absent(ctx, name, q.qtype, rep)
	}
	set, ok := dnssec.Find(p.answer, name, q.qtype)
	if !ok {
		return fmt.Errorf("the reply has too many records to prove")
	}
	return p.present(ctx, set)
}

// alias proves one CNAME: by its own signature, or by that of the DNAME that it was made from (RFC 6672
// section 5.3.1).
func (p *proof) alias(ctx context.Context, alias dnssec.Set) error {
	if len(alias.Signatures) > 0 {
		return p.present(ctx, alias)
	}
	for _, s := range p.answer {
		if s.Type != wire.TypeDNAME || s.Name == alias.Name || !wire.IsSubDomain(s.Name, alias.Name) || len(s.Records) != 1 {
			continue
		}
		made := alias.Name[:len(alias.Name)-len(s.Name)] + wire.CanonicalName(s.Records[0].(*wire.DNAME).Target)
		if made == wire.CanonicalName(alias.Records[0].(*wire.CNAME).Target) {
			return p.present(ctx, s)
		}
	}
	return p.present(ctx, alias)
}

// present proves a set of records.
func (p *proof) present(ctx context.Context, set dnssec.Set) error {
	zone, err := p.zone(ctx, set.Signer(), set.Name)
	if zone == nil || err != nil {
		return err
	}
	proof, err := zone.Verify(set, p.now, p.effort)
	if err != nil {
		return err
	}
	p.expires = earlier(p.expires, proof.Expires)
	if proof.Wildcard == "" {
		return nil
	}
	d, err := zone.NoCloser(set.Name, proof.Wildcard, p.authority, p.now, p.effort)
	p.weigh(d)
	return err
}

// absent proves that a name has no records of a type, and takes from the proof whether there is such a
// name: the code in the header of the reply is not signed.
func (p *proof) absent(ctx context.Context, name string, qtype uint16, rep *reply) error {
	signer, _ := dnssec.Denies(p.authority, name)
	zone, err := p.zone(ctx, signer, name)
	if zone == nil || err != nil {
		return err
	}
	d, err := zone.Deny(name, qtype, p.authority, p.now, p.effort)
	if err != nil {
		return err
	}
	p.weigh(d)
	if !d.Weak {
		rep.err = ErrNoData
		if d.NoName {
			rep.err = ErrNoName
		}
	}
	return nil
}

func (p *proof) weigh(d dnssec.Denial) {
	if d.Weak {
		p.security = Insecure
	}
	if !d.Expires.IsZero() {
		p.expires = earlier(p.expires, d.Expires)
	}
}

// zone returns the proven zone that is said to have signed for name, or else the one that holds name; nil
// if that is not signed, which makes the reply insecure.
func (p *proof) zone(ctx context.Context, signer, name string) (*dnssec.Zone, error) {
	if signer == "" || len(signer) < len(p.r.anchorOf(name)) {
		signer = name
	}
	c := p.r.cutAt(ctx, signer)
	if c.err != nil {
		return nil, c.err
	}
	if c.zone == nil {
		p.security = Insecure
	}
	p.expires = earlier(p.expires, c.expires)
	return c.zone, nil
}

// anchorOf returns the deepest zone with a trust anchor that holds name, or "".
func (r *Resolver) anchorOf(name string) string {
	deepest := ""
	for zone := range r.anchors {
		if wire.IsSubDomain(zone, name) && len(zone) > len(deepest) {
			deepest = zone
		}
	}
	return deepest
}
