package wire

import "sync"

// bufferSize is the size of every buffer: the most plaintext of one TLS record (RFC 8446 section 5.1).
const bufferSize = 16 << 10

// buffers lends out buffers. It is shared by all connections, since its worth is that an idle one
// holds none.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// A buffer is bytes between r and w of a block on loan. Its zero value is empty and holds no block.
type buffer struct {
	block *[bufferSize]byte
	r, w  int
}

func (b *buffer) len() int { return b.w - b.r }

// bytes returns what is buffered.
func (b *buffer) bytes() []byte {
	if b.block == nil {
		return nil
	}
	return b.block[b.r:b.w]
}

// space returns the room behind the bytes, borrowing a block and moving the bytes to its front
// where that helps. It is empty when the block is full.
func (b *buffer) space() []byte {
	switch {
	case b.block == nil:
		b.block = buffers.Get().(*[bufferSize]byte)
	case b.r == b.w:
		b.r, b.w = 0, 0
	case b.r > 0:
		b.w = copy(b.block[:], b.block[b.r:b.w])
		b.r = 0
	}
	return b.block[b.w:]
}

// release gives the block back if nothing is in it.
func (b *buffer) release() {
	if b.block != nil && b.r == b.w {
		buffers.Put(b.block)
		*b = buffer{}
	}
}
