package message

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// DecodeUTF7 returns b, which is UTF-7 of RFC 2152, as valid UTF-8. What is malformed becomes
// U+FFFD. (IMAP's mailbox names have another UTF-7, which package imap knows.)
func DecodeUTF7(b []byte) string {
	var out strings.Builder
	out.Grow(len(b))
	for i := 0; i < len(b); {
		if b[i] != '+' {
			i += copyRune(&out, b[i:])
			continue
		}
		n := 0
		for i+1+n < len(b) && isBase64(b[i+1+n]) {
			n++
		}
		shifted := b[i+1 : i+1+n]
		i += 1 + n
		if i < len(b) && b[i] == '-' {
			i++
			if n == 0 {
				out.WriteByte('+')
			}
		} else if n == 0 {
			out.WriteRune(utf8.RuneError)
		}
		writeUTF16(&out, shifted)
	}
	return out.String()
}

// copyRune writes the rune that b begins with and returns its length.
func copyRune(out *strings.Builder, b []byte) int {
	r, n := utf8.DecodeRune(b)
	out.WriteRune(r)
	return n
}

// writeUTF16 writes the UTF-16 in shifted, which is base64 without padding.
func writeUTF16(out *strings.Builder, shifted []byte) {
	raw := make([]byte, base64.RawStdEncoding.DecodedLen(len(shifted))+3)
	if len(shifted)%4 == 1 { // one letter holds no byte
		shifted = shifted[:len(shifted)-1]
	}
	n, _ := base64.RawStdEncoding.Decode(raw, shifted)
	units := make([]uint16, n/2)
	for i := range units {
		units[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
	}
	for _, r := range utf16.Decode(units) {
		out.WriteRune(r)
	}
}

func isBase64(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/'
}
