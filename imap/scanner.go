package imap

import (
	"strconv"
	"unicode/utf8"
)

// A scanner walks over the bytes of one command. After the first failure every method returns a
// zero value and moves no further, so that callers test err once, at the end.
type scanner struct {
	src  []byte
	pos  int
	utf8 bool // mailbox names are UTF-8, not modified UTF-7
	err  error
}

func (s *scanner) fail(text string) {
	if s.err == nil {
		s.err = &SyntaxError{Text: text}
	}
}

// peek returns the next byte, or 0 at the end.
func (s *scanner) peek() byte {
	if s.err != nil || s.pos >= len(s.src) {
		return 0
	}
	return s.src[s.pos]
}

// accept moves over c if it is next.
func (s *scanner) accept(c byte) bool {
	if s.err != nil || s.pos >= len(s.src) || s.src[s.pos] != c {
		return false
	}
	s.pos++
	return true
}

func (s *scanner) expect(c byte) {
	if !s.accept(c) && s.err == nil {
		s.fail("expected " + strconv.QuoteRune(rune(c)) + " at byte " + strconv.Itoa(s.pos+1))
	}
}

func (s *scanner) space() { s.expect(' ') }

// end demands the end of the command. Some clients leave a space there.
func (s *scanner) end() {
	for s.accept(' ') {
	}
	if s.err == nil && s.pos < len(s.src) {
		s.fail("nothing more expected at byte " + strconv.Itoa(s.pos+1))
	}
}

// run returns the longest run of bytes of class, which may be empty.
func (s *scanner) run(class uint8) []byte {
	if s.err != nil {
		return nil
	}
	start := s.pos
	for s.pos < len(s.src) && classes[s.src[s.pos]]&class != 0 {
		s.pos++
	}
	return s.src[start:s.pos]
}

// word returns a keyword of the grammar in upper case, empty when none stands here.
func (s *scanner) word() string { return upper(s.run(classWord)) }

// acceptWord moves over word, given in upper case, if it is next as a whole.
func (s *scanner) acceptWord(word string) bool {
	start := s.pos
	if equalFold(s.run(classWord), word) {
		return true
	}
	s.pos = start
	return false
}

func (s *scanner) atom() string {
	b := s.run(classAtom)
	if len(b) == 0 {
		s.fail("expected an atom at byte " + strconv.Itoa(s.pos+1))
	}
	return string(b)
}

// astring returns an atom, a quoted string or a literal (RFC 9051 section 9).
func (s *scanner) astring() string {
	if b, ok := s.stringBytes(); ok {
		return string(b)
	}
	b := s.run(classAstring)
	if len(b) == 0 {
		s.fail("expected a string at byte " + strconv.Itoa(s.pos+1))
	}
	return string(b)
}

// str returns a quoted string or a literal.
func (s *scanner) str() string {
	b, ok := s.stringBytes()
	if !ok {
		s.fail("expected a quoted string or a literal at byte " + strconv.Itoa(s.pos+1))
	}
	return string(b)
}

// stringBytes returns a quoted string or literal if one is next. The bytes may be those of src.
func (s *scanner) stringBytes() ([]byte, bool) {
	switch s.peek() {
	case '"':
		return s.quoted(), true
	case '{':
		return s.literal(), true
	case '~':
		s.pos++
		return s.literal(), true
	}
	return nil, false
}

func (s *scanner) quoted() []byte {
	s.pos++
	start, escaped := s.pos, false
	for ; s.pos < len(s.src); s.pos++ {
		switch c := s.src[s.pos]; c {
		case '"':
			b := s.src[start:s.pos]
			s.pos++
			if escaped {
				b = unescape(b)
			}
			return b
		case '\\':
			escaped = true
			s.pos++
		case 0, '\r', '\n':
			s.fail("a quoted string may not hold NUL, CR or LF")
			return nil
		}
	}
	s.fail("a quoted string does not end")
	return nil
}

func unescape(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+1 < len(b) {
			i++
		}
		out = append(out, b[i])
	}
	return out
}

// literal reads "{n}" or "{n+}", CRLF and n bytes.
func (s *scanner) literal() []byte {
	s.expect('{')
	n := s.number64()
	s.accept('+')
	s.expect('}')
	s.expect('\r')
	s.expect('\n')
	if s.err != nil {
		return nil
	}
	if n > uint64(len(s.src)-s.pos) {
		s.fail("a literal is shorter than announced")
		return nil
	}
	b := s.src[s.pos : s.pos+int(n)]
	s.pos += int(n)
	return b
}

// number returns a number of 32 bits.
func (s *scanner) number() uint32 {
	n := s.number64()
	if n > 1<<32-1 {
		s.fail("a number is over 4294967295")
		return 0
	}
	return uint32(n)
}

// number64 returns a number of 63 bits (RFC 7162 section 7, RFC 9051 section 9).
func (s *scanner) number64() uint64 {
	start, n := s.pos, uint64(0)
	for s.pos < len(s.src) && s.err == nil {
		c := s.src[s.pos]
		if c < '0' || c > '9' {
			break
		}
		if s.pos++; n > (1<<63-1-uint64(c-'0'))/10 {
			s.fail("a number is too large")
			return 0
		}
		n = n*10 + uint64(c-'0')
	}
	if s.pos == start {
		s.fail("expected a number at byte " + strconv.Itoa(s.pos+1))
	}
	return n
}

// mailbox returns a mailbox name in UTF-8 with INBOX in upper case (RFC 9051 section 5.1).
func (s *scanner) mailbox() string { return s.mailboxName(s.astring()) }

// mailboxName converts raw, as the client wrote it, to UTF-8.
func (s *scanner) mailboxName(raw string) string {
	if s.err != nil {
		return ""
	}
	name := raw
	if !s.utf8 {
		if decoded, ok := DecodeUTF7(raw); ok {
			name = decoded
		}
	}
	if !utf8.ValidString(name) {
		s.fail("a mailbox name is not valid UTF-8")
		return ""
	}
	if len(name) == len("INBOX") && upper([]byte(name)) == "INBOX" {
		return "INBOX"
	}
	return name
}

// list calls item for each element of "(" element *(SP element) ")"; the list may be empty.
func (s *scanner) list(item func()) {
	s.expect('(')
	for s.err == nil && !s.accept(')') {
		before := s.pos
		item()
		if !s.accept(' ') && s.peek() != ')' {
			s.fail("expected a space or ')' at byte " + strconv.Itoa(s.pos+1))
		}
		if s.pos == before {
			s.fail("expected a list element at byte " + strconv.Itoa(s.pos+1))
		}
	}
}

// upper returns b in upper case. The words of commands are interned.
func upper(b []byte) string {
	var buf [32]byte
	if len(b) > len(buf) {
		return string(b)
	}
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		buf[i] = c
	}
	if name, ok := names[string(buf[:len(b)])]; ok {
		return name
	}
	return string(buf[:len(b)])
}

// equalFold tells whether b is word, which is in upper case.
func equalFold(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// The classes of bytes in RFC 9051 section 9.
const (
	classAtom    = 1 << iota // ATOM-CHAR
	classAstring             // ASTRING-CHAR, and bytes of UTF-8, which some clients send bare
	classList                // list-char
	classTag                 // ASTRING-CHAR except "+"
	classWord                // what the names of commands and items are made of
	classLetter
)

var classes = makeClasses()

func makeClasses() (table [256]uint8) {
	for c := 0x21; c < 256; c++ {
		switch c {
		case '(', ')', '{', '"', '\\', 0x7f:
		case '%', '*':
			table[c] = classList
		case ']':
			table[c] = classAstring | classList | classTag
		case '+':
			table[c] = classAtom | classAstring | classList
		default:
			table[c] = classAtom | classAstring | classList | classTag
		}
		switch {
		case c >= 0x80:
			table[c] = classAstring | classList
		case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c == '.', c == '-', c == '=':
			table[c] |= classWord
		}
		if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' {
			table[c] |= classLetter
		}
	}
	return table
}
