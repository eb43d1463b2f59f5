package imap

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Modified UTF-7 of mailbox names, RFC 3501 section 5.1.3.

var mutf7 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)

// EncodeUTF7 returns name, which is UTF-8, in modified UTF-7.
func EncodeUTF7(name string) string {
	if plainUTF7(name) {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(name); {
		c := name[i]
		if c >= 0x20 && c < 0x7f {
			b.WriteByte(c)
			if i++; c == '&' {
				b.WriteByte('-')
			}
			continue
		}
		start := i
		for i < len(name) && (name[i] < 0x20 || name[i] >= 0x7f) {
			i++
		}
		b.WriteByte('&')
		b.WriteString(encodeUTF16(name[start:i]))
		b.WriteByte('-')
	}
	return b.String()
}

func plainUTF7(name string) bool {
	for i := 0; i < len(name); i++ {
		if c := name[i]; c < 0x20 || c >= 0x7f || c == '&' {
			return false
		}
	}
	return true
}

func encodeUTF16(s string) string {
	var raw []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		raw = append(raw, byte(unit>>8), byte(unit))
	}
	return mutf7.EncodeToString(raw)
}

// DecodeUTF7 returns the UTF-8 of name. It fails for anything but the one form that [EncodeUTF7]
// prints, and for unencoded 8-bit.
func DecodeUTF7(name string) (string, bool) {
	if plainUTF7(name) {
		return name, true
	}
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c < 0x20 || c >= 0x7f {
			return "", false
		}
		if c != '&' {
			b.WriteByte(c)
			continue
		}
		n := strings.IndexByte(name[i:], '-')
		switch {
		case n < 0:
			return "", false
		case n == 1:
			b.WriteByte('&')
		default:
			text, ok := decodeUTF16(name[i+1 : i+n])
			if !ok {
				return "", false
			}
			b.WriteString(text)
		}
		i += n
	}
	if out := b.String(); EncodeUTF7(out) == name {
		return out, true
	}
	return "", false
}

func decodeUTF16(s string) (string, bool) {
	raw, err := mutf7.DecodeString(s)
	if err != nil || len(raw)%2 != 0 {
		return "", false
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
	}
	text := string(utf16.Decode(units))
	return text, !strings.ContainsRune(text, utf8.RuneError)
}
