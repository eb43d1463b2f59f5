package message

// maxComments is how deep comments may nest. What is deeper is text.
const maxComments = 100

// A scanner reads the lexical tokens of structured fields (RFC 5322 section 3.2, RFC 2045 section
// 5.1). It only moves forward, so that reading a field takes linear time.
type scanner struct {
	in  []byte
	pos int
	// noComments is set once "(" was met without its ")": the rest has no comment, and need not be
	// searched again.
	noComments bool
}

// end tells whether only white space and comments are left.
func (s *scanner) end() bool {
	s.space()
	return s.pos >= len(s.in)
}

// space skips white space and comments (CFWS). NUL and bare CR count as white space.
func (s *scanner) space() {
	for s.pos < len(s.in) {
		switch s.in[s.pos] {
		case ' ', '\t', '\r', '\n', 0:
			s.pos++
		case '(':
			if _, ok := s.comment(); !ok {
				return
			}
		default:
			return
		}
	}
}

// comment reads the comment at pos and returns its inside. Without its end it is none.
func (s *scanner) comment() (inside []byte, ok bool) {
	if s.noComments {
		return nil, false
	}
	depth := 0
	for i := s.pos; i < len(s.in); i++ {
		switch s.in[i] {
		case '\\':
			i++
		case '(':
			if depth++; depth > maxComments {
				s.noComments = true
				return nil, false
			}
		case ')':
			if depth--; depth == 0 {
				inside = s.in[s.pos+1 : i]
				s.pos = i + 1
				return inside, true
			}
		}
	}
	s.noComments = true
	return nil, false
}

// take skips white space, then c if it is there.
func (s *scanner) take(c byte) bool {
	s.space()
	if s.pos < len(s.in) && s.in[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

// token reads a token of RFC 2045, or nothing.
func (s *scanner) token() []byte {
	s.space()
	start := s.pos
	for s.pos < len(s.in) && isToken(s.in[s.pos]) {
		s.pos++
	}
	return s.in[start:s.pos]
}

// quoted reads the quoted-string at pos, without quotes, escapes and line breaks. Without its end
// it goes to the end.
func (s *scanner) quoted() []byte {
	start := s.pos + 1
	plain := true
	for i := start; i < len(s.in); i++ {
		switch s.in[i] {
		case '\\':
			plain = false
			i++
		case '\r', '\n':
			plain = false
		case '"':
			s.pos = i + 1
			return unescape(s.in[start:i], plain)
		}
	}
	s.pos = len(s.in)
	return unescape(s.in[min(start, len(s.in)):], plain)
}

// unescape drops backslashes and line breaks. plain tells that there are none.
func unescape(b []byte, plain bool) []byte {
	if plain {
		return b
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		switch c := b[i]; c {
		case '\\':
			if i++; i < len(b) {
				out = append(out, b[i])
			}
		case '\r', '\n':
		default:
			out = append(out, c)
		}
	}
	return out
}

// isToken reports a byte of a token, and every byte over 127, because raw UTF-8 is common there.
func isToken(c byte) bool {
	switch c {
	case '(', ')', '<', '>', '@', ',', ';', ':', '\\', '"', '/', '[', ']', '?', '=', 0x7f:
		return false
	}
	return c > ' '
}
