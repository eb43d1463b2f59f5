package results

import (
	"errors"
	"strings"
)

// ErrNone says that a value is no Authentication-Results field at all.
var ErrNone = errors.New("results: no name of a host and no result")

// Parse reads the value of a field, folded or not. What it cannot read it passes over; only a value that
// gives neither a host nor a result is an error, ErrNone.
func Parse(value string) (Field, error) {
	s := scanner{unfolder.Replace(value[:min(len(value), maxField)])}
	var f Field
	s.space()
	if id, ok := s.server(); ok {
		f.Server = id
		s.toSemicolon() // over the version
	}
	for s.rest != "" && len(f.Results) < maxResults {
		if r, ok := s.result(); ok {
			f.Results = append(f.Results, r)
		}
		s.toSemicolon()
	}
	if f.Server == "" && len(f.Results) == 0 {
		return Field{}, ErrNone
	}
	return f, nil
}

// unfolder takes out what folding put in (RFC 5322 section 2.2.3).
var unfolder = strings.NewReplacer("\r", "", "\n", "")

// A scanner reads rest from the left.
type scanner struct{ rest string }

// server reads the authserv-id. Where a method and its result stand in its place there is none.
func (s *scanner) server() (string, bool) {
	start := *s
	id := s.value(false)
	s.space()
	if id == "" || strings.HasPrefix(s.rest, "=") || strings.HasPrefix(s.rest, "/") || strings.Contains(id, "=") && !strings.HasPrefix(start.rest, `"`) {
		*s = start
		return "", false
	}
	return id, true
}

// result reads one resinfo. ok is false for "none" and for what is none.
func (s *scanner) result() (r Result, ok bool) {
	s.space()
	r.Method = s.keyword()
	s.space()
	if strings.HasPrefix(s.rest, "/") { // a version of the method
		s.rest = s.rest[1:]
		s.space()
		s.keyword()
		s.space()
	}
	if r.Method == "" || !s.skip('=') {
		return r, false
	}
	s.space()
	if r.Value = s.keyword(); r.Value == "" {
		return r, false
	}
	for {
		if comment := s.space(); comment != "" && r.Comment == "" {
			r.Comment = comment
		}
		if s.rest == "" || s.rest[0] == ';' {
			return r, true
		}
		s.property(&r)
	}
}

// property reads a reason, a ptype.property=value, or passes over a word that is neither.
func (s *scanner) property(r *Result) {
	kind := s.keyword()
	s.space()
	name := ""
	if s.skip('.') {
		s.space()
		name = s.keyword()
		s.space()
	}
	if kind == "" || !s.skip('=') {
		if kind == "" && name == "" {
			s.word()
		}
		return
	}
	s.space()
	value := s.value(true)
	switch {
	case kind == "reason" && name == "":
		r.Reason = value
	case name != "" && len(r.Properties) < maxProperties:
		r.Properties = append(r.Properties, Property{kind, name, value})
	}
}

// keyword reads letters, digits, hyphens and underscores, in lower case.
func (s *scanner) keyword() string {
	i := 0
	for i < len(s.rest) && isKeyword(rune(s.rest[i]|caseBit(s.rest[i]))) {
		i++
	}
	word := strings.ToLower(s.rest[:i])
	s.rest = s.rest[i:]
	return word[:min(len(word), maxWord)]
}

// caseBit is what makes an upper case letter a lower case one.
func caseBit(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return 'a' - 'A'
	}
	return 0
}

// value reads a quoted string, unquoted, or text up to a space, a semicolon or a comment. A quoted
// string before an "@" is the local-part of an address and keeps its quotes. equals says whether "=" may
// stand in the text.
func (s *scanner) value(equals bool) string {
	if text, rest, ok := cutQuoted(s.rest); ok {
		s.rest = rest
		if !strings.HasPrefix(rest, "@") {
			return clean(text)
		}
		return clean(quoted(clean(text)) + s.bare(true))
	}
	return s.bare(equals)
}

func (s *scanner) bare(equals bool) string {
	i := 0
	for i < len(s.rest) && !strings.ContainsRune(" \t\r\n;(", rune(s.rest[i])) && (equals || s.rest[i] != '=') {
		i++
	}
	text := s.rest[:i]
	s.rest = s.rest[i:]
	return clean(text)
}

// cutQuoted reads a quoted-string at the start of text (RFC 5322 section 3.2.4).
func cutQuoted(text string) (content, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		return "", text, false
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), text[i+1:], true
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", text, false
}

func (s *scanner) skip(c byte) bool {
	if s.rest == "" || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// space passes over white space and comments and returns the text of the first comment.
func (s *scanner) space() (comment string) {
	for {
		s.rest = strings.TrimLeft(s.rest, " \t\r\n")
		if !strings.HasPrefix(s.rest, "(") {
			return comment
		}
		if text := s.comment(); comment == "" {
			comment = clean(text)
		}
	}
}

// comment reads a comment with those in it. One that never ends reaches to the end.
func (s *scanner) comment() string {
	var b strings.Builder
	depth, i := 0, 0
	for ; i < len(s.rest); i++ {
		c := s.rest[i]
		switch {
		case c == '\\' && i+1 < len(s.rest):
			i++
			c = s.rest[i]
		case c == '(':
			if depth++; depth == 1 {
				continue
			}
		case c == ')':
			if depth--; depth == 0 {
				s.rest = s.rest[i+1:]
				return b.String()
			}
		}
		if depth > maxDepth {
			break
		}
		b.WriteByte(c)
	}
	s.rest = ""
	return b.String()
}

// toSemicolon passes over everything up to the next semicolon, and it.
func (s *scanner) toSemicolon() {
	for s.rest != "" && !s.skip(';') {
		s.space()
		s.word()
	}
}

// word passes over a value, or else over a character that none begins with, a semicolon excepted.
func (s *scanner) word() {
	before := len(s.rest)
	s.value(true)
	if len(s.rest) == before && before > 0 && s.rest[0] != ';' {
		s.rest = s.rest[1:]
	}
}
