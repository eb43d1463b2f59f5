package message

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"
)

// ErrEncoding tells that a Content-Transfer-Encoding is unknown.
var ErrEncoding = errors.New("message: unknown Content-Transfer-Encoding")

// hexValue maps a hexadecimal digit to its value and every other byte to 0xff.
var hexValue = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range byte(10) {
		t['0'+i] = i
	}
	for i := range byte(6) {
		t['A'+i], t['a'+i] = 10+i, 10+i
	}
	return t
}()

// Decode appends p's body to dst without its transfer encoding (RFC 2045 section 6). Bytes that do
// not belong there are left out. It returns ErrEncoding, and the body as it came, when the encoding
// is unknown.
func (p *Part) Decode(dst []byte) ([]byte, error) {
	return decodeTransfer(dst, p.Body(), p.Encoding)
}

func decodeTransfer(dst, body []byte, encoding string) ([]byte, error) {
	switch encoding {
	case "base64":
		return appendBase64(dst, body), nil
	case "quoted-printable":
		return appendQuotedPrintable(dst, body), nil
	case "7bit", "8bit", "binary", "":
		return append(dst, body...), nil
	}
	return append(dst, body...), ErrEncoding
}

// appendBase64 decodes base64. It takes what is clean in one go and otherwise skips foreign bytes
// (RFC 2045 section 6.8), goes on after padding and does without it.
func appendBase64(dst, src []byte) []byte {
	start := len(dst)
	dst = slices.Grow(dst, base64.StdEncoding.DecodedLen(len(src)))
	n, err := base64.StdEncoding.Decode(dst[start:cap(dst)], src)
	if err == nil {
		return dst[:start+n]
	}
	var bits uint32
	have := 0
	for _, c := range src {
		v := base64Value(c)
		if v == 0xff {
			if c == '=' {
				dst, bits, have = endQuantum(dst, bits, have)
			}
			continue
		}
		bits = bits<<6 | uint32(v)
		if have++; have == 4 {
			dst = append(dst, byte(bits>>16), byte(bits>>8), byte(bits))
			bits, have = 0, 0
		}
	}
	dst, _, _ = endQuantum(dst, bits, have)
	return dst
}

// endQuantum appends the bytes of an incomplete quantum.
func endQuantum(dst []byte, bits uint32, have int) ([]byte, uint32, int) {
	switch have {
	case 2:
		dst = append(dst, byte(bits>>4))
	case 3:
		dst = append(dst, byte(bits>>10), byte(bits>>2))
	}
	return dst, 0, 0
}

func base64Value(c byte) byte {
	switch {
	case c >= 'A' && c <= 'Z':
		return c - 'A'
	case c >= 'a' && c <= 'z':
		return c - 'a' + 26
	case c >= '0' && c <= '9':
		return c - '0' + 52
	case c == '+':
		return 62
	case c == '/':
		return 63
	}
	return 0xff
}

// appendQuotedPrintable decodes quoted-printable. White space before a line break was added on the
// way (RFC 2045 section 6.7 rule 3); an "=" that begins nothing stays.
func appendQuotedPrintable(dst, src []byte) []byte {
	dst = slices.Grow(dst, len(src))
	for len(src) > 0 {
		line, rest, ending := cutLine(src)
		src = rest
		line = bytes.TrimRight(line, " \t")
		if soft := bytes.TrimSuffix(line, []byte("=")); len(soft) < len(line) {
			line, ending = soft, nil
		}
		for {
			i := bytes.IndexByte(line, '=')
			if i < 0 {
				dst = append(dst, line...)
				break
			}
			dst = append(dst, line[:i]...)
			line = line[i:]
			if len(line) > 2 && hexValue[line[1]]|hexValue[line[2]] < 16 {
				dst = append(dst, hexValue[line[1]]<<4|hexValue[line[2]])
				line = line[3:]
				continue
			}
			dst = append(dst, '=')
			line = line[1:]
		}
		dst = append(dst, ending...)
	}
	return dst
}

// cutLine splits src after its first line and returns the line break by itself.
func cutLine(src []byte) (line, rest, ending []byte) {
	i := bytes.IndexByte(src, '\n')
	if i < 0 {
		return src, nil, nil
	}
	end := i
	if end > 0 && src[end-1] == '\r' {
		end--
	}
	return src[:end], src[i+1:], src[end : i+1]
}
