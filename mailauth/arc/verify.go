package arc

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"slices"

	"posthaste/mailauth/internal/sig"
	"posthaste/mailauth/results"
	"posthaste/message"
)

// Verify validates the chain of a message. h is the header of content. How long it may wait for keys is
// up to ctx.
func (v *Verifier) Verify(ctx context.Context, h message.Header, content []byte) Chain {
	sets, err := collect(h)
	if err != nil {
		return Chain{Result: Fail, Reason: err.Error()}
	}
	if len(sets) == 0 {
		return Chain{Result: None}
	}
	c := chain{links: make([]link, len(sets)), out: Chain{Result: Pass, Sets: make([]Set, len(sets))}}
	for i := range sets {
		if err := c.read(i, &sets[i]); err != nil {
			return c.fail(fmt.Errorf("instance %d: %w", i+1, err))
		}
	}
	if c.out.Sets[len(sets)-1].Claimed == Fail {
		return c.fail(fmt.Errorf("%s found the chain broken", c.out.Sets[len(sets)-1].Domain))
	}
	v.keys.Fetch(ctx, c.lookups)
	sig.HashBodies(content[min(len(h.Raw()), len(content)):], c.extents)
	c.fields = sig.NewFields(h)
	if err := c.newest(); err != nil {
		return c.fail(err)
	}
	if err := c.seals(); err != nil {
		return c.fail(err)
	}
	c.oldest()
	return c.out
}

// A chain is the state of one Verify.
type chain struct {
	links   []link
	lookups []sig.Lookup
	extents []sig.Extent
	fields  *sig.Fields
	buf     []byte
	out     Chain
}

// A link is a set that was read.
type link struct {
	set
	message signed
	names   []string // of the fields that message covers
	header  sig.Canon
	body    sig.Canon
	hash    []byte // of the body
	extent  int
	sealed  signed
}

// signed is what seal and signature have in common.
type signed struct {
	algorithm string
	value     []byte
	lookup    int
}

var errTemporary = errors.New("temporary")

func (c *chain) fail(err error) Chain {
	c.out.Result, c.out.Reason = Fail, err.Error()
	if errors.Is(err, errTemporary) {
		c.out.Result = TempError
	}
	return c.out
}

// read reads set i and checks all of it that needs no key.
func (c *chain) read(i int, s *set) (err error) {
	l, out := &c.links[i], &c.out.Sets[i]
	l.set = *s
	out.Instance, out.Canonical = i+1, s.results.text
	if field, err := results.Parse(s.results.text); err == nil {
		out.AuthServ, out.Results = field.Server, field.Results
	}
	cv, _ := s.seal.tags.Get("cv")
	out.Claimed = Result(cv)
	switch {
	case cv == "fail" && i == len(c.links)-1: // Verify tells of it
	case cv != "none" && i == 0, cv != "pass" && i > 0:
		return fmt.Errorf("its seal says cv=%s", sig.Word(cv))
	}
	if _, has := s.seal.tags.Get("h"); has {
		return errors.New("its seal has an h= tag")
	}
	if out.Sealed, err = s.seal.tags.Time("t"); err != nil {
		return fmt.Errorf("its seal: %w", err)
	}
	if l.sealed, out.Domain, out.Selector, err = c.readSigned(s.seal.tags); err != nil {
		return fmt.Errorf("its seal: %w", err)
	}
	if err = c.readSignature(l); err != nil {
		return fmt.Errorf("its message signature: %w", err)
	}
	return nil
}

// readSigned reads who signed how.
func (c *chain) readSigned(tags sig.Tags) (s signed, domain, selector string, err error) {
	s.algorithm, _ = tags.Get("a")
	if s.algorithm != sig.RSA && s.algorithm != sig.Ed25519 {
		return s, "", "", fmt.Errorf("its algorithm a=%s is none that we believe", sig.Word(s.algorithm))
	}
	d, _ := tags.Get("d")
	sel, _ := tags.Get("s")
	domain, okD := sig.Domain(d)
	selector, okS := sig.Domain(sel)
	if !okD || !okS {
		return s, "", "", fmt.Errorf("d=%s with s=%s name no key", sig.Word(d), sig.Word(sel))
	}
	if s.value, err = tags.Bytes("b"); err != nil {
		return s, "", "", err
	}
	s.lookup = c.lookup(sig.KeyName(selector, domain))
	return s, domain, selector, nil
}

func (c *chain) lookup(name string) int {
	i := slices.IndexFunc(c.lookups, func(l sig.Lookup) bool { return l.Name == name })
	if i < 0 {
		i = len(c.lookups)
		c.lookups = append(c.lookups, sig.Lookup{Name: name})
	}
	return i
}

// readSignature reads an ARC-Message-Signature, which is a DKIM-Signature without version (RFC 8617
// section 4.1.2).
func (c *chain) readSignature(l *link) (err error) {
	tags := l.signature.tags
	if l.message, _, _, err = c.readSigned(tags); err != nil {
		return err
	}
	if _, has := tags.Get("c"); !has {
		l.header, l.body = sig.Relaxed, sig.Relaxed // what the ARC test suite and others take it for
	} else if l.header, l.body, err = sig.ReadCanon(tags); err != nil {
		return err
	}
	if _, err = tags.Time("t"); err != nil {
		return err
	}
	if l.hash, err = tags.Bytes("bh"); err != nil {
		return err
	}
	length, err := tags.Number("l", sig.Whole)
	if err != nil {
		return err
	}
	h, has := tags.Get("h") // may be empty: only the body is signed then
	l.names = sig.SplitNames(h)
	switch {
	case !has:
		return errors.New("it has no h= tag")
	case l.names == nil:
		return fmt.Errorf("it names more than %d header fields", sig.MaxNames)
	case sig.HasName(l.names, fieldSeal):
		return errors.New("it covers seals (RFC 8617 section 4.1.2)")
	}
	l.extent = slices.IndexFunc(c.extents, func(e sig.Extent) bool { return e.Canon == l.body && e.Length == length })
	if l.extent < 0 {
		l.extent = len(c.extents)
		c.extents = append(c.extents, sig.Extent{Canon: l.body, Length: length})
	}
	return nil
}

// newest checks that the last hop's signature fits the message (RFC 8617 section 5.2 step 4).
func (c *chain) newest() error {
	n := len(c.links)
	if err := c.fits(&c.links[n-1]); err != nil {
		return fmt.Errorf("instance %d: its message signature: %w", n, err)
	}
	return nil
}

// oldest finds how far back signatures fit.
func (c *chain) oldest() {
	c.out.Oldest = len(c.links)
	for c.out.Oldest > 1 && c.fits(&c.links[c.out.Oldest-2]) == nil {
		c.out.Oldest--
	}
}

func (c *chain) fits(l *link) error {
	e := &c.extents[l.extent]
	if e.Left != 0 {
		return errors.New("it covers only part of the body (l=)")
	}
	if string(e.Sum[:]) != string(l.hash) {
		return errors.New("the body was changed after it was signed")
	}
	c.buf = c.fields.AppendSigned(c.buf[:0], l.header, l.names)
	c.buf = l.header.AppendSignature(c.buf, l.signature.raw)
	sum := sha256.Sum256(c.buf)
	return c.check(&l.message, sum[:])
}

// check verifies one signature over a hash.
func (c *chain) check(s *signed, sum []byte) error {
	l := &c.lookups[s.lookup]
	switch {
	case l.Temporary():
		return errors.Join(errTemporary, l.Err)
	case l.Err != nil:
		return l.Err
	case l.Key.Weak():
		return fmt.Errorf("a key of %d bits proves nothing", l.Key.Bits)
	}
	if err := l.Key.Usable(s.algorithm); err != nil {
		return err
	}
	return l.Key.Verify(sum, s.value)
}

// seals checks every seal (RFC 8617 section 5.2 step 6). A seal covers all sets up to its own, so that the
// hash of those before is carried along.
func (c *chain) seals() error {
	before := sha256.New()
	for i := range c.links {
		l := &c.links[i]
		c.buf = sig.Relaxed.AppendField(c.buf[:0], l.results.raw)
		c.buf = sig.Relaxed.AppendField(c.buf, l.signature.raw)
		before.Write(c.buf)
		sum, err := sumWith(before, sig.Relaxed.AppendSignature(nil, l.seal.raw))
		if err != nil {
			return err
		}
		if err := c.check(&l.sealed, sum); err != nil {
			return fmt.Errorf("instance %d: its seal: %w", i+1, err)
		}
		c.buf = sig.Relaxed.AppendField(c.buf[:0], l.seal.raw)
		before.Write(c.buf)
	}
	return nil
}

// sumWith returns the sum of h and then last, and leaves h as it is.
func sumWith(h hash.Hash, last []byte) ([]byte, error) {
	copied, err := h.(hash.Cloner).Clone()
	if err != nil {
		return nil, err
	}
	copied.Write(last)
	return copied.Sum(nil), nil
}
