package message

import "bytes"

// MaxLine is how many bytes a line may have without its CRLF (RFC 5322 section 2.1.1). MTAs may cut
// longer ones.
const MaxLine = 998

// A Shape is what matters about bytes to the hop that gets them.
type Shape struct {
	EightBit bool // a byte over 127
	NUL      bool
	BareCR   bool // CR without LF
	BareLF   bool // LF without CR
	LongLine bool // more than MaxLine bytes
}

// Binary tells whether only BINARYMIME (RFC 3030) carries this.
func (s Shape) Binary() bool { return s.NUL || s.BareCR || s.BareLF || s.LongLine }

// SevenBit tells whether every hop carries this.
func (s Shape) SevenBit() bool { return !s.EightBit && !s.Binary() }

// ShapeOf looks at all of b once.
func ShapeOf(b []byte) Shape {
	s := Shape{EightBit: !isASCII(b), NUL: bytes.IndexByte(b, 0) >= 0}
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		line := b
		if i >= 0 {
			line, b = b[:i], b[i+1:]
			if n := len(line); n > 0 && line[n-1] == '\r' {
				line = line[:n-1]
			} else {
				s.BareLF = true
			}
		} else {
			b = nil
		}
		s.LongLine = s.LongLine || len(line) > MaxLine
		s.BareCR = s.BareCR || bytes.IndexByte(line, '\r') >= 0
	}
	return s
}
