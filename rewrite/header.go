package rewrite

import (
	"bytes"
	"strings"

	"posthaste/mail"
	"posthaste/message"
	"posthaste/smtp"
)

// header returns content with its addresses rewritten, or content itself.
func (j *job) header(content mail.Content) (mail.Content, error) {
	all := content.Bytes()
	end := headerEnd(all)
	var out []byte
	done := 0 // of all, so much is in out
	for _, f := range message.Parse(all[:end]).Header.Fields() {
		where := placeOf(f)
		if where == 0 {
			continue
		}
		value := f.Start + len(f.Raw()) - len(f.Value()) - lineBreak(f.Raw())
		for _, s := range addresses(f.Value()) {
			written := string(f.Value()[s.start:s.end])
			became, err := j.text(written, where)
			if err != nil {
				return nil, err
			}
			if became == written {
				continue
			}
			out = append(out, all[done:value+s.start]...)
			out = append(out, became...)
			done = value + s.end
		}
	}
	if out == nil {
		return content, nil
	}
	return mail.Bytes(append(out, all[done:]...)), nil
}

// headerEnd returns where the header section ends, the empty line not included.
func headerEnd(content []byte) int {
	if i := bytes.Index(content, []byte("\r\n\r\n")); i >= 0 {
		return i + 2
	}
	return len(content)
}

func lineBreak(raw []byte) int {
	return len(raw) - len(bytes.TrimSuffix(bytes.TrimSuffix(raw, []byte("\n")), []byte("\r")))
}

// placeOf tells which addresses a field holds, 0 for none that are rewritten.
func placeOf(f message.Field) Where {
	for _, name := range [...]string{"From", "Sender", "Reply-To", "Resent-From", "Resent-Sender", "Resent-Reply-To",
		"Errors-To", "Return-Receipt-To", "Disposition-Notification-To"} {
		if f.Is(name) {
			return HeaderSender
		}
	}
	for _, name := range [...]string{"To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc"} {
		if f.Is(name) {
			return HeaderRecipient
		}
	}
	return 0
}

// text returns what an address becomes that stands so in a header. What is no address stays.
func (j *job) text(written string, where Where) (string, error) {
	if len(written) > maxAddress {
		return written, nil
	}
	a, err := smtp.ParseAddress(written)
	if err != nil {
		if j.full == "" || strings.Contains(written, "@") {
			return written, nil
		}
		if a, err = smtp.ParseAddress(written + "@" + j.full); err != nil {
			return written, nil
		}
		became, err := j.rewrite(a, where)
		return became.String(), err
	}
	became, err := j.rewrite(a, where)
	if err != nil || became == a {
		return written, err
	}
	return became.String(), nil
}

// A span is where an address stands in the value of a field.
type span struct{ start, end int }

// addresses finds the addresses of an address-list (RFC 5322 section 3.4): what is in angle brackets,
// and where there are none, all that is between two commas but white space and comments at its ends.
func addresses(value []byte) []span {
	s := spanScanner{value: value}
	for s.pos < len(value) {
		s.step()
	}
	s.endAddress()
	return s.spans
}

// A spanScanner goes over the value of a field.
type spanScanner struct {
	value []byte
	pos   int
	spans []span

	plain  span // of the address without brackets that is being read; empty: none
	angled span
}

func (s *spanScanner) step() {
	switch c := s.value[s.pos]; c {
	case ' ', '\t', '\r', '\n':
		s.pos++
	case '(':
		s.skipComment()
	case ',', ';':
		s.endAddress()
		s.pos++
	case ':': // the name of a group
		s.pos++
		s.plain, s.angled = span{}, span{}
	case '<':
		s.angle()
	case '"':
		s.word(s.quotedEnd(s.pos))
	case '[':
		end := bytes.IndexByte(s.value[s.pos:], ']')
		if end < 0 {
			end = len(s.value) - s.pos - 1
		}
		s.word(s.pos + end + 1)
	default:
		s.word(s.pos + 1)
	}
}

// word adds what stands up to end to the address that is being read.
func (s *spanScanner) word(end int) {
	if s.plain.end == 0 {
		s.plain.start = s.pos
	}
	s.plain.end, s.pos = end, end
}

// quotedEnd returns where the quoted-string that begins at start ends.
func (s *spanScanner) quotedEnd(start int) int {
	for i := start + 1; i < len(s.value); i++ {
		switch s.value[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(s.value)
}

// skipComment goes past a comment, which may hold others.
func (s *spanScanner) skipComment() {
	depth := 0
	for ; s.pos < len(s.value); s.pos++ {
		switch s.value[s.pos] {
		case '\\':
			s.pos++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				s.pos++
				return
			}
		}
	}
	s.pos = len(s.value)
}

// angle reads an address in angle brackets. A source route before it stays.
func (s *spanScanner) angle() {
	begin := s.pos + 1
	for i := begin; i < len(s.value); i++ {
		switch s.value[i] {
		case '"':
			i = s.quotedEnd(i) - 1
		case ':':
			if s.value[begin] == '@' {
				begin = i + 1
			}
		case '>':
			s.angled = trimmed(s.value, span{begin, i})
			s.pos = i + 1
			return
		}
	}
	s.pos = len(s.value)
	s.plain = span{} // no end: this is no address
}

// trimmed returns at without the white space at its ends.
func trimmed(value []byte, at span) span {
	for at.start < at.end && strings.IndexByte(" \t\r\n", value[at.start]) >= 0 {
		at.start++
	}
	for at.start < at.end && strings.IndexByte(" \t\r\n", value[at.end-1]) >= 0 {
		at.end--
	}
	return at
}

// endAddress keeps the address that was being read.
func (s *spanScanner) endAddress() {
	at := s.plain
	if s.angled.end > 0 {
		at = s.angled
	}
	if at.end > at.start {
		s.spans = append(s.spans, at)
	}
	s.plain, s.angled = span{}, span{}
}
