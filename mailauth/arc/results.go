package arc

import (
	"strings"
)

// Bounds on what is read of one list of results.
const (
	maxFindings   = 100
	maxProperties = 20 // of one finding
)

// A Finding is one result of an Authentication-Results field (RFC 8601 section 2.2).
type Finding struct {
	Method     string     `json:"method"` // lower case: "spf", "dkim", "dmarc"
	Result     string     `json:"result"` // lower case: "pass"
	Reason     string     `json:"reason,omitempty"`
	Properties []Property `json:"properties,omitempty"`
}

// A Property says what a result is about, as smtp.mailfrom=ann@north.test.
type Property struct {
	Name  string `json:"name"` // lower case: "header.d"
	Value string `json:"value"`
}

// Get returns the first property of that name, or "".
func (f Finding) Get(name string) string {
	for _, p := range f.Properties {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// parseResults reads "authserv-id; method=result property=value; …". What is malformed is left out.
func parseResults(text string) (authserv string, findings []Finding) {
	s := scanner{in: text}
	authserv = s.word(" ;")
	s.skip(';')
	for !s.end() && len(findings) < maxFindings {
		if f, ok := s.finding(); ok {
			findings = append(findings, f)
		}
		s.skip(';')
	}
	return authserv, findings
}

// A scanner moves forward through a field, so that it takes linear time.
type scanner struct {
	in  string
	pos int
}

func (s *scanner) end() bool {
	s.space()
	return s.pos >= len(s.in)
}

// space skips white space and comments. A comment without its end goes to the end.
func (s *scanner) space() {
	depth := 0
	for ; s.pos < len(s.in); s.pos++ {
		switch c := s.in[s.pos]; {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == '\\' && depth > 0:
			s.pos++
		case depth == 0 && c != ' ' && c != '\t' && c != '\r' && c != '\n':
			return
		}
	}
	s.pos = min(s.pos, len(s.in))
}

// word reads a quoted-string, or all up to white space, a comment or one of stops.
func (s *scanner) word(stops string) string {
	s.space()
	if s.pos < len(s.in) && s.in[s.pos] == '"' {
		return s.quoted()
	}
	start := s.pos
	for s.pos < len(s.in) && s.in[s.pos] > ' ' && s.in[s.pos] != '(' && strings.IndexByte(stops, s.in[s.pos]) < 0 {
		s.pos++
	}
	return s.in[start:s.pos]
}

func (s *scanner) quoted() string {
	var out []byte
	for s.pos++; s.pos < len(s.in); s.pos++ {
		switch c := s.in[s.pos]; c {
		case '"':
			s.pos++
			return string(out)
		case '\\':
			if s.pos++; s.pos < len(s.in) {
				out = append(out, s.in[s.pos])
			}
		default:
			out = append(out, c)
		}
	}
	s.pos = len(s.in)
	return string(out)
}

func (s *scanner) take(c byte) bool {
	s.space()
	if s.pos < len(s.in) && s.in[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

// skip moves behind the next c that is in no quotes and no comment.
func (s *scanner) skip(c byte) {
	for !s.end() {
		switch s.in[s.pos] {
		case c:
			s.pos++
			return
		case '"':
			s.quoted()
		default:
			s.pos++
		}
	}
}

// finding reads one result.
func (s *scanner) finding() (f Finding, ok bool) {
	f.Method, _, _ = strings.Cut(strings.ToLower(s.word("=;/")), "/")
	if s.take('/') {
		s.word("=;") // the version of the method
	}
	if f.Method == "" || !s.take('=') {
		return f, false
	}
	f.Result = strings.ToLower(s.word(";"))
	for len(f.Properties) < maxProperties {
		name := strings.ToLower(s.word("=;"))
		if name == "" || !s.take('=') {
			break
		}
		value := s.word(";")
		if name == "reason" {
			f.Reason = value
			continue
		}
		f.Properties = append(f.Properties, Property{name, value})
	}
	return f, f.Result != ""
}
