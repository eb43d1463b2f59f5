package dkim

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"posthaste/mailauth/internal/sig"
)

// A signature is a DKIM-Signature field that was read.
type signature struct {
	raw       []byte
	names     []string // h=
	header    sig.Canon
	body      sig.Canon
	length    int64 // l=, or sig.Whole
	bodyHash  []byte
	signature []byte
	lookup    int // index into the keys that are looked up
	extent    int // index into the hashes of the body
}

// A refusal is why a signature is not even tried.
type refusal struct {
	result Result
	err    error
}

func refuse(result Result, format string, args ...any) *refusal {
	return &refusal{result, fmt.Errorf(format, args...)}
}

// readSignature reads the field raw with that value into s, and what can be told of it into v, as much as
// can be read. It returns nil when the signature is to be tried.
func readSignature(raw, value []byte, s *signature, v *Verification) *refusal {
	s.raw = raw
	tags, err := sig.ParseTags(string(value[:min(len(value), sig.MaxValue+1)]))
	if err != nil {
		return &refusal{Neutral, err}
	}
	if r := identify(tags, v); r != nil {
		return r
	}
	if r := s.readForm(tags); r != nil {
		return r
	}
	return s.readHashes(tags)
}

// identify reads who signed how and when.
func identify(tags sig.Tags, v *Verification) *refusal {
	a, _ := tags.Get("a")
	v.Algorithm = a[:min(len(a), 20)]
	b, _ := tags.Get("b")
	v.Start = sig.StripSpace(b)
	v.Start = v.Start[:min(len(v.Start), 8)]
	d, _ := tags.Get("d")
	s, _ := tags.Get("s")
	domain, okD := sig.Domain(d)
	selector, okS := sig.Domain(s)
	if !okD || !okS {
		return refuse(Neutral, "d=%s with s=%s name no key", sig.Word(d), sig.Word(s))
	}
	v.Domain, v.Selector, v.Identity = domain, selector, "@"+domain
	if i, ok := tags.Get("i"); ok {
		if v.Identity, ok = identity(i); !ok {
			return refuse(Neutral, "i=%s is no identity", sig.Word(i))
		}
	}
	if !sig.Within(identityDomain(v.Identity), domain) {
		return refuse(PermError, "the identity %s is not one of %s", sig.Word(v.Identity), domain)
	}
	var errT, errX error
	v.Signed, errT = tags.Time("t")
	v.Expires, errX = tags.Time("x")
	if err := errors.Join(errT, errX); err != nil {
		return &refusal{Neutral, err}
	}
	if !v.Expires.IsZero() && v.Expires.Before(v.Signed) {
		return refuse(Neutral, "it expires before it was made")
	}
	return nil
}

// identity decodes an i= tag: dkim-quoted-printable (RFC 6376 section 2.11), its domain in A-labels.
func identity(s string) (string, bool) {
	s = decodeQuoted(s)
	at := strings.LastIndexByte(s, '@')
	if at < 0 || at > maxLocal {
		return "", false
	}
	domain, ok := sig.Domain(s[at+1:])
	return s[:at+1] + domain, ok
}

// maxLocal is more than any local part that mail can be sent to has.
const maxLocal = 255

func identityDomain(i string) string { return i[strings.LastIndexByte(i, '@')+1:] }

// decodeQuoted decodes "=3B" and leaves out white space. What is no code stays as it is.
func decodeQuoted(s string) string {
	s = sig.StripSpace(s)
	if !strings.Contains(s, "=") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '=' && i+2 < len(s) {
			hi, lo := hexValue(s[i+1]), hexValue(s[i+2])
			if hi >= 0 && lo >= 0 {
				out = append(out, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

func hexValue(c byte) int { return strings.IndexByte("0123456789ABCDEF", c) }

// readForm reads what the signature covers and in which form.
func (s *signature) readForm(tags sig.Tags) *refusal {
	if v, _ := tags.Get("v"); v != "1" {
		return refuse(Neutral, "its version v=%s is not 1", sig.Word(v))
	}
	switch a, _ := tags.Get("a"); a {
	case sig.RSA, sig.Ed25519:
	case "rsa-sha1":
		return refuse(PermError, "rsa-sha1 proves nothing any more (RFC 8301 section 3.1)")
	default:
		return refuse(Neutral, "its algorithm a=%s is unknown", sig.Word(a))
	}
	if q, ok := tags.Get("q"); ok && !listHas(q, "dns/txt") && !listHas(q, "dns") { // "dns" is what drafts had
		return refuse(Neutral, "its key is to be asked for in an unknown way, q=%s", sig.Word(q))
	}
	var err error
	if s.header, s.body, err = sig.ReadCanon(tags); err != nil {
		return &refusal{Neutral, err}
	}
	if s.length, err = tags.Number("l", sig.Whole); err != nil {
		return &refusal{Neutral, err}
	}
	return s.readNames(tags)
}

func (s *signature) readNames(tags sig.Tags) *refusal {
	h, ok := tags.Get("h")
	if !ok || h == "" {
		return refuse(Neutral, "it names no header fields (h=)")
	}
	s.names = sig.SplitNames(h)
	if s.names == nil {
		return refuse(Neutral, "it names more than %d header fields", sig.MaxNames)
	}
	if !sig.HasName(s.names, "From") {
		return refuse(PermError, "it does not cover From (RFC 6376 section 5.4)")
	}
	return nil
}

func (s *signature) readHashes(tags sig.Tags) *refusal {
	var errB, errH error
	s.signature, errB = tags.Bytes("b")
	s.bodyHash, errH = tags.Bytes("bh")
	if err := errors.Join(errB, errH); err != nil {
		return &refusal{Neutral, err}
	}
	if len(s.signature) == 0 || len(s.bodyHash) != sha256.Size {
		return refuse(Neutral, "its hash or signature is incomplete")
	}
	return nil
}

func listHas(list, word string) bool {
	for w := range strings.SplitSeq(list, ":") {
		if strings.Trim(w, " \t\r\n") == word {
			return true
		}
	}
	return false
}

// timely tells whether now is a time at which v is good.
func timely(v *Verification, now time.Time) *refusal {
	if v.Signed.After(now.Add(MaxSkew)) {
		return refuse(Policy, "it claims to be made in the future, %s", v.Signed.UTC().Format(time.RFC3339))
	}
	if !v.Expires.IsZero() && !now.Add(-minClock).Before(v.Expires) {
		return refuse(Policy, "it expired %s", v.Expires.UTC().Format(time.RFC3339))
	}
	return nil
}

// bodyFits compares what the signature says of the body with the body.
func (s *signature) bodyFits(e *sig.Extent) *refusal {
	switch {
	case e.Left < 0:
		return refuse(PermError, "it covers %d bytes of body, there are %d less (l=)", e.Length, -e.Left)
	case !bytes.Equal(e.Sum[:], s.bodyHash):
		return refuse(Fail, "the body was changed after it was signed")
	}
	return nil
}
