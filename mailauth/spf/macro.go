package spf

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A macroString is text with macros in it (RFC 7208 section 7), parsed.
type macroString []piece

// A piece is literal text, or the macro of a letter.
type piece struct {
	literal    string
	letter     byte   // lower case; 0: literal
	escape     bool   // upper case: escape what may not stand in a URL
	parts      int    // how many from the right; 0: all
	reverse    bool   // before that
	delimiters string // what separates parts
	expands    bool   // it stood as a macro-expand, of which %% is one
}

// place is where a macro-string stands, which decides about its letters and blanks.
type place bool

const (
	inRecord      place = false
	inExplanation place = true
)

const (
	recordLetters      = "slodiphv"
	explanationLetters = recordLetters + "crt" // section 7.2
	delimiters         = ".-+,/_="
	maxParts           = 128 // there are no more labels in a name (section 7.3)
)

// parseMacros reads a macro-string.
func parseMacros(s string, at place) (macroString, error) {
	m := macroString{}
	for s != "" {
		if s[0] == '%' {
			p, rest, err := parseExpand(s, at)
			if err != nil {
				return nil, err
			}
			m, s = append(m, p), rest
			continue
		}
		n := strings.IndexByte(s, '%')
		if n < 0 {
			n = len(s)
		}
		for i := range n {
			if c := s[i]; c <= ' ' && !(c == ' ' && at == inExplanation) || c > '~' {
				return nil, fmt.Errorf("byte %#02x may not stand there", c)
			}
		}
		m, s = append(m, piece{literal: s[:n]}), s[n:]
	}
	return m, nil
}

// parseExpand reads what begins with a percent sign.
func parseExpand(s string, at place) (p piece, rest string, err error) {
	if len(s) >= 2 {
		switch s[1] {
		case '%':
			return piece{literal: "%", expands: true}, s[2:], nil
		case '_':
			return piece{literal: " ", expands: true}, s[2:], nil
		case '-':
			return piece{literal: "%20", expands: true}, s[2:], nil
		}
	}
	end := strings.IndexByte(s, '}')
	if len(s) < 4 || s[1] != '{' || end < 3 {
		return p, "", fmt.Errorf("a percent sign begins no macro")
	}
	p, err = parseMacro(s[2:end], at)
	return p, s[end+1:], err
}

// parseMacro reads what stands in braces: a letter, digits, "r", delimiters.
func parseMacro(s string, at place) (piece, error) {
	letters := recordLetters
	if at == inExplanation {
		letters = explanationLetters
	}
	p := piece{letter: s[0] | 0x20, escape: s[0]&0x20 == 0, delimiters: ".", expands: true}
	if !isAlpha(s[0]) || strings.IndexByte(letters, p.letter) < 0 {
		return p, fmt.Errorf("there is no macro letter %q here", printable(s[:1], 1))
	}
	s = s[1:]
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	if n > 0 {
		parts, err := strconv.ParseUint(s[:n], 10, 64)
		if err == nil && parts == 0 {
			return p, fmt.Errorf("a macro may not ask for 0 parts")
		}
		if err != nil || parts > maxParts {
			parts = maxParts
		}
		p.parts, s = int(parts), s[n:]
	}
	if s != "" && s[0]|0x20 == 'r' {
		p.reverse, s = true, s[1:]
	}
	for i := range len(s) {
		if strings.IndexByte(delimiters, s[i]) < 0 {
			return p, fmt.Errorf("%q is no delimiter of a macro", printable(s[i:i+1], 1))
		}
	}
	if s != "" {
		p.delimiters = s
	}
	return p, nil
}

// parseDomain reads a domain-spec: a macro-string that ends in a macro or in a top label.
func parseDomain(s string) (macroString, error) {
	m, err := parseMacros(s, inRecord)
	if err != nil {
		return nil, err
	}
	if len(m) == 0 {
		return nil, fmt.Errorf("the domain is missing")
	}
	last := m[len(m)-1]
	if last.expands {
		return m, nil
	}
	name := strings.TrimSuffix(last.literal, ".")
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 || !isTopLabel(name[dot+1:]) {
		return nil, fmt.Errorf("the domain has no top label")
	}
	return m, nil
}

// isTopLabel tells whether s may end a domain-spec: letters, digits and inner hyphens, not digits alone.
func isTopLabel(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	digits := true
	for i := range len(s) {
		c := s[i]
		if !isAlpha(c) && !isDigit(c) && c != '-' {
			return false
		}
		digits = digits && isDigit(c)
	}
	return !digits
}

// has tells whether one of letters stands in m.
func (m macroString) has(letters string) bool {
	for _, p := range m {
		if p.letter != 0 && strings.IndexByte(letters, p.letter) >= 0 {
			return true
		}
	}
	return false
}

// expand puts the values of letters in.
func (m macroString) expand(value func(letter byte) string) (string, error) {
	var b strings.Builder
	for _, p := range m {
		if p.letter == 0 {
			b.WriteString(p.literal)
		} else {
			b.WriteString(p.transform(value(p.letter)))
		}
		if b.Len() > maxExpanded {
			return "", permError("a macro-string expands to more than %d bytes", maxExpanded)
		}
	}
	return b.String(), nil
}

// transform splits, reverses, shortens and escapes a value (RFC 7208 section 7.3).
func (p piece) transform(value string) string {
	var parts []string
	for start, i := 0, 0; i <= len(value); i++ {
		if i == len(value) || strings.IndexByte(p.delimiters, value[i]) >= 0 {
			parts = append(parts, value[start:i])
			start = i + 1
		}
	}
	if p.reverse {
		slices.Reverse(parts)
	}
	if p.parts > 0 && p.parts < len(parts) {
		parts = parts[len(parts)-p.parts:]
	}
	value = strings.Join(parts, ".")
	if !p.escape {
		return value
	}
	var b strings.Builder
	for i := range len(value) {
		if c := value[i]; isAlpha(c) || isDigit(c) || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// String returns m as it stands in a record, but for escapes, which are in their plain form.
func (m macroString) String() string {
	var b strings.Builder
	for _, p := range m {
		if p.letter == 0 {
			b.WriteString(p.literal)
			continue
		}
		letter := p.letter
		if p.escape {
			letter &^= 0x20
		}
		b.WriteString("%{" + string(rune(letter)))
		if p.parts > 0 {
			b.WriteString(strconv.Itoa(p.parts))
		}
		if p.reverse {
			b.WriteByte('r')
		}
		if p.delimiters != "." {
			b.WriteString(p.delimiters)
		}
		b.WriteByte('}')
	}
	return b.String()
}
