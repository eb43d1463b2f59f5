package classifier

import (
	"path"
	"strings"

	"posthaste/message"
)

// body adds the structure of a message and the words of its text.
func (t *tokenizer) body(m *message.Message) {
	parts := 0
	m.Walk(func(p *message.Part) bool {
		parts++
		t.part(p)
		return parts < maxParts && !t.full()
	})
	t.add(originForm, kindParts, step(parts))
}

func (t *tokenizer) part(p *message.Part) {
	t.add(originType, kindType, clip(p.Type(), 64))
	if p.Encoding != "" {
		t.add(originType, kindEncoding, clip(p.Type()+" "+p.Encoding, 96))
	}
	if b := p.Params.Get("boundary"); b != "" {
		t.shape(originType, kindBoundary, b)
	}
	if c := p.Params.Get("charset"); c != "" {
		t.begin()
		t.appendLower(clip(c, 32))
		t.end(originType, kindCharset)
	}
	if f := p.Filename(); f != "" {
		t.begin()
		t.appendLower(clip(path.Ext(f), 12))
		t.end(originType, kindFile)
	}
	if p.Message != nil || p.IsMultipart() || !p.IsText() || t.left <= 0 {
		return
	}
	text := p.Text(t.left)
	t.left -= len(text)
	if p.Subtype == "html" || looksHTML(text) {
		t.html(text)
		return
	}
	t.text(originBody, text)
}

// looksHTML tells whether text that was declared to be plain is HTML.
func looksHTML(s string) bool {
	s = clip(s, 2048)
	i := strings.IndexByte(s, '<')
	if i < 0 {
		return false
	}
	s = strings.ToLower(s[i:])
	return strings.Contains(s, "<html") || strings.Contains(s, "<body") || strings.Contains(s, "<table")
}

// form adds what is seen in a message as a whole.
func (t *tokenizer) form() {
	t.add(originForm, kindText, step(t.count/20))
	if t.count > 20 {
		t.add(originForm, kindCaps, step(t.caps*50/t.count))
	}
}
