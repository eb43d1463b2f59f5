package message

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// Where only the begin of a text is wanted, so many bytes are looked at for each byte of it. Text that
// is encoded less densely comes out shorter.
const (
	maxExpansion = 12 // of transfer encoding and charset
	maxCharset   = 4  // of charset
)

// Text returns p's text in UTF-8: transfer encoding and charset decoded, line ends as "\n", at most
// limit bytes of it. A limit of 0 is no limit. Unknown encodings and charsets give a best guess.
// HTML stays HTML: see [Part.PlainText]. A part that is not text gives its bytes as if it were.
func (p *Part) Text(limit int) string {
	body := p.Body()
	if limit > 0 {
		body = body[:min(len(body), limit*maxExpansion)]
	}
	if p.Encoding == "base64" || p.Encoding == "quoted-printable" {
		body, _ = decodeTransfer(nil, body, p.Encoding)
	}
	if limit > 0 {
		body = body[:min(len(body), limit*maxCharset)]
	}
	text, _ := DecodeCharset(body, p.charset(body))
	if strings.Contains(text, "\r") {
		text = strings.ReplaceAll(text, "\r\n", "\n")
	}
	return cutText(text, limit)
}

// charset returns the declared charset, for HTML without one what its head says.
func (p *Part) charset(body []byte) string {
	if c := p.Params.Get("charset"); c != "" || p.Subtype != "html" {
		return c
	}
	return htmlCharset(body)
}

// PlainText returns p's text as Text does, HTML without its tags.
func (p *Part) PlainText(limit int) string {
	if p.Subtype != "html" || p.MediaType != "text" {
		return p.Text(limit)
	}
	if limit <= 0 {
		return PlainFromHTML(p.Text(0), maxHTMLText)
	}
	return PlainFromHTML(p.Text(limit*maxMarkup), limit)
}

// maxMarkup is how much of an HTML part is looked at for each byte of text wanted: newsletters begin
// with a lot of style.
const maxMarkup = 256

// cutText returns the first limit bytes of s at most and keeps characters whole.
func cutText(s string, limit int) string {
	if limit <= 0 || len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// IsText tells whether p is a text part.
func (p *Part) IsText() bool { return p.MediaType == "text" }

// IsAttachment tells whether p is for saving rather than reading.
func (p *Part) IsAttachment() bool {
	return p.Disposition == "attachment" || p.Filename() != "" && p.Disposition != "inline"
}

// Filename returns the decoded name the sender suggests for a file, as it was sent: it may hold
// path separators and worse (RFC 2183 section 2.3).
func (p *Part) Filename() string {
	if name := p.DispositionParams.Get("filename"); name != "" {
		return name
	}
	return p.Params.Get("name")
}

// Walk calls visit for every part, parents first, enclosed messages as well, until it returns false.
func (m *Message) Walk(visit func(*Part) bool) { m.Root.walk(visit) }

func (p *Part) walk(visit func(*Part) bool) bool {
	if !visit(p) {
		return false
	}
	if p.Message != nil {
		return p.Message.Root.walk(visit)
	}
	for _, c := range p.Children {
		if !c.walk(visit) {
			return false
		}
	}
	return true
}

// SearchText calls yield with the text a person would find by searching the body: every text part
// decoded, HTML without its tags, and the header of each enclosed message. It stops when yield
// returns false.
func (m *Message) SearchText(yield func(text string) bool) {
	m.Walk(func(p *Part) bool {
		if p.Message != nil {
			return yield(p.Message.Header.decoded())
		}
		return !p.IsText() || yield(p.PlainText(0))
	})
}

// decoded returns all fields, a line each, decoded.
func (h Header) decoded() string {
	var b strings.Builder
	for _, f := range h.fields {
		b.Write(f.Name())
		b.WriteString(": ")
		b.WriteString(f.Text())
		b.WriteByte('\n')
	}
	return b.String()
}

// maxCharsetSearch is how far into HTML its charset is looked for, as browsers do.
const maxCharsetSearch = 1024

// htmlCharset finds charset=… in the head of HTML.
func htmlCharset(body []byte) string {
	head := bytes.ToLower(body[:min(len(body), maxCharsetSearch)])
	_, rest, ok := bytes.Cut(head, []byte("charset="))
	if !ok {
		return ""
	}
	rest = bytes.TrimLeft(rest, `"' `)
	if end := bytes.IndexAny(rest, "\"' />;"); end >= 0 {
		return string(rest[:end])
	}
	return ""
}
