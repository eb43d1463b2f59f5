package wire

import (
	"io"
	"time"
)

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

// AbandonOutput forgets what was not sent and why, so that what the peer said before it stopped reading can
// still be read. Nothing can be sent afterwards.
func (c *Conn) AbandonOutput() {
	c.out.r = c.out.w
	c.out.release()
	c.werr = nil
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

// Hangup flushes, tells the peer that no more will come, and waits up to d for it to do the same
// before it closes. Closing at once, with input unread, could make the peer's system throw away our
// last words.
func (c *Conn) Hangup(d time.Duration) error {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if c.Flush() != nil || !ok {
		return c.Close()
	}
	if c.tls != nil {
		c.tls.CloseWrite()
	}
	if half.CloseWrite() == nil {
		c.drain(time.Now().Add(d))
	}
	return c.Close()
}

// drain throws away input until its end or the deadline.
func (c *Conn) drain(deadline time.Time) {
	if c.nc.SetReadDeadline(deadline) != nil {
		return
	}
	raw := &buffer{}
	for time.Now().Before(deadline) && c.link.fill(raw) == nil {
		raw.r = raw.w
	}
	raw.release()
}
