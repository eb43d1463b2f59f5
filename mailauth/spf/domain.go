package spf

import (
	"strings"

	"golang.org/x/net/idna"
)

const (
	maxName  = 253 // bytes of a name without its final dot
	maxLabel = 63
)

// asciiDomain returns the A-label form that the DNS knows (RFC 8616 section 4), without a final dot, or
// domain itself where it has none.
func asciiDomain(domain string) string {
	domain = strings.TrimSuffix(domain, ".")
	if ascii(domain) {
		return domain
	}
	if a, err := idna.Lookup.ToASCII(domain); err == nil {
		return a
	}
	return domain
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// malformed says why a domain can have no policy, or nothing (RFC 7208 section 4.3).
func malformed(domain string) string {
	switch {
	case domain == "":
		return "is no domain"
	case domain[0] == '[':
		return "is an address, no domain"
	case !ascii(domain):
		return "is no name of the DNS"
	case len(domain) > maxName:
		return "is longer than a name may be"
	case !strings.Contains(domain, "."):
		return "has one label only"
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > maxLabel {
			return "has a label that is empty or too long"
		}
	}
	return ""
}

// shorten takes labels from the left until a name has the length of one (RFC 7208 section 7.3).
func shorten(name string) string {
	name = strings.TrimSuffix(name, ".")
	for len(name) > maxName {
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			return name // one label: no name at all, and no lookup finds it
		}
		name = rest
	}
	return name
}
