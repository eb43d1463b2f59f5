package dnsbl

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

const (
	maxWeight  = 1000
	maxMeaning = 200 // bytes
	maxZone    = 200 // leaves room for the nibbles of an IPv6 address
)

// A Code says what an answer means.
type Code struct {
	Pattern  Pattern
	Weight   float64 // in points, at least 0
	Weighted bool    // Weight is given, else that of the list counts
	Refusal  bool    // the list refuses to tell us anything: no entry
	Meaning  string  // one sentence for people, or empty
}

// A Pattern matches addresses octet by octet.
type Pattern [4]octets

// octets are the values of one octet from low to high, and of these, with bits, those that have all of them.
type octets struct{ low, high, bits byte }

// ParseCode reads "PATTERN [WEIGHT | unusable] [MEANING]": "127.0.0.2 4.0 sends spam". An octet of a pattern is a
// number, a range 4-11, * for any, or &8 for those that have this bit.
func ParseCode(text string) (c Code, err error) {
	pattern, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	if c.Pattern, err = ParsePattern(pattern); err != nil {
		return c, err
	}
	rest = strings.TrimSpace(rest)
	word, after, _ := strings.Cut(rest, " ")
	if word == "unusable" {
		c.Refusal, rest = true, after
	} else if weight, err := strconv.ParseFloat(word, 64); err == nil {
		if !(weight >= 0 && weight <= maxWeight) {
			return c, fmt.Errorf("code %q: the weight is not 0 to %d; a list that speaks for mail has allow = true", pattern, maxWeight)
		}
		c.Weight, c.Weighted, rest = weight, true, after
	}
	c.Meaning = strings.TrimSpace(rest)
	if len(c.Meaning) > maxMeaning {
		return c, fmt.Errorf("code %q: its meaning has more than %d bytes", pattern, maxMeaning)
	}
	return c, nil
}

// ParsePattern reads a pattern such as "127.0.0.4-11".
func ParsePattern(text string) (p Pattern, err error) {
	parts := strings.Split(text, ".")
	if len(parts) != len(p) {
		return p, fmt.Errorf("code %q is no address or pattern such as 127.0.0.4-11", text)
	}
	for i, part := range parts {
		if p[i], err = parseOctets(part); err != nil {
			return p, fmt.Errorf("code %q: %w", text, err)
		}
	}
	if p[0] != (octets{127, 127, 0}) {
		return p, fmt.Errorf("code %q: answers of lists begin with 127", text)
	}
	return p, nil
}

func parseOctets(s string) (o octets, err error) {
	if s == "*" {
		return octets{0, 255, 0}, nil
	}
	if bit, ok := strings.CutPrefix(s, "&"); ok {
		bits, err := strconv.ParseUint(bit, 10, 8)
		if err != nil || bits == 0 {
			return o, fmt.Errorf("%q names no bits of an octet", s)
		}
		return octets{0, 255, byte(bits)}, nil
	}
	low, high, ranged := strings.Cut(s, "-")
	if !ranged {
		high = low
	}
	a, err := strconv.ParseUint(low, 10, 8)
	b, err2 := strconv.ParseUint(high, 10, 8)
	if err != nil || err2 != nil || a > b {
		return o, fmt.Errorf("%q is no octet or range of them", s)
	}
	return octets{byte(a), byte(b), 0}, nil
}

// Match tells whether an answer fits p.
func (p Pattern) Match(answer netip.Addr) bool {
	if !answer.Is4() {
		return false
	}
	for i, b := range answer.As4() {
		if o := p[i]; b < o.low || b > o.high || b&o.bits != o.bits {
			return false
		}
	}
	return true
}

// String returns p as [ParsePattern] reads it.
func (p Pattern) String() string {
	var parts []string
	for _, o := range p {
		switch {
		case o.bits != 0:
			parts = append(parts, "&"+strconv.Itoa(int(o.bits)))
		case o.low == 0 && o.high == 255:
			parts = append(parts, "*")
		case o.low == o.high:
			parts = append(parts, strconv.Itoa(int(o.low)))
		default:
			parts = append(parts, fmt.Sprintf("%d-%d", o.low, o.high))
		}
	}
	return strings.Join(parts, ".")
}

// MarshalText prints p as [Pattern.String] does.
func (p Pattern) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// An answer is that of a list, judged.
type answer struct {
	codes   []Code // that match, each with the address that it matched in at
	at      []netip.Addr
	refusal string // why the list is of no use to us; empty: it is
}

// judge reads the addresses that a list returned.
func (c *Config) judge(addrs []netip.Addr) (a answer) {
	for _, addr := range addrs {
		octet := [4]byte{}
		if addr.Is4() {
			octet = addr.As4()
		}
		switch {
		case octet[0] != 127:
			a.refusal = fmt.Sprintf("it answers %s, which is no answer of a list: its domain may have another owner", addr)
			return a
		case octet[1] == 255 && octet[2] == 255:
			a.refusal = fmt.Sprintf("it answers %s: %s", addr, refusalWords(octet[3]))
			return a
		case len(c.Codes) == 0 && octet == [4]byte{127, 0, 0, 1}: // RFC 5782 section 2.1: no answer of a list
			a.refusal = fmt.Sprintf("it answers %s, as lists do that refuse", addr)
			return a
		case len(c.Codes) == 0:
			a.codes, a.at = append(a.codes, Code{}), append(a.at, addr)
		}
		for _, code := range c.Codes {
			if !code.Pattern.Match(addr) {
				continue
			}
			if code.Refusal {
				a.refusal = strings.TrimSuffix(fmt.Sprintf("it answers %s: %s", addr, code.Meaning), ": ")
				return a
			}
			a.codes, a.at = append(a.codes, code), append(a.at, addr)
		}
	}
	return a
}

// refusalWords says what the customary codes of 127.255.255.0/24 mean.
func refusalWords(last byte) string {
	switch last {
	case 252:
		return "the name of its zone is mistyped"
	case 254:
		return "it does not answer resolvers that many share; ask by a resolver of your own"
	case 255:
		return "too many questions came from here"
	}
	return "it refuses us"
}
