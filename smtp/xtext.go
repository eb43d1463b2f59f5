package smtp

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// EncodeXtext returns s as xtext (RFC 3461 section 4).
func EncodeXtext(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '+' || c == '=' {
			fmt.Fprintf(&b, "+%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// DecodeXtext undoes EncodeXtext. It is false for text that is no xtext.
func DecodeXtext(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '+':
			if i+2 >= len(s) || !isUpperHex(s[i+1]) || !isUpperHex(s[i+2]) {
				return "", false
			}
			n, _ := strconv.ParseUint(s[i+1:i+3], 16, 8)
			c = byte(n)
			i += 2
		case c <= ' ' || c >= 0x7f || c == '=':
			return "", false
		}
		b.WriteByte(c)
	}
	return b.String(), true
}

// encodeUTF8Addr returns s as utf-8-addr-xtext (RFC 6533 section 3), which is ASCII.
func encodeUTF8Addr(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r <= ' ' || r >= 0x7f || r == '+' || r == '=' || r == '\\' {
			fmt.Fprintf(&b, `\x{%X}`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// decodeUTF8Addr reads either form of RFC 6533 section 3: utf-8-addr-xtext and utf-8-addr-unitext.
func decodeUTF8Addr(s string) (string, bool) {
	var b strings.Builder
	for s != "" {
		if rest, ok := strings.CutPrefix(s, `\x{`); ok {
			hex, after, ok := strings.Cut(rest, "}")
			n, err := strconv.ParseUint(hex, 16, 21)
			if !ok || err != nil || !utf8.ValidRune(rune(n)) {
				return "", false
			}
			b.WriteRune(rune(n))
			s = after
			continue
		}
		r, size := utf8.DecodeRuneInString(s)
		if r <= ' ' || r == 0x7f || r == '+' || r == '=' || r == '\\' || r == utf8.RuneError && size == 1 {
			return "", false
		}
		b.WriteRune(r)
		s = s[size:]
	}
	return b.String(), true
}

func isUpperHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'A' && c <= 'F' }
