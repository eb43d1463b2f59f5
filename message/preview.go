package message

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// previewFactor is how many bytes of text are looked at for each byte of preview, because quotes
// and white space are left out.
const previewFactor = 8

// Preview returns the begin of the text a person would read first, on one line, at most max bytes,
// or "" when there is none. Quoted lines are left out where something else is said.
func (m *Message) Preview(max int) string {
	plain, html := m.Root.readable()
	for _, p := range []*Part{plain, html} {
		if p == nil {
			continue
		}
		text := p.PlainText(max * previewFactor)
		if s := previewLine(unquoted(text), max); s != "" {
			return s
		}
		if s := previewLine(text, max); s != "" {
			return s
		}
	}
	return ""
}

// readable returns the first plain and the first HTML text of p that is no attachment and not in an
// enclosed message.
func (p *Part) readable() (plain, html *Part) {
	if p.Message != nil || p.IsAttachment() {
		return nil, nil
	}
	if p.IsText() {
		if p.Subtype == "html" {
			return nil, p
		}
		return p, nil
	}
	for _, c := range p.Children {
		cp, ch := c.readable()
		if plain == nil {
			plain = cp
		}
		if html == nil {
			html = ch
		}
		if plain != nil && (html != nil || p.Subtype != "alternative") {
			break
		}
	}
	return plain, html
}

// unquoted leaves out the lines that begin with ">".
func unquoted(text string) string {
	if !strings.Contains(text, ">") {
		return text
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, ">") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// previewLine joins white space and drops what is not seen.
func previewLine(text string, max int) string {
	out := make([]byte, 0, min(max, len(text)))
	space := false
	for _, r := range text {
		switch {
		case r == ' ' || r == '\n' || unicode.IsSpace(r):
			space = len(out) > 0
			continue
		case r < 0x7f && r > ' ':
		case isInvisible(r):
			continue
		}
		if len(out) >= max {
			return cutText(string(out), max)
		}
		if space {
			out = append(out, ' ')
			space = false
		}
		out = utf8.AppendRune(out, r)
	}
	return cutText(string(out), max)
}

// isInvisible knows control characters and those without width, which newsletters pad their
// previews with.
func isInvisible(r rune) bool {
	return unicode.IsControl(r) || r == 0xAD || r == 0x34F || r >= 0x200B && r <= 0x200F || r == 0x2060 || r == 0xFEFF
}
