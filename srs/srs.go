// Package srs makes return paths for mail that we forward, and reads them again (the Sender Rewriting
// Scheme, its Guarded form).
//
// A host that forwards mail sends in the name of a domain that did not list it, so SPF fails at the
// next host (RFC 7208 section 10.3). SRS puts an address of ours into the envelope that holds the
// sender's, signed, so that reports come back here and go on to the sender:
//
//	ann@south.test                          becomes   SRS0=HASH=TT=south.test=ann@north.test
//	SRS0=hash=tt=south.test=ann@relay.test  becomes   SRS1=HASH=relay.test==hash=tt=south.test=ann@north.test
//
// TT is the day, and an address is good for some weeks. HASH is the beginning of an HMAC-SHA256 in
// base32, so neither minds hosts that change the case of letters. Nobody without the secret can make
// an address that leads through us: we are no relay. What another host made of an address of its own
// is kept as it is; it is for that host to check.
package srs

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	"posthaste/mail"
)

// Bounds of an address.
const (
	DefaultMaxAge = 21 * 24 * time.Hour
	MinSecret     = 16  // bytes
	maxLocal      = 128 // bytes of a local-part that we make; the grammar of our paths ends there
	hashLen       = 8   // letters of base32: 40 bits
	days          = 1 << 10
	maxAge        = 500 * 24 * time.Hour
)

// Conditions that Reverse answers with.
var (
	ErrNone    = errors.New("srs: not an address of this scheme")
	ErrForged  = errors.New("srs: the signature of the return path is wrong")
	ErrExpired = errors.New("srs: the return path is too old")
)

// Config says what a Rewriter works with.
type Config struct {
	// Domain stands at the right of the addresses we make. Mail for it must come to us.
	Domain string
	// Secrets sign and verify, each of MinSecret bytes or more. The first signs; more let old
	// addresses hold while a secret is replaced.
	Secrets [][]byte
	// MaxAge is how long an address is good, to the day. Zero means DefaultMaxAge.
	MaxAge time.Duration
}

// A Rewriter makes and reads return paths. It may be used at the same time.
type Rewriter struct{ cfg Config }

// New returns a Rewriter.
func New(cfg Config) (*Rewriter, error) {
	if cfg.MaxAge == 0 {
		cfg.MaxAge = DefaultMaxAge
	}
	if cfg.Domain == "" || len(cfg.Secrets) == 0 || cfg.MaxAge < 24*time.Hour || cfg.MaxAge > maxAge {
		return nil, fmt.Errorf("srs: want a domain, a secret and an age of 1 to 500 days, not %q, %d, %v",
			cfg.Domain, len(cfg.Secrets), cfg.MaxAge)
	}
	for _, s := range cfg.Secrets {
		if len(s) < MinSecret {
			return nil, fmt.Errorf("srs: a secret of %d bytes, want %d or more", len(s), MinSecret)
		}
	}
	return &Rewriter{cfg}, nil
}

// Domain is that of the addresses we make.
func (r *Rewriter) Domain() string { return r.cfg.Domain }

// Forward returns the return path for forwarding mail from a sender. The null reverse-path stays, and
// so does a sender whose address would become too long.
func (r *Rewriter) Forward(from mail.ReversePath, now time.Time) mail.ReversePath {
	if from.Null() || from.Domain == r.cfg.Domain && Is(from.Address) {
		return from
	}
	local := r.first(from.Address, now)
	if tag, rest, ok := cutTag(from.Local); ok {
		if again := r.again(tag, rest, from.Domain); again != "" {
			local = again
		}
	}
	if len(local) > maxLocal {
		return from
	}
	return mail.ReversePath{Address: mail.Address{Local: local, Domain: r.cfg.Domain}}
}

// first is the local-part for a sender whose mail nobody forwarded before.
func (r *Rewriter) first(from mail.Address, now time.Time) string {
	signed := timestamp(now) + "=" + from.Domain + "=" + from.Local
	return tagFirst + "=" + sign(r.cfg.Secrets[0], tagFirst, signed) + "=" + signed
}

// again is the local-part for a sender which is a return path of another host, or "" when it only
// looks like one. The first host's address is kept; those between are left out.
func (r *Rewriter) again(tag, rest, domain string) string {
	if tag == tagAgain {
		var ok bool
		if domain, rest, ok = cutAgain(rest); !ok {
			return ""
		}
	}
	signed := domain + "=" + rest
	return tagAgain + "=" + sign(r.cfg.Secrets[0], tagAgain, signed) + "=" + signed
}

// cutAgain reads "=hash=domain=rest" of an SRS1 address.
func cutAgain(text string) (domain, rest string, ok bool) {
	parts := strings.SplitN(text[1:], "=", 3)
	if len(parts) < 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return "", "", false
	}
	return parts[1], parts[2], strings.IndexByte(separators, parts[2][0]) >= 0
}

// Is tells whether an address looks like one of this scheme, whoever made it.
func Is(a mail.Address) bool {
	_, _, ok := cutTag(a.Local)
	return ok
}

const (
	tagFirst   = "SRS0"
	tagAgain   = "SRS1"
	separators = "=+-" // that hosts put after the tag
)

// cutTag cuts an address of the scheme after its tag; rest begins with a separator.
func cutTag(local string) (tag, rest string, ok bool) {
	if len(local) < len(tagFirst)+2 || strings.IndexByte(separators, local[len(tagFirst)]) < 0 {
		return "", "", false
	}
	tag, rest = strings.ToUpper(local[:len(tagFirst)]), local[len(tagFirst):]
	return tag, rest, tag == tagFirst || tag == tagAgain
}

// Reverse returns the address that a return path of ours holds: of the sender, or of the host that
// forwarded before us. ErrNone says that a is none, ErrForged and ErrExpired that it is not good.
func (r *Rewriter) Reverse(a mail.Address, now time.Time) (mail.Address, error) {
	tag, rest, ok := cutTag(a.Local)
	if !ok || !strings.EqualFold(a.Domain, r.cfg.Domain) {
		return mail.Address{}, ErrNone
	}
	hash, signed, ok := strings.Cut(rest[1:], "=")
	if !ok {
		return mail.Address{}, ErrNone
	}
	if !r.signed(hash, tag, signed) {
		return mail.Address{}, ErrForged
	}
	if tag == tagAgain {
		domain, rest, ok := strings.Cut(signed, "=")
		if !ok || domain == "" || rest == "" {
			return mail.Address{}, ErrNone
		}
		return mail.Address{Local: tagFirst + rest, Domain: normal(domain)}, nil
	}
	parts := strings.SplitN(signed, "=", 3)
	if len(parts) < 3 || parts[1] == "" {
		return mail.Address{}, ErrNone
	}
	if !r.current(parts[0], now) {
		return mail.Address{}, ErrExpired
	}
	return mail.Address{Local: parts[2], Domain: normal(parts[1])}, nil
}

// normal returns a domain in the form of mail.Address, whatever other hosts did to its case.
func normal(domain string) string {
	return strings.Replace(strings.ToLower(domain), "[ipv6:", "[IPv6:", 1)
}

func (r *Rewriter) signed(hash, tag, text string) bool {
	given, ok := []byte(strings.ToUpper(hash)), 0
	for _, secret := range r.cfg.Secrets {
		ok |= subtle.ConstantTimeCompare([]byte(sign(secret, tag, text)), given)
	}
	return ok == 1
}

// sign returns the signature of text behind tag, in which the case of letters does not count. The tag
// is signed too: what one tag makes of a text has another meaning under the other.
func sign(secret []byte, tag, text string) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(strings.ToLower(tag + "=" + text)))
	return base32.StdEncoding.EncodeToString(mac.Sum(nil))[:hashLen]
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

// timestamp is the number of the day, of which only the last ten bits are told.
func timestamp(now time.Time) string {
	day := dayOf(now)
	return string([]byte{letters[day>>5], letters[day&31]})
}

func dayOf(now time.Time) int {
	return int(now.Unix()/(24*60*60)) & (days - 1)
}

// current tells whether a timestamp is not too old. One day ahead of us is good: clocks differ.
func (r *Rewriter) current(stamp string, now time.Time) bool {
	if len(stamp) != 2 {
		return false
	}
	stamp = strings.ToUpper(stamp)
	high, low := strings.IndexByte(letters, stamp[0]), strings.IndexByte(letters, stamp[1])
	if high < 0 || low < 0 {
		return false
	}
	age := (dayOf(now) - (high<<5 | low)) & (days - 1)
	return age <= int(r.cfg.MaxAge/(24*time.Hour)) || age == days-1
}
