package results

import (
	"strings"
	"unicode/utf8"
)

// maxLine is where lines are folded (RFC 5322 section 2.1.1).
const maxLine = 78

// String returns the value of the field on one line.
func (f Field) String() string { return strings.Join(f.parts(), "; ") }

// Append appends the field under a name, such as "Authentication-Results", with a line or more for each
// result and a line break at the end.
func (f Field) Append(dst []byte, name string) []byte {
	dst = append(append(dst, name...), ": "...)
	parts := f.parts()
	for i, part := range parts {
		if i < len(parts)-1 {
			part += ";"
		}
		if i > 0 {
			dst = append(dst, "\r\n\t"...)
		}
		dst = appendFolded(dst, part)
	}
	return append(dst, "\r\n"...)
}

// appendFolded appends text and breaks it before words that would make a line too long.
func appendFolded(dst []byte, text string) []byte {
	column := 8
	for i, word := range strings.Split(text, " ") {
		switch {
		case i == 0:
		case column+1+len(word) > maxLine && word != "":
			dst = append(dst, "\r\n "...) // the space itself, so that text in quotes stays as it is
			column = 1
		default:
			dst = append(dst, ' ')
			column++
		}
		dst = append(dst, word...)
		column += len(word)
	}
	return dst
}

// parts returns the authserv-id and each result as they stand between semicolons.
func (f Field) parts() []string {
	parts := []string{printValue(f.Server)}
	for _, r := range f.Results {
		parts = append(parts, r.String())
	}
	if len(f.Results) == 0 {
		parts = append(parts, "none")
	}
	return parts
}

// String returns one result as it stands between semicolons: "dkim=pass (good) header.d=example.org".
func (r Result) String() string {
	var b strings.Builder
	b.WriteString(keyword(r.Method) + "=" + keyword(r.Value))
	if comment := clean(r.Comment); comment != "" {
		b.WriteString(" (" + strings.NewReplacer(`\`, `\\`, "(", `\(`, ")", `\)`).Replace(comment) + ")")
	}
	if reason := clean(r.Reason); reason != "" {
		b.WriteString(" reason=" + printToken(reason))
	}
	for _, p := range r.Properties {
		b.WriteString(" " + keyword(p.Type) + "." + keyword(p.Name) + "=" + printValue(p.Value))
	}
	return b.String()
}

// keyword drops what a Keyword of RFC 5321 section 4.1.2 cannot hold. A few properties have underscores.
func keyword(s string) string {
	word := strings.Map(func(c rune) rune {
		if isKeyword(c) {
			return c
		}
		return -1
	}, strings.ToLower(s[:min(len(s), maxWord)]))
	if word == "" {
		return "unknown"
	}
	return word
}

func isKeyword(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// printValue prints an address as one, and any other text as a token or in quotes.
func printValue(s string) string {
	s = clean(s)
	if isAddress(s) {
		return s
	}
	return printToken(s)
}

func printToken(s string) string {
	bare := s != ""
	for i := range len(s) {
		bare = bare && isToken(s[i])
	}
	if bare {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// isToken tells whether c may stand in a token (RFC 2045 section 5.1).
func isToken(c byte) bool {
	return c > ' ' && c < 0x7f && !strings.ContainsRune(`()<>@,;:\"/[]?=`, rune(c))
}

// isAddress tells whether s is [ [ local-part ] "@" ] domain with a local-part that is a dot-atom or
// quoted. A domain alone is a token anyway.
func isAddress(s string) bool {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return false
	}
	local, domain := s[:at], s[at+1:]
	for i := range len(domain) {
		if !isDomainByte(domain[i]) {
			return false
		}
	}
	if domain == "" || local == "" {
		return domain != ""
	}
	if local[0] == '"' {
		text, rest, ok := cutQuoted(local)
		return ok && rest == "" && quoted(text) == local
	}
	for i := range len(local) {
		if !isAtext(local[i]) && local[i] != '.' {
			return false
		}
	}
	return true
}

func isDomainByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c >= 0x80
}

// isAtext tells whether c may stand in an atom (RFC 5322 section 3.2.3, RFC 6532 section 3.2).
func isAtext(c byte) bool {
	return c > ' ' && c != 0x7f && !strings.ContainsRune(`()<>[]:;@\,."`, rune(c))
}

func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// clean makes s fit for a field: valid UTF-8 on one line, within bounds, no space around it.
func clean(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
		for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
	}
	s = strings.ToValidUTF8(s, "?")
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, s)
	return strings.TrimSpace(s)
}
