package dkim

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"posthaste/dns"
	"posthaste/mailauth/internal/sig"
	"posthaste/message"
)

// fieldName is the field that holds a signature.
const fieldName = "DKIM-Signature"

// A Resolver asks for text records, as *dns.Resolver does.
type Resolver interface {
	TXT(ctx context.Context, name string) (dns.Answer[string], error)
}

// A Verifier verifies signatures. It remembers what key records mean, a bounded number of them, and is
// safe for concurrent use.
type Verifier struct{ keys *sig.Keys }

// NewVerifier returns a Verifier that gets keys from resolver.
func NewVerifier(resolver Resolver) *Verifier { return &Verifier{sig.NewKeys(resolver)} }

// Verify judges the signatures of a message, from the top, at most MaxReported of them; none means that
// it has none. h is the header of content. How long it may wait for keys is up to ctx.
func (v *Verifier) Verify(ctx context.Context, h message.Header, content []byte, now time.Time) []Verification {
	j := judgement{now: now}
	for _, f := range h.Fields() {
		if !f.Is(fieldName) {
			continue
		}
		if len(j.results) == MaxReported {
			break
		}
		j.add(f)
	}
	if len(j.signatures) > 0 {
		v.keys.Fetch(ctx, j.lookups)
		sig.HashBodies(content[min(len(h.Raw()), len(content)):], j.extents)
		j.decide(sig.NewFields(h))
	}
	return j.results
}

// A judgement is the state of one Verify.
type judgement struct {
	now        time.Time
	results    []Verification
	signatures []tried
	lookups    []sig.Lookup // each name once
	extents    []sig.Extent // each form and length once
	buf        []byte
}

// tried is a signature that is to be tried, and where its result goes.
type tried struct {
	signature
	result int
}

// add reads the signature in f.
func (j *judgement) add(f message.Field) {
	j.results = append(j.results, Verification{})
	v := &j.results[len(j.results)-1]
	t := tried{result: len(j.results) - 1}
	r := readSignature(f.Raw(), f.Value(), &t.signature, v)
	if r == nil {
		r = timely(v, j.now)
	}
	if r == nil && len(j.signatures) == MaxVerified {
		r = refuse(Policy, "it was not looked at: %d others stand above it", MaxVerified)
	}
	if r != nil {
		v.set(r)
		return
	}
	t.lookup = j.lookup(sig.KeyName(v.Selector, v.Domain))
	t.extent = j.extent(t.body, t.length)
	j.signatures = append(j.signatures, t)
}

func (v *Verification) set(r *refusal) { v.Result, v.Reason = r.result, r.err.Error() }

func (j *judgement) lookup(name string) int {
	i := slices.IndexFunc(j.lookups, func(l sig.Lookup) bool { return l.Name == name })
	if i < 0 {
		i = len(j.lookups)
		j.lookups = append(j.lookups, sig.Lookup{Name: name})
	}
	return i
}

func (j *judgement) extent(c sig.Canon, length int64) int {
	i := slices.IndexFunc(j.extents, func(e sig.Extent) bool { return e.Canon == c && e.Length == length })
	if i < 0 {
		i = len(j.extents)
		j.extents = append(j.extents, sig.Extent{Canon: c, Length: length})
	}
	return i
}

// decide sets the results of all that are tried.
func (j *judgement) decide(fields *sig.Fields) {
	for i := range j.signatures {
		t := &j.signatures[i]
		v := &j.results[t.result]
		if r := j.try(fields, t, v); r != nil {
			v.set(r)
			continue
		}
		v.Result = Pass
	}
}

func (j *judgement) try(fields *sig.Fields, t *tried, v *Verification) *refusal {
	l := &j.lookups[t.lookup]
	switch {
	case l.Temporary():
		return &refusal{TempError, l.Err}
	case l.Err != nil:
		return &refusal{PermError, l.Err}
	}
	key, extent := l.Key, &j.extents[t.extent]
	v.KeyBits, v.Testing, v.Partial = key.Bits, key.Testing, max(0, extent.Left)
	if err := key.Usable(v.Algorithm); err != nil {
		return &refusal{PermError, err}
	}
	if key.Strict && identityDomain(v.Identity) != v.Domain {
		return refuse(PermError, "the key is for %s alone, not for what is below it (t=s)", v.Domain)
	}
	if key.Weak() {
		return refuse(Policy, "a key of %d bits proves nothing (%d to %d do)", key.Bits, sig.MinRSABits, sig.MaxRSABits)
	}
	if r := t.bodyFits(extent); r != nil {
		return r
	}
	j.buf = fields.AppendSigned(j.buf[:0], t.header, t.names)
	j.buf = t.header.AppendSignature(j.buf, t.raw)
	sum := sha256.Sum256(j.buf)
	if key.Verify(sum[:], t.signature.signature) != nil {
		return &refusal{Fail, errChanged}
	}
	return nil
}

var errChanged = errors.New("the header was changed after it was signed, or the key is another one")
