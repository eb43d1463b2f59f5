package sig

import (
	"bytes"
	"fmt"
	"strings"
)

// A Canon is a canonical form (RFC 6376 section 3.4).
type Canon uint8

// The canonical forms.
const (
	Simple  Canon = iota // as it is
	Relaxed              // white space and the case of field names count for little
)

// ReadCanon reads the forms of header and body that a tag c= names; simple is what it may leave out.
func ReadCanon(tags Tags) (header, body Canon, err error) {
	c, ok := tags.Get("c")
	if !ok {
		return Simple, Simple, nil
	}
	first, second, both := strings.Cut(c, "/")
	if header, err = parseCanon(first); err == nil && both {
		body, err = parseCanon(second)
	}
	return header, body, err
}

func parseCanon(word string) (Canon, error) {
	switch word {
	case "simple":
		return Simple, nil
	case "relaxed":
		return Relaxed, nil
	}
	return 0, fmt.Errorf("%q is no canonical form", short(word))
}

// AppendField appends a header field in the form c, its final CRLF included. raw is the whole field.
func (c Canon) AppendField(dst, raw []byte) []byte {
	if c == Simple {
		return appendSimpleField(dst, raw)
	}
	colon := bytes.IndexByte(raw, ':')
	if colon < 0 {
		colon = len(raw)
	}
	for _, b := range bytes.TrimRight(raw[:colon], " \t\r\n") {
		if b >= 'A' && b <= 'Z' {
			b |= 0x20
		}
		dst = append(dst, b)
	}
	dst = append(dst, ':')
	dst = appendRelaxedValue(dst, raw[min(colon+1, len(raw)):])
	return append(dst, '\r', '\n')
}

// appendSimpleField appends raw with CRLF at the end of its lines, and at its own.
func appendSimpleField(dst, raw []byte) []byte {
	for len(raw) > 0 {
		end := bytes.IndexByte(raw, '\n')
		if end < 0 {
			dst, raw = append(dst, raw...), nil
		} else {
			dst, raw = append(dst, bytes.TrimSuffix(raw[:end], []byte("\r"))...), raw[end+1:]
		}
		dst = append(dst, '\r', '\n')
	}
	return dst
}

// appendRelaxedValue appends v on one line, without white space at its ends and with one space in the
// place of any other run of it.
func appendRelaxedValue(dst, v []byte) []byte {
	start, space := len(dst), false
	for i := 0; i < len(v); i++ {
		b := v[i]
		switch {
		case b == ' ' || b == '\t':
			space = true
			continue
		case b == '\n', b == '\r' && (i+1 == len(v) || v[i+1] == '\n'):
			continue // the white space that follows a fold is its own
		}
		if space && len(dst) > start {
			dst = append(dst, ' ')
		}
		space = false
		dst = append(dst, b)
	}
	return dst
}
