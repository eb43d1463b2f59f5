package message

import (
	"strings"
	"unicode"
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

// previewLine joins white space and drops control characters and those without width, which
// newsletters pad their previews with.
func previewLine(text string, max int) string {
	var b strings.Builder
	space := false
	for _, r := range text {
		switch {
		case unicode.IsSpace(r):
			space = b.Len() > 0
			continue
		case unicode.IsControl(r) || r == 0xAD || r == 0x34F || r >= 0x200B && r <= 0x200F || r == 0xFEFF || r == 0x2060:
			continue
		}
		if b.Len() >= max {
			return cutText(b.String(), max)
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return cutText(b.String(), max)
}
