package message

import "bytes"

// usualFields is how many fields the header of a whole message is expected to have.
const usualFields = 24

// header indexes the fields at pos into part and moves pos to the body. It reports whether a
// delimiter ended the header: part has no body then, and pos is behind that delimiter.
//
// A part that begins with a line which is no field has no header: its author forgot the empty line.
func (p *parser) header(part *Part) (ended bool) {
	for p.pos < len(p.content) {
		line := p.content[p.pos:]
		if n := emptyLine(line); n > 0 {
			p.pos += n
			break
		}
		if d, ok := p.delimiterAt(p.pos); ok {
			d.start = p.pos // the line break before it ends a field
			p.next, p.pos, ended = d, d.end, true
			break
		}
		f := newField(line[:fieldLen(line)], p.pos)
		if p.pos == part.HeaderStart && f.nameEnd == 0 && !isFromLine(line) {
			break
		}
		p.pos += len(f.raw)
		p.keep(part, f)
	}
	part.BodyStart = p.pos
	if ended {
		part.BodyStart = p.next.start
	}
	part.Header.raw = p.content[part.HeaderStart:part.BodyStart]
	return ended
}

// keep appends f to the header of part, as long as the bound allows.
func (p *parser) keep(part *Part, f Field) {
	if p.fields--; p.fields < 0 {
		p.truncated = true
		return
	}
	if part.Header.fields == nil && part.HeaderStart == 0 {
		part.Header.fields = make([]Field, 0, usualFields)
	}
	part.Header.fields = append(part.Header.fields, f)
}

// fieldLen returns the length of the field that line begins with, its continuation lines included.
func fieldLen(line []byte) int {
	for n := 0; ; {
		i := bytes.IndexByte(line[n:], '\n')
		if i < 0 {
			return len(line)
		}
		n += i + 1
		if n == len(line) || line[n] != ' ' && line[n] != '\t' {
			return n
		}
	}
}

// newField splits raw at its colon. The name is any printable ASCII (RFC 5322 section 2.2), with
// white space before the colon as section 4.5 still allows.
func newField(raw []byte, start int) Field {
	f := Field{Start: start, raw: raw}
	for i, c := range raw {
		if c > ' ' && c != ':' && c < 0x7f {
			continue
		}
		end := i
		for i < len(raw) && (raw[i] == ' ' || raw[i] == '\t') {
			i++
		}
		if end > 0 && i < len(raw) && raw[i] == ':' {
			f.nameEnd, f.valueStart = int32(end), int32(i+1)
		}
		break
	}
	return f
}

// emptyLine returns the length of the line break that line begins with, or 0.
func emptyLine(line []byte) int {
	switch {
	case line[0] == '\n':
		return 1
	case line[0] == '\r' && len(line) > 1 && line[1] == '\n':
		return 2
	}
	return 0
}

// isFromLine recognises the separator of mbox files, which gets into mail by accident.
func isFromLine(line []byte) bool {
	return bytes.HasPrefix(line, []byte("From ")) || bytes.HasPrefix(line, []byte(">From "))
}
