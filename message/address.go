package message

import (
	"bytes"
	"iter"
	"strings"

	"posthaste/mail"

	"golang.org/x/net/idna"
)

// Bounds on reading one address field.
const (
	maxAddresses = 50_000
	maxPhrase    = 1000 // words of a display name; of more only the last is kept
	maxLiteral   = 300  // an address literal "[...]"
)

// A MailAddress is an address of a header field (RFC 5322 section 3.4): a mailbox or a group.
type MailAddress struct {
	// Name is the display name as people read it, decoded to UTF-8: the phrase, or where there is
	// none the comment after an old-style address.
	Name string
	// Phrase is Name unquoted but with its encoded words as they came, for IMAP's ENVELOPE.
	Phrase string

	Route  string // obsolete source route "@a,@b" (RFC 5322 section 4.4), or empty
	Local  string // unquoted; what is no address is here alone
	Domain string // as written, in any case and alphabet

	// Group tells that this is the group called Name, made of Members, which may be none.
	Group   bool
	Members []MailAddress
}

// Address returns a as a noun: its domain in lower case and A-labels where it has that form. A group
// gives the zero Address.
func (a MailAddress) Address() mail.Address {
	domain := strings.ToLower(a.Domain)
	if !isASCII(domain) {
		if ascii, err := idna.Lookup.ToASCII(a.Domain); err == nil {
			domain = ascii
		}
	}
	return mail.Address{Local: a.Local, Domain: domain}
}

// Mailboxes yields the addresses of list with those in groups, and no groups.
func Mailboxes(list []MailAddress) iter.Seq[MailAddress] {
	return func(yield func(MailAddress) bool) {
		for _, a := range list {
			if !a.Group {
				if !yield(a) {
					return
				}
				continue
			}
			for _, m := range a.Members {
				if !yield(m) {
					return
				}
			}
		}
	}
}

// ParseAddresses reads an address-list with everything that is obsolete or merely common. What
// cannot be read does not hide what follows it.
func ParseAddresses(s string) []MailAddress { return parseAddresses([]byte(s)) }

// parseAddresses reads a value that may be folded.
func parseAddresses(value []byte) []MailAddress {
	if len(value) == 0 {
		return nil
	}
	p := addressParser{scanner: scanner{in: value[:min(len(value), MaxValue)]}}
	p.words = p.few[:0]
	for p.pos < len(p.in) && p.count < maxAddresses {
		p.step()
	}
	p.endGroup()
	return p.list
}

// An addressParser collects the words up to a "," and turns them into an address there. What they
// are shows only at "<", "@" and ":".
type addressParser struct {
	scanner
	list    []MailAddress
	count   int
	group   *MailAddress
	words   []word // of a phrase, or of a local-part before its "@"
	few     [8]word
	comment string // the last one
	addr    MailAddress
	some    bool // addr has an address
	angled  bool // which stood in angle brackets
	before  int  // so many of words came before addr
}

// A word is an atom with its dots, or a quoted-string.
type word struct {
	text   []byte
	spaced bool // white space or a comment stands before it
}

// step reads one token.
func (p *addressParser) step() {
	spaced := p.skipSpace()
	if p.pos >= len(p.in) {
		return
	}
	switch c := p.in[p.pos]; {
	case c == ',':
		p.pos++
		p.endAddress()
	case c == ';':
		p.pos++
		p.endGroup()
	case c == ':' && p.group == nil && !p.some:
		p.pos++
		p.beginGroup()
	case c == '<':
		p.beforeAngle()
		p.angle()
	case c == '@':
		p.pos++
		if p.some {
			p.split()
		}
		p.bareAddress()
	case c == '"':
		p.add(word{p.quoted(), spaced})
	case isPhrase(c):
		p.add(word{p.atom(), spaced})
	default:
		p.pos++
	}
}

// add keeps w. Beyond the bound it replaces the last word, which may be a local-part.
func (p *addressParser) add(w word) {
	if len(p.words) == maxPhrase {
		p.words = p.words[:maxPhrase-1]
	}
	p.words = append(p.words, w)
}

// split ends the address before the words that came after it: a comma is missing, and what follows is
// another address. Nobody is to hide a second one from us that others see.
func (p *addressParser) split() {
	next := p.words[p.before:]
	p.words = p.words[:p.before]
	p.endAddress()
	p.words = append(p.words, next...)
}

// skipSpace skips white space and comments, and keeps the last comment.
func (p *addressParser) skipSpace() bool {
	start := p.pos
	for p.pos < len(p.in) {
		switch p.in[p.pos] {
		case ' ', '\t', '\r', '\n', 0:
			p.pos++
			continue
		case '(':
			if inside, ok := p.scanner.comment(); ok {
				p.comment = string(bytes.TrimSpace(unescape(inside, bytes.IndexByte(inside, '\\') < 0)))
				continue
			}
		}
		break
	}
	return p.pos > start
}

// isPhrase reports a byte that can stand in a word: all but the specials that end one.
func isPhrase(c byte) bool {
	switch c {
	case '<', ',', ';', ':', '@', '"':
		return false
	}
	return c > ' '
}

// atom reads a word without quotes. An encoded word may hold what else would end it.
func (p *addressParser) atom() []byte {
	start := p.pos
	if bytes.HasPrefix(p.in[p.pos:], []byte("=?")) {
		head := p.in[p.pos:min(len(p.in), p.pos+2*maxWord+maxCharsetName)]
		if _, n := parseWord(string(head)); n > 0 && bytes.IndexByte(head[:n], '<') < 0 {
			p.pos += n
			return p.in[start:p.pos]
		}
	}
	for p.pos < len(p.in) && isPhrase(p.in[p.pos]) && (p.in[p.pos] != '(' || p.pos == start) {
		p.pos++
	}
	return p.in[start:p.pos]
}

// angle reads "<" [route] addr-spec ">". Where ">" is missing, the address ends at the next comma.
func (p *addressParser) angle() {
	inside := p.untilAngle()
	in := scanner{in: inside}
	if in.take('@') {
		if colon := bytes.IndexByte(inside, ':'); colon >= 0 {
			p.addr.Route = strings.TrimSpace(string(inside[:colon]))
			in = scanner{in: inside[colon+1:]}
		} else {
			in.pos = 0
		}
	}
	p.addr.Local, p.addr.Domain = addrSpec(&in)
	p.some, p.angled, p.before = true, true, len(p.words)
}

// beforeAngle makes room for the address in angle brackets when there is one already: a bare one was
// meant as the name; after another in brackets a comma is missing.
func (p *addressParser) beforeAngle() {
	switch {
	case !p.some:
	case p.angled:
		p.split()
	default:
		name := word{text: []byte(p.addr.Local + "@" + p.addr.Domain), spaced: true}
		p.words = append(p.words, name)
		p.addr, p.some = MailAddress{}, false
	}
}

// untilAngle moves behind ">" and returns what is before it, from behind "<".
func (p *addressParser) untilAngle() []byte {
	start, comma, quotes := p.pos+1, -1, true
	for i := start; i < len(p.in); i++ {
		switch p.in[i] {
		case '"':
			q := scanner{in: p.in, pos: i}
			if !quotes {
				continue
			}
			if q.quoted(); q.pos < len(p.in) {
				i = q.pos - 1
			}
			quotes = q.pos < len(p.in) // without its end it is a letter, and so are all after it
		case '>':
			p.pos = i + 1
			return p.in[start:i]
		case '<':
			if comma >= 0 {
				p.pos = comma
				return p.in[start:comma]
			}
		case ',':
			if comma < 0 {
				comma = i
			}
		}
	}
	if comma < 0 {
		comma = len(p.in)
	}
	p.pos = comma
	return p.in[start:comma]
}

// addrSpec reads local-part "@" domain, with white space and comments around every word as old mail
// has it (RFC 5322 section 4.4). Without "@" all is the local-part.
func addrSpec(s *scanner) (local, domain string) {
	if rest := s.in[s.pos:]; !bytes.ContainsAny(rest, "\" \t\r\n\x00([,;:<") {
		before, after, _ := bytes.Cut(rest, []byte("@"))
		return string(before), string(after)
	}
	var b []byte
	for !s.end() {
		switch c := s.in[s.pos]; c {
		case '"':
			b = append(b, s.quoted()...)
		case '@':
			s.pos++
			return string(b), s.domain()
		default:
			b = append(b, c)
			s.pos++
		}
	}
	return string(b), ""
}

// domain reads a domain or an address literal, up to what cannot belong to it. White space and
// comments may stand around its dots.
func (s *scanner) domain() string {
	var b []byte
	for {
		before := s.pos
		s.space()
		part := s.domainPart()
		joins := len(b) == 0 || len(part) > 0 && (b[len(b)-1] == '.' || part[0] == '.')
		if len(part) == 0 || !joins {
			s.pos = before
			return string(b)
		}
		b = append(b, part...)
	}
}

// domainPart reads what stands together, a literal in brackets with its white space.
func (s *scanner) domainPart() []byte {
	start := s.pos
	if start < len(s.in) && s.in[start] == '[' {
		end := bytes.IndexByte(s.in[start:min(len(s.in), start+maxLiteral)], ']')
		if end >= 0 {
			s.pos += end + 1
			return s.in[start:s.pos]
		}
	}
	for s.pos < len(s.in) && isPhrase(s.in[s.pos]) && s.in[s.pos] != '>' && s.in[s.pos] != '(' {
		s.pos++
	}
	return s.in[start:s.pos]
}

// bareAddress reads the domain behind "@"; the words before it that dots or nothing join are the
// local-part, the others the phrase.
func (p *addressParser) bareAddress() {
	first := len(p.words) - 1
	for first > 0 && joined(p.words[first-1], p.words[first]) {
		first--
	}
	first = max(first, 0)
	var local []byte
	for _, w := range p.words[first:] {
		local = append(local, w.text...)
	}
	p.words = p.words[:first]
	p.addr.Local = string(local)
	p.addr.Domain = p.domain()
	p.some, p.before = true, len(p.words)
}

func joined(a, b word) bool {
	return !b.spaced || len(a.text) > 0 && a.text[len(a.text)-1] == '.' || len(b.text) > 0 && b.text[0] == '.'
}

// phrase joins the words to a display name.
func (p *addressParser) phrase() string {
	if len(p.words) == 1 {
		return string(bytes.TrimSpace(p.words[0].text))
	}
	var b []byte
	for i, w := range p.words {
		if i > 0 && w.spaced {
			b = append(b, ' ')
		}
		b = append(b, w.text...)
	}
	return string(bytes.TrimSpace(b))
}

// endAddress appends the address that the tokens since the last one make.
func (p *addressParser) endAddress() {
	a := p.addr
	a.Phrase = p.phrase()
	switch {
	case !p.some && a.Phrase == "":
		p.reset()
		return
	case !p.some: // words alone: a local name, as "root"
		a.Local, a.Phrase = a.Phrase, ""
	}
	if a.Phrase == "" {
		a.Phrase = p.comment
	}
	a.Name = DecodeWords(a.Phrase)
	p.count++
	if p.group != nil {
		p.group.Members = append(p.group.Members, a)
	} else {
		p.list = append(p.list, a)
	}
	p.reset()
}

func (p *addressParser) reset() {
	p.words, p.comment, p.addr, p.some, p.angled = p.words[:0], "", MailAddress{}, false, false
}

func (p *addressParser) beginGroup() {
	phrase := p.phrase()
	p.group = &MailAddress{Group: true, Phrase: phrase, Name: DecodeWords(phrase)}
	p.count++
	p.reset()
}

// endGroup appends the group, if one is open, else it ends an address: some write ";" for ",".
func (p *addressParser) endGroup() {
	p.endAddress()
	if p.group != nil {
		p.list = append(p.list, *p.group)
		p.group = nil
	}
}
