package message

import (
	"bytes"
	"strings"
)

// maxBoundary is the longest boundary that is looked for: RFC 2046 section 5.1.1 allows 70, some
// programs write more, and a line has 998 bytes.
const maxBoundary = 996

// Parse indexes content, which stays the caller's and must not change. It never fails.
func Parse(content []byte) *Message {
	p := parser{content: content, fields: MaxFields, parts: MaxParts}
	m := &Message{Content: content}
	m.Root = p.entity(0, false)
	m.Header = m.Root.Header
	m.Truncated = p.truncated
	return m
}

// A parser walks once over content. open holds the boundaries of the multiparts around pos, the
// innermost last; every one of them ends whatever is inside it, so a missing closing delimiter
// costs no second look.
type parser struct {
	content   []byte
	pos       int
	open      []string
	next      delimiter // the delimiter that ended the last body
	parts     int       // still allowed
	fields    int       // still allowed
	truncated bool
}

// A delimiter is a line that separates parts (RFC 2046 section 5.1.1).
type delimiter struct {
	start  int  // where the body before it ends: its line break belongs to it
	end    int  // after its line
	level  int  // index into parser.open, -1 for the end of content
	closes bool // it ends in "--"
}

// entity parses the part that begins at pos, up to the delimiter that ends it, which it leaves in
// p.next.
func (p *parser) entity(depth int, inDigest bool) *Part {
	p.parts--
	part := &Part{content: p.content, HeaderStart: p.pos}
	ended := p.header(part)
	part.describe(inDigest)
	switch {
	case ended: // a delimiter inside the header
		part.opaque()
	case part.MediaType == "multipart":
		p.multipart(part, depth)
	case part.MediaType == "message" && (part.Subtype == "rfc822" || part.Subtype == "global"):
		p.message(part, depth)
	default:
		p.skip()
	}
	part.End = max(p.next.start, part.BodyStart)
	if part.MediaType == "text" || part.MediaType == "message" {
		part.Lines = bytes.Count(part.Body(), []byte("\n"))
	}
	return part
}

// skip moves to the next delimiter.
func (p *parser) skip() {
	p.next = p.delimiter(p.pos)
	p.pos = p.next.end
}

// multipart parses the children of part. Preamble and epilogue stay unindexed.
func (p *parser) multipart(part *Part, depth int) {
	boundary := strings.TrimRight(part.Params.Get("boundary"), " ")
	if depth >= MaxDepth {
		p.truncated = true
	}
	if boundary == "" || len(boundary) > maxBoundary || depth >= MaxDepth {
		part.opaque()
		p.skip()
		return
	}
	level := len(p.open)
	p.open = append(p.open, boundary)
	p.skip()
	for p.next.level == level && !p.next.closes && p.pos < len(p.content) {
		if p.parts <= 0 {
			p.truncated = true
			p.skip()
			continue
		}
		part.Children = append(part.Children, p.entity(depth+1, part.Subtype == "digest"))
	}
	p.open = p.open[:level]
	if p.next.level == level {
		p.skip() // the epilogue
	}
	if len(part.Children) == 0 {
		part.opaque()
	}
}

// message parses the message enclosed in part. RFC 2046 section 5.2.1 forbids to encode one; where
// that was done nevertheless, it is a file to save.
func (p *parser) message(part *Part, depth int) {
	deep := depth >= MaxDepth || p.parts <= 0
	p.truncated = p.truncated || deep
	if deep || part.Encoding == "base64" || part.Encoding == "quoted-printable" {
		part.opaque()
		p.skip()
		return
	}
	root := p.entity(depth+1, false)
	part.Message = &Message{Content: p.content, Header: root.Header, Root: root}
}

// opaque makes of part what it can be without its structure.
func (part *Part) opaque() {
	part.broken = true
	switch {
	case part.MediaType == "multipart":
		part.MediaType, part.Subtype = "text", "plain"
	case part.MediaType == "message" && (part.Subtype == "rfc822" || part.Subtype == "global"):
		part.MediaType, part.Subtype = "application", "octet-stream"
	}
}

// delimiter finds the next delimiter of an open multipart in a line that begins at from or later.
func (p *parser) delimiter(from int) delimiter {
	none := delimiter{start: len(p.content), end: len(p.content), level: -1}
	if len(p.open) == 0 {
		return none
	}
	if d, ok := p.delimiterAt(from); ok {
		d.start = from // the line break before it ended the header
		return d
	}
	for pos := from; ; {
		i := bytes.Index(p.content[pos:], []byte("\n--"))
		if i < 0 {
			return none
		}
		pos += i + 1
		if d, ok := p.delimiterAt(pos); ok {
			return d
		}
	}
}

// delimiterAt tells whether the line at pos is a delimiter: it is enough that it begins with a
// boundary (RFC 2046 section 5.1.1). Of several the longest counts, of equal ones the innermost.
func (p *parser) delimiterAt(pos int) (delimiter, bool) {
	line := p.content[pos:]
	if len(p.open) == 0 || len(line) < 3 || line[0] != '-' || line[1] != '-' {
		return delimiter{}, false
	}
	line = line[2:]
	level, length := -1, 0
	for i := len(p.open) - 1; i >= 0; i-- {
		if b := p.open[i]; len(b) > length && len(line) >= len(b) && string(line[:len(b)]) == b {
			level, length = i, len(b)
		}
	}
	if level < 0 {
		return delimiter{}, false
	}
	d := delimiter{start: beforeBreak(p.content, pos), end: len(p.content), level: level}
	d.closes = bytes.HasPrefix(line[length:], []byte("--"))
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		d.end = pos + 2 + i + 1
	}
	return d, true
}

// beforeBreak returns where the line break before pos begins.
func beforeBreak(content []byte, pos int) int {
	if pos > 0 && content[pos-1] == '\n' {
		pos--
		if pos > 0 && content[pos-1] == '\r' {
			pos--
		}
	}
	return pos
}

// ParseHeader indexes the header of content only. The body begins at len(Header.Raw()).
func ParseHeader(content []byte) Header {
	p := parser{content: content, fields: MaxFields}
	part := &Part{content: content}
	p.header(part)
	return part.Header
}
