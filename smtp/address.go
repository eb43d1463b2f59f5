package smtp

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"posthaste/mail"
)

// Sizes of an address. The local-part may be longer than the 64 octets of RFC 5321 section 4.5.3.1.1,
// because return addresses that encode another address (VERP, SRS) are.
const (
	maxLocal  = 128
	maxDomain = 253
	maxLabel  = 63
)

// ParseAddress reads local-part@domain as it stands in a path, without angle brackets. The domain may
// be an address literal or an international name, which becomes its A-label form.
func ParseAddress(s string) (mail.Address, error) {
	local, rest, err := cutLocal(s)
	if err != nil {
		return mail.Address{}, err
	}
	if !strings.HasPrefix(rest, "@") {
		return mail.Address{}, badAddress("want local-part@domain")
	}
	domain, err := ParseDomain(rest[1:])
	if err != nil {
		return mail.Address{}, err
	}
	return mail.Address{Local: local, Domain: domain}, nil
}

// ParsePath reads a forward-path: an address in angle brackets. A source route before it is dropped
// (RFC 5321 appendix C), and postmaster needs no domain (section 4.5.1).
func ParsePath(s string) (mail.Address, error) {
	address, rest, err := cutPath(s, false)
	switch {
	case err != nil:
		return mail.Address{}, err
	case rest != "":
		return mail.Address{}, badAddress("text after the path")
	case address.IsZero():
		return mail.Address{}, badAddress("the path is empty")
	}
	return address, nil
}

// ParseReversePath reads a reverse-path, which may be "<>".
func ParseReversePath(s string) (mail.ReversePath, error) {
	address, rest, err := cutPath(s, false)
	if err == nil && rest != "" {
		err = badAddress("text after the path")
	}
	if err == nil && !address.IsZero() && address.Domain == "" {
		err = badAddress("want local-part@domain")
	}
	if err != nil {
		return mail.ReversePath{}, err
	}
	return mail.ReversePath{Address: address}, nil
}

// ParseDomain reads a domain name or an address literal and returns it in the form of
// [mail.Address].Domain.
func ParseDomain(s string) (string, error) {
	if strings.HasPrefix(s, "[") {
		return parseLiteral(s)
	}
	if len(s) > 4*maxDomain {
		return "", badAddress("domain too long")
	}
	if !isASCII(s) {
		a, err := idna.Lookup.ToASCII(s)
		if err != nil {
			return "", badAddress("not a valid international domain name")
		}
		s = a
	}
	s = strings.ToLower(s)
	if s == "" || len(s) > maxDomain {
		return "", badAddress("domain empty or too long")
	}
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return "", badAddress("not a valid domain name")
		}
	}
	return s, nil
}

// PrintDomain returns a domain as people read it: international names in their own script.
func PrintDomain(domain string) string {
	u, err := idna.Lookup.ToUnicode(domain)
	if err != nil {
		return domain
	}
	if back, err := ParseDomain(u); err != nil || back != domain {
		return domain
	}
	return u
}

// parseLiteral reads the address literal of RFC 5321 section 4.1.3. No standard has defined a tag
// other than IPv6.
func parseLiteral(s string) (string, error) {
	inner, ok := strings.CutSuffix(s[1:], "]")
	const tag = "IPv6:"
	v6 := ok && len(inner) > len(tag) && strings.EqualFold(inner[:len(tag)], tag)
	if v6 {
		inner = inner[len(tag):]
	}
	ip, err := netip.ParseAddr(inner)
	if !ok || err != nil || ip.Is4() == v6 || ip.Zone() != "" {
		return "", badAddress("not a valid address literal")
	}
	return Literal(ip), nil
}

// Literal returns ip as an address literal.
func Literal(ip netip.Addr) string {
	if ip.Is4() {
		return "[" + ip.String() + "]"
	}
	return "[IPv6:" + ip.String() + "]"
}

// isLabel tells whether s is a label of RFC 5321 section 4.1.2.
func isLabel(s string) bool {
	if s == "" || len(s) > maxLabel || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := 0; i < len(s); i++ {
		if !isLetDig(s[i]) && s[i] != '-' {
			return false
		}
	}
	return true
}

// cutPath reads the path that s begins with and returns what follows it. "<>" is the zero Address. With
// bare the domain may be missing, as it may for postmaster always.
func cutPath(s string, bare bool) (address mail.Address, rest string, err error) {
	if !strings.HasPrefix(s, "<") {
		return address, "", badAddress("want the address in angle brackets")
	}
	s = s[1:]
	if strings.HasPrefix(s, ">") {
		return address, s[1:], nil
	}
	if strings.HasPrefix(s, "@") {
		if s, err = cutRoute(s); err != nil {
			return address, "", err
		}
	}
	end := pathEnd(s)
	if end < 0 {
		return address, "", badAddress("no > at the end of the path")
	}
	inner, rest := s[:end], s[end+1:]
	if strings.EqualFold(inner, "postmaster") {
		return mail.Address{Local: inner}, rest, nil
	}
	if local, after, err := cutLocal(inner); bare && err == nil && after == "" && local != "" {
		return mail.Address{Local: local}, rest, nil
	}
	address, err = ParseAddress(inner)
	return address, rest, err
}

// pathEnd returns where the ">" is that ends the path: not within quotes.
func pathEnd(s string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			quoted = !quoted
		case '>':
			if !quoted {
				return i
			}
		}
	}
	return -1
}

// cutRoute drops a source route "@one,@two:".
func cutRoute(s string) (string, error) {
	route, rest, ok := strings.Cut(s, ":")
	if !ok {
		return "", badAddress("source route without address")
	}
	for host := range strings.SplitSeq(route, ",") {
		if _, err := ParseDomain(strings.TrimPrefix(host, "@")); err != nil || host[0] != '@' {
			return "", badAddress("not a valid source route")
		}
	}
	return rest, nil
}

// cutLocal reads the local-part that s begins with, and returns it without quotes.
func cutLocal(s string) (local, rest string, err error) {
	if !utf8.ValidString(s) {
		return "", "", badAddress("8-bit text that is not UTF-8")
	}
	if strings.HasPrefix(s, `"`) {
		local, rest, err = cutQuoted(s)
	} else {
		local, rest, err = cutDotString(s)
	}
	switch {
	case err != nil:
		return "", "", err
	case len(local) > maxLocal:
		err = badAddress("local-part too long")
	case hasControl(local):
		err = badAddress("control character in the local-part")
	}
	return local, rest, err
}

func cutDotString(s string) (local, rest string, err error) {
	end := 0
	for end < len(s) && (isAtext(s[end]) || s[end] == '.') {
		end++
	}
	for atom := range strings.SplitSeq(s[:end], ".") {
		if atom == "" {
			return "", "", badAddress("not a valid local-part: use quotes")
		}
	}
	return s[:end], s[end:], nil
}

func cutQuoted(s string) (local, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '"':
			return b.String(), s[i+1:], nil
		case c == '\\' && i+1 < len(s):
			i++
			if c = s[i]; c >= 0x80 {
				return "", "", badAddress("only ASCII can be escaped")
			}
		}
		if c < ' ' || c == 0x7f {
			return "", "", badAddress("control character in the local-part")
		}
		b.WriteByte(c)
	}
	return "", "", badAddress("quotes not closed")
}

// isAtext reports an atext of RFC 5322 section 3.2.3, or a byte of UTF-8 (RFC 6531 section 3.3).
func isAtext(c byte) bool {
	return c >= 0x80 || isLetDig(c) || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

func badAddress(text string) error {
	return mail.NewStatus(501, "5.1.3", "bad address: "+text)
}
