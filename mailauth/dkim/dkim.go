// Package dkim tells who answers for a message: it verifies and makes DKIM signatures (RFC 6376, with
// RFC 8301 on algorithms, RFC 8463 on Ed25519 and RFC 8616 on international domains), and keeps the keys
// of our domains.
//
// A [Verifier] judges every signature of a message and gives each a [Result] with a reason for people.
// The body is read once for all of them, each key is asked for once and all at the same time, and no more
// than [MaxVerified] signatures cost any cryptography. A DNS failure is TempError, never Fail.
//
// A [Signer] signs with all keys of a domain in one pass. A [KeyStore] keeps keys in the store, changes
// them with overlap, and hands out the Signer of a domain. What a result means for the message is not
// decided here: see package dmarc.
package dkim

import (
	"strconv"
	"strings"
	"time"
)

// Bounds of one message.
const (
	MaxVerified = 10              // signatures that are verified, from the top; the others are Policy
	MaxReported = 50              // signatures that are told of at all
	MaxSkew     = 24 * time.Hour  // how far ahead of our clock a signature may have been made
	minClock    = 5 * time.Minute // how far behind our clock may be when a signature expires
)

// A Result is a word of RFC 8601 section 2.7.1.
type Result string

// The results of a signature.
const (
	None      Result = "none"      // there is no signature
	Pass      Result = "pass"      // it fits
	Fail      Result = "fail"      // it does not: message or signature were changed
	Policy    Result = "policy"    // it was not looked at or is not good enough, whether it fits or not
	Neutral   Result = "neutral"   // it is malformed or of a kind that we do not know
	TempError Result = "temperror" // its key cannot be had now
	PermError Result = "permerror" // it can never fit: there is no usable key, say
)

// A Verification is what became of one signature.
type Verification struct {
	Result    Result    `json:"result"`
	Domain    string    `json:"domain,omitempty"`    // d=, in lower case and A-labels
	Identity  string    `json:"identity,omitempty"`  // i=, or "@" and Domain
	Selector  string    `json:"selector,omitempty"`  // s=
	Algorithm string    `json:"algorithm,omitempty"` // a=, as "rsa-sha256"
	KeyBits   int       `json:"key_bits,omitempty"`  // 0 while no key was found
	Testing   bool      `json:"testing,omitempty"`   // the domain only tests: as good as unsigned
	Partial   int64     `json:"partial,omitempty"`   // bytes of the canonical body that it leaves unsigned (l=)
	Signed    time.Time `json:"signed,omitzero"`     // t=
	Expires   time.Time `json:"expires,omitzero"`    // x=
	Start     string    `json:"start,omitempty"`     // the first 8 bytes of b=, which tell signatures apart (RFC 6008)
	Reason    string    `json:"reason,omitempty"`    // a sentence for people, unless all is well
}

// Resinfo returns v as one result of an Authentication-Results field (RFC 8601 section 2.2):
//
//	dkim=pass (2048-bit key) header.d=example.org header.i=@example.org header.s=a header.a=rsa-sha256 header.b=dzdVyOfA
func (v Verification) Resinfo() string {
	var b strings.Builder
	b.WriteString("dkim=" + string(v.Result))
	if v.KeyBits > 0 {
		b.WriteString(" (" + strconv.Itoa(v.KeyBits) + "-bit key")
		if v.Testing {
			b.WriteString(", testing")
		}
		if v.Partial > 0 {
			b.WriteString(", " + strconv.FormatInt(v.Partial, 10) + " bytes unsigned")
		}
		b.WriteString(")")
	}
	if v.Reason != "" {
		b.WriteString(" reason=" + quote(v.Reason))
	}
	if p := v.Properties(); p != "" {
		b.WriteString(" " + p)
	}
	return b.String()
}

// Properties returns the properties of v alone: "header.d=… header.i=… header.s=… header.a=… header.b=…",
// those that are known.
func (v Verification) Properties() string {
	var b strings.Builder
	for _, p := range [...]struct{ name, value string }{
		{"d", v.Domain}, {"i", v.Identity}, {"s", v.Selector}, {"a", v.Algorithm}, {"b", v.Start},
	} {
		if p.value == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString("header." + p.name + "=")
		if p.name == "i" && plainIdentity(p.value) {
			b.WriteString(p.value)
		} else {
			b.WriteString(quoteUnlessToken(p.value))
		}
	}
	return b.String()
}

// plainIdentity tells whether s is an address that needs no quotes.
func plainIdentity(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && isToken(domain) && (local == "" || isToken(local))
}

func quoteUnlessToken(s string) string {
	if isToken(s) {
		return s
	}
	return quote(s)
}

// isToken knows the tokens of RFC 2045 section 5.1.
func isToken(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?=`, s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}

// quote returns s as a quoted-string; what cannot stand in one becomes "?".
func quote(s string) string {
	out := make([]byte, 0, len(s)+2)
	out = append(out, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c < ' ' || c == 0x7f:
			out = append(out, '?')
		default:
			out = append(out, c)
		}
	}
	return string(append(out, '"'))
}
