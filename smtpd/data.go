package smtpd

import "bytes"

// A lineState is where in the text of DATA the decoder stands.
type lineState uint8

const (
	lineStart  lineState = iota // after CRLF, or at the beginning
	inText                      // anywhere in a line
	afterCR                     // after a CR that is not written yet
	afterDot                    // after "." at the start of a line, not written
	afterDotCR                  // after "." CR at the start of a line, not written
)

// A decoder undoes the transparency of DATA (RFC 5321 section 4.5.2) block by block, wherever blocks
// begin and end. Only CRLF makes a line: a dot after a bare CR or LF is text and ends nothing.
type decoder struct {
	state lineState
	bare  bool // a CR or LF that is no part of a CRLF was seen
	fix   bool // write CRLF in its place
}

// A writer takes decoded text.
type writer interface{ write([]byte) }

var (
	crlf = []byte("\r\n")
	cr   = []byte("\r")
	lf   = []byte("\n")
)

// decode writes the text in src to w, and returns how much of src it used and whether the end came.
// All is used unless the end came.
func (d *decoder) decode(w writer, src []byte) (used int, end bool) {
	for i := 0; i < len(src); {
		switch d.state {
		case lineStart:
			d.state = inText
			if src[i] == '.' {
				d.state = afterDot
				i++
			}
		case afterDot:
			d.state = inText
			if src[i] == '\r' {
				d.state = afterDotCR
				i++
			}
		case afterDotCR:
			if src[i] == '\n' {
				d.state = lineStart
				return i + 1, true
			}
			d.writeBare(w, cr)
			d.state = inText
		case afterCR:
			if src[i] == '\n' {
				w.write(crlf)
				d.state = lineStart
				i++
				break
			}
			d.writeBare(w, cr)
			d.state = inText
		case inText:
			i += d.decodeText(w, src[i:])
		}
	}
	return len(src), false
}

// decodeText handles src, not empty, up to the end of its line or to a CR that may be bare.
func (d *decoder) decodeText(w writer, src []byte) int {
	n := bytes.IndexByte(src, '\n')
	line := src
	if n >= 0 {
		line = src[:n]
	}
	c := bytes.IndexByte(line, '\r')
	switch {
	case c >= 0 && c == len(line)-1 && n >= 0:
		w.write(src[:n+1])
		d.state = lineStart
		return n + 1
	case c >= 0:
		w.write(line[:c])
		d.state = afterCR
		return c + 1
	case n >= 0:
		w.write(line)
		d.writeBare(w, lf)
		return n + 1
	default:
		w.write(line)
		return len(line)
	}
}

func (d *decoder) writeBare(w writer, b []byte) {
	d.bare = true
	if d.fix {
		b = crlf
	}
	w.write(b)
}
