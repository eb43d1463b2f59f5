package spf

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// version begins each record (RFC 7208 section 4.5).
const version = "v=spf1"

// A record is what a domain says, parsed.
type record struct {
	mechanisms []mechanism
	redirect   macroString // nil: none
	exp        macroString
}

// A mechanism is one term that may match (RFC 7208 section 4.6.1).
type mechanism struct {
	text      string // as it stands in the record
	qualifier Result
	name      string
	target    macroString  // nil: the domain of the record
	network   netip.Prefix // of ip4 and ip6
	bits4     int          // of a and mx
	bits6     int
}

// isRecord tells whether a TXT record is one of ours.
func isRecord(txt string) bool {
	return len(txt) >= len(version) && strings.EqualFold(txt[:len(version)], version) &&
		(len(txt) == len(version) || txt[len(version)] == ' ')
}

// parseRecord reads a record for which isRecord holds. Its error is one sentence about the first mistake.
func parseRecord(txt string) (*record, error) {
	if len(txt) > maxRecord {
		return nil, fmt.Errorf("the record has %d bytes, at most %d are read", len(txt), maxRecord)
	}
	rec := new(record)
	for term := range strings.SplitSeq(txt[len(version):], " ") {
		if term == "" {
			continue
		}
		if err := rec.add(term); err != nil {
			return nil, fmt.Errorf("%q: %w", printable(term, maxTold), err)
		}
	}
	return rec, nil
}

// add parses a directive or modifier.
func (rec *record) add(term string) error {
	n := nameLength(term)
	if n > 0 && n < len(term) && term[n] == '=' {
		return rec.addModifier(strings.ToLower(term[:n]), term[n+1:])
	}
	m := mechanism{text: term, qualifier: Pass, bits4: 32, bits6: 128}
	rest := term
	if q := qualifier(term[0]); q != "" {
		m.qualifier, rest = q, term[1:]
		n = nameLength(rest)
	}
	m.name = strings.ToLower(rest[:n])
	if err := m.parse(rest[n:]); err != nil {
		return err
	}
	rec.mechanisms = append(rec.mechanisms, m)
	return nil
}

// qualifier returns what a match means behind c, or nothing when c is no qualifier.
func qualifier(c byte) Result {
	switch c {
	case '+':
		return Pass
	case '-':
		return Fail
	case '~':
		return SoftFail
	case '?':
		return Neutral
	}
	return ""
}

// nameLength returns how many bytes of s are a name: ALPHA *( ALPHA / DIGIT / "-" / "_" / "." ).
func nameLength(s string) int {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if isAlpha(c) || i > 0 && (isDigit(c) || c == '-' || c == '_' || c == '.') {
			continue
		}
		return i
	}
	return len(s)
}

func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func (rec *record) addModifier(name, value string) (err error) {
	switch name {
	case "redirect":
		if rec.redirect != nil {
			return fmt.Errorf("redirect stands twice")
		}
		rec.redirect, err = parseDomain(value)
	case "exp":
		if rec.exp != nil {
			return fmt.Errorf("exp stands twice")
		}
		rec.exp, err = parseDomain(value)
	default: // section 6: unknown ones are passed over, yet they must be well-formed
		_, err = parseMacros(value, inRecord)
	}
	return err
}

// parse reads what follows the name of a mechanism.
func (m *mechanism) parse(rest string) (err error) {
	switch m.name {
	case "all":
		if rest != "" {
			return fmt.Errorf("all takes nothing")
		}
		return nil
	case "ip4", "ip6":
		m.network, err = parseNetwork(m.name, rest)
		return err
	case "a", "mx":
		rest, err = m.cutLengths(rest)
	case "include", "exists":
		if rest == "" {
			return fmt.Errorf("%s needs a domain", m.name)
		}
	case "ptr":
	default:
		return fmt.Errorf("there is no such mechanism")
	}
	if err != nil || rest == "" {
		return err
	}
	if rest[0] != ':' {
		return fmt.Errorf("want a colon after %s", m.name)
	}
	m.target, err = parseDomain(rest[1:])
	return err
}

// cutLengths takes a dual-cidr-length from the end: "/24", "//64" or "/24//64".
func (m *mechanism) cutLengths(s string) (rest string, err error) {
	rest, digits, ok := cutLength(s, "//")
	if ok {
		if m.bits6, err = parseLength(digits, 128); err != nil {
			return s, err
		}
	}
	rest, digits, ok = cutLength(rest, "/")
	if ok && !strings.HasSuffix(rest, "/") {
		m.bits4, err = parseLength(digits, 32)
		return rest, err
	}
	if ok {
		return s, fmt.Errorf("a prefix length stands twice")
	}
	return rest, nil
}

// cutLength takes mark and the digits after it from the end of s.
func cutLength(s, mark string) (rest, digits string, ok bool) {
	i := len(s)
	for i > 0 && isDigit(s[i-1]) {
		i--
	}
	if i == len(s) || !strings.HasSuffix(s[:i], mark) {
		return s, "", false
	}
	return s[:i-len(mark)], s[i:], true
}

// parseLength reads a prefix length without leading zeros.
func parseLength(digits string, most int) (int, error) {
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 || n > most || len(digits) > 1 && digits[0] == '0' || !isDigit(digits[0]) {
		return 0, fmt.Errorf("the prefix length is not 0 to %d", most)
	}
	return n, nil
}

// parseNetwork reads ":192.0.2.0/24".
func parseNetwork(name, s string) (netip.Prefix, error) {
	s, ok := strings.CutPrefix(s, ":")
	text, digits, masked := strings.Cut(s, "/")
	ip, err := netip.ParseAddr(text)
	if !ok || err != nil || ip.Is4() != (name == "ip4") || ip.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%s needs an address of that family", name)
	}
	bits := ip.BitLen()
	if masked {
		if digits == "" {
			return netip.Prefix{}, fmt.Errorf("the prefix length is missing")
		}
		if bits, err = parseLength(digits, ip.BitLen()); err != nil {
			return netip.Prefix{}, err
		}
	}
	return netip.PrefixFrom(ip, bits), nil
}
