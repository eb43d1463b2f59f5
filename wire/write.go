package wire

import "io"

// writeChunk bounds what one write timeout has to suffice for.
const writeChunk = 256 << 10

// Write buffers p. It sends when the buffer is full; what it could not send shows in a later error
// too, at the latest in that of Flush.
func (c *Conn) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 && c.werr == nil {
		if c.out.len() == 0 && len(p) >= bufferSize {
			n := min(len(p), writeChunk)
			c.send(p[:n])
			p, written = p[n:], written+n
			continue
		}
		n := copy(c.out.space(), p)
		c.out.w += n
		p, written = p[n:], written+n
		if len(p) > 0 {
			c.flush()
		}
	}
	return written, c.werr
}

// WriteString buffers s as [Conn.Write] does.
func (c *Conn) WriteString(s string) (int, error) {
	if c.werr == nil {
		if space := c.out.space(); len(s) <= len(space) {
			c.out.w += copy(space, s)
			return len(s), nil
		}
	}
	return c.Write([]byte(s))
}

// Flush sends what is buffered.
func (c *Conn) Flush() error {
	c.flush()
	return c.werr
}

func (c *Conn) flush() {
	if c.out.len() > 0 {
		c.send(c.out.bytes())
	}
	c.out.r = c.out.w
	c.out.release()
}

func (c *Conn) send(p []byte) {
	if c.werr != nil {
		return
	}
	var w io.Writer = &c.link
	if c.tls != nil {
		w = c.tls
	}
	_, c.werr = w.Write(p)
}
