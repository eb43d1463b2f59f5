package imap

import "bytes"

// AppendBody prints BODY, the form without extension data, from a printed BODYSTRUCTURE (RFC 9051
// section 7.5.2). It prints nothing when structure is none.
func AppendBody(dst, structure []byte) []byte {
	b := bodyShortener{src: structure}
	out := b.body(dst, 0)
	if b.failed {
		return dst
	}
	return out
}

// A bodyShortener walks over a printed BODYSTRUCTURE.
type bodyShortener struct {
	src    []byte
	pos    int
	failed bool
}

// maxBodyDepth bounds the nesting, which package message bounds lower.
const maxBodyDepth = 1000

func (b *bodyShortener) body(dst []byte, depth int) []byte {
	if depth > maxBodyDepth || !b.accept('(') {
		b.failed = true
		return dst
	}
	dst = append(dst, '(')
	if b.peek() == '(' {
		for b.peek() == '(' && !b.failed {
			dst = b.body(dst, depth+1)
		}
		dst = b.copy(dst, 1) // subtype
	} else {
		isText := bytes.HasPrefix(b.src[b.pos:], []byte(`"TEXT"`))
		dst = b.copy(dst, 7)
		if bytes.HasPrefix(b.src[b.pos:], []byte(" (")) { // of a message: envelope, body, lines
			dst = b.copy(dst, 1)
			b.accept(' ')
			dst = b.body(append(dst, ' '), depth+1)
			isText = true
		}
		if isText {
			dst = b.copy(dst, 1) // lines
		}
	}
	for b.peek() != ')' && !b.failed {
		b.accept(' ')
		b.skip()
	}
	b.accept(')')
	return append(dst, ')')
}

// copy prints the next n values with the spaces before them.
func (b *bodyShortener) copy(dst []byte, n int) []byte {
	start := b.pos
	for range n {
		b.accept(' ')
		b.skip()
	}
	return append(dst, b.src[start:b.pos]...)
}

// skip moves over one value: a list, a string, a number or NIL.
func (b *bodyShortener) skip() {
	depth, start := 0, b.pos
	for !b.failed {
		switch b.peek() {
		case 0:
			b.failed = true
			return
		case '(':
			b.pos++
			depth++
			continue
		case ')':
			b.pos++
			depth--
		case ' ':
			b.pos++
			continue
		case '"', '{':
			s := scanner{src: b.src, pos: b.pos}
			s.stringBytes()
			b.pos, b.failed = s.pos, s.err != nil
		default:
			for c := b.peek(); c != 0 && c != ' ' && c != ')' && c != '('; c = b.peek() {
				b.pos++
			}
		}
		if depth <= 0 {
			b.failed = b.failed || depth < 0 || b.pos == start
			return
		}
	}
}

func (b *bodyShortener) peek() byte {
	if b.pos >= len(b.src) {
		return 0
	}
	return b.src[b.pos]
}

func (b *bodyShortener) accept(c byte) bool {
	if b.peek() != c {
		return false
	}
	b.pos++
	return true
}
