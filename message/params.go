package message

import (
	"bytes"
	"slices"
	"strings"
)

// Bounds on the parameters of one field.
const (
	maxParams   = 200
	maxSections = 9999 // the highest number of a continuation
)

// A section is one parameter as it stands in the field: a whole one, or a piece of one (RFC 2231).
type section struct {
	name     string // without its marks
	value    []byte // unquoted
	number   int    // of a continuation, else 0
	extended bool   // percent-encoded, the first with charset and language
	marked   bool   // has a number or is extended
}

// params reads *(";" attribute "=" value) up to the end. A missing semicolon, a value without
// quotes that needs them, and junk in between are understood as far as one can.
func (s *scanner) params() Params {
	var params Params
	var marked []section
	for n := 0; n < maxParams && !s.end(); {
		if s.take(';') {
			continue
		}
		name := s.token()
		if len(name) == 0 {
			s.pos++
			continue
		}
		if !s.take('=') {
			continue
		}
		n++
		sec := newSection(name)
		sec.value = s.paramValue(sec.name)
		if sec.marked {
			marked = append(marked, sec)
			continue
		}
		params = append(params, Param{Name: sec.name, Value: plainValue(sec)})
	}
	if marked != nil {
		params = joinSections(params, marked)
	}
	return params
}

// newSection takes name*number* apart.
func newSection(name []byte) section {
	star := bytes.IndexByte(name, '*')
	if star <= 0 {
		return section{name: lower(name)}
	}
	sec := section{name: lower(name[:star]), marked: true}
	rest := name[star+1:]
	if len(rest) == 0 {
		sec.extended = true
		return sec
	}
	if rest[len(rest)-1] == '*' {
		sec.extended = true
		rest = rest[:len(rest)-1]
	}
	for _, c := range rest {
		if c < '0' || c > '9' || sec.number > maxSections {
			break
		}
		sec.number = sec.number*10 + int(c-'0')
	}
	return sec
}

// paramValue reads a quoted-string or what stands there without quotes. File names go on to the
// next semicolon or line break, since many programs write spaces into them.
func (s *scanner) paramValue(name string) []byte {
	s.space()
	if s.pos < len(s.in) && s.in[s.pos] == '"' {
		return s.quoted()
	}
	withSpaces := name == "name" || name == "filename"
	start := s.pos
	for ; s.pos < len(s.in); s.pos++ {
		c := s.in[s.pos]
		if c == ';' || c == '\r' || c == '\n' || (c == ' ' || c == '\t') && !withSpaces {
			break
		}
	}
	return bytes.TrimSpace(s.in[start:s.pos])
}

// plainValue decodes a value that has no marks of RFC 2231. Encoded words are forbidden there
// (RFC 2047 section 5) and common. A boundary is compared as bytes, so it stays as it is.
func plainValue(sec section) string {
	if sec.name == "boundary" || isASCII(sec.value) && !bytes.Contains(sec.value, []byte("=?")) {
		return knownOrNew(sec.value)
	}
	return DecodeWords(string(sec.value))
}

func knownOrNew(b []byte) string {
	switch string(b) {
	case "us-ascii":
		return "us-ascii"
	case "utf-8":
		return "utf-8"
	case "UTF-8":
		return "UTF-8"
	case "iso-8859-1":
		return "iso-8859-1"
	case "flowed":
		return "flowed"
	}
	return string(b)
}

// joinSections adds to params what marked says, in place of a plain one of the same name, which is
// there for old programs.
func joinSections(params Params, marked []section) Params {
	slices.SortStableFunc(marked, func(a, b section) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return a.number - b.number
	})
	for len(marked) > 0 {
		n := 1
		for n < len(marked) && marked[n].name == marked[0].name {
			n++
		}
		name, value := marked[0].name, joinValue(marked[:n])
		marked = marked[n:]
		params = slices.DeleteFunc(params, func(p Param) bool { return p.Name == name })
		params = append(params, Param{Name: name, Value: value})
	}
	return params
}

// joinValue joins the sections of one parameter, sorted by number. Of two with one number the first
// counts.
func joinValue(sections []section) string {
	var raw []byte
	charset := ""
	for i, sec := range sections {
		if i > 0 && sec.number == sections[i-1].number {
			continue
		}
		v := sec.value
		if sec.extended {
			if i == 0 {
				charset, v = cutCharset(v)
			}
			v = percentDecode(v)
		}
		raw = append(raw, v...)
	}
	if charset == "" && bytes.Contains(raw, []byte("=?")) {
		return DecodeWords(string(raw))
	}
	text, _ := DecodeCharset(raw, charset)
	return text
}

// cutCharset splits charset'language'value.
func cutCharset(v []byte) (charset string, value []byte) {
	a := bytes.IndexByte(v, '\'')
	if a < 0 {
		return "", v
	}
	b := bytes.IndexByte(v[a+1:], '\'')
	if b < 0 {
		return "", v
	}
	return string(v[:a]), v[a+1+b+1:]
}

func percentDecode(v []byte) []byte {
	if bytes.IndexByte(v, '%') < 0 {
		return v
	}
	out := make([]byte, 0, len(v))
	for i := 0; i < len(v); i++ {
		if v[i] == '%' && i+2 < len(v) {
			if hi, lo := hexValue[v[i+1]], hexValue[v[i+2]]; hi|lo < 16 {
				out = append(out, hi<<4|lo)
				i += 2
				continue
			}
		}
		out = append(out, v[i])
	}
	return out
}

func isASCII[T ~string | ~[]byte](s T) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
