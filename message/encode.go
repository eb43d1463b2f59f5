package message

import (
	"encoding/base64"
	"slices"
)

// maxEncodedLine is the longest line of base64 and quoted-printable (RFC 2045 sections 6.7, 6.8).
const maxEncodedLine = 76

// encodeBase64 appends src as base64 in lines.
func encodeBase64(dst, src []byte) []byte {
	const perLine = maxEncodedLine / 4 * 3
	dst = slices.Grow(dst, (len(src)+perLine-1)/perLine*(maxEncodedLine+2))
	for len(src) > 0 {
		n := min(perLine, len(src))
		dst = base64.StdEncoding.AppendEncode(dst, src[:n])
		dst = append(dst, "\r\n"...)
		src = src[n:]
	}
	return dst
}

// encodeQuotedPrintable appends src as quoted-printable. CRLF stays a line break; CR and LF alone
// are encoded, so that every byte comes back.
func encodeQuotedPrintable(dst, src []byte) []byte {
	const digits = "0123456789ABCDEF"
	dst = slices.Grow(dst, len(src)+len(src)/8)
	column := 0
	for i, c := range src {
		if c == '\r' && i+1 < len(src) && src[i+1] == '\n' || c == '\n' && i > 0 && src[i-1] == '\r' {
			dst = append(dst, c)
			column = 0
			continue
		}
		width := 1
		if !isPlainQuoted(src, i) {
			width = 3
		}
		if column+width > maxEncodedLine-1 { // room for "="
			dst = append(dst, "=\r\n"...)
			column = 0
		}
		column += width
		if width == 1 {
			dst = append(dst, c)
		} else {
			dst = append(dst, '=', digits[c>>4], digits[c&15])
		}
	}
	return dst
}

// isPlainQuoted tells whether src[i] may stand for itself: printable, and no white space at the end
// of a line.
func isPlainQuoted(src []byte, i int) bool {
	c := src[i]
	if c == ' ' || c == '\t' {
		return i+1 < len(src) && src[i+1] != '\r' && src[i+1] != '\n'
	}
	return c > ' ' && c < 0x7f && c != '='
}
