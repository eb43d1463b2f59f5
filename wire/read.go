package wire

import (
	"bytes"
	"errors"
	"io"
	"time"
)

// ReadLine returns the next line without its CRLF, valid until the next read. The read timeout counts
// for the whole line, so that a peer cannot hold us by one byte a minute.
//
// A line over the limit is read to its end and dropped: ErrLineTooLong. A line that ends in LF alone
// is returned with ErrBareLF. A CR elsewhere is left in the line for the grammar to refuse. At the end
// of input it returns io.EOF, within a line io.ErrUnexpectedEOF.
func (c *Conn) ReadLine() ([]byte, error) {
	c.long = nil
	deadline := time.Now().Add(c.timeout)
	searched, tooLong := 0, false
	for {
		b := c.in.bytes()
		if i := bytes.IndexByte(b[searched:], '\n'); i >= 0 {
			end := searched + i + 1
			c.in.r += end
			return c.finishLine(b[:end], tooLong)
		}
		searched = len(b)
		if tooLong || len(c.long)+len(b) > c.maxLine {
			tooLong, c.long = true, nil
			searched, c.in.r = 0, c.in.w
		} else if len(b) == bufferSize {
			c.long = append(c.long, b...)
			searched, c.in.r = 0, c.in.w
		}
		if err := c.wait(deadline); err != nil {
			if errors.Is(err, io.EOF) && (len(b) > 0 || len(c.long) > 0 || tooLong) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// finishLine judges a line whose last part, with its LF, is tail.
func (c *Conn) finishLine(tail []byte, tooLong bool) ([]byte, error) {
	if tooLong || len(c.long)+len(tail) > c.maxLine {
		c.long = nil
		return nil, ErrLineTooLong
	}
	line := tail
	if len(c.long) > 0 {
		c.long = append(c.long, tail...)
		line = c.long
	}
	if len(line) < 2 || line[len(line)-2] != '\r' {
		return line[:len(line)-1], ErrBareLF
	}
	return line[:len(line)-2], nil
}

// Peek returns the input that is here, waiting for some if there is none. It is valid until the next
// read and is consumed by [Conn.Skip].
func (c *Conn) Peek() ([]byte, error) {
	if c.in.len() == 0 {
		if err := c.wait(time.Now().Add(c.timeout)); err != nil {
			return nil, err
		}
	}
	return c.in.bytes(), nil
}

// Skip consumes n bytes of what Peek returned.
func (c *Conn) Skip(n int) {
	if n < 0 || n > c.in.len() {
		panic("wire: Skip past the peeked input")
	}
	c.in.r += n
}

// Read reads what is here, at least one byte, waiting up to the read timeout.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b, err := c.Peek()
	n := copy(p, b)
	c.Skip(n)
	return n, err
}

// ReadFull fills p. The read timeout counts anew for each block that comes.
func (c *Conn) ReadFull(p []byte) error {
	_, err := io.ReadFull(c, p)
	return err
}

// Discard reads n bytes and drops them. The read timeout counts anew for each block that comes.
func (c *Conn) Discard(n int64) error {
	for n > 0 {
		b, err := c.Peek()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		k := min(int64(len(b)), n)
		c.Skip(int(k))
		n -= k
	}
	return nil
}

// Buffered returns how many bytes of input are here already.
func (c *Conn) Buffered() int { return c.in.len() }

// wait flushes, then appends input to c.in, which has room, until deadline.
func (c *Conn) wait(deadline time.Time) error {
	if err := c.Flush(); err != nil {
		return err
	}
	if err := c.link.readUntil(deadline); err != nil {
		return err
	}
	return c.fill()
}

// fill waits for input until the read deadline that is set.
func (c *Conn) fill() error {
	if c.tls == nil {
		return c.link.fill(&c.in)
	}
	for {
		if err := c.decrypt(); !errors.Is(err, errWouldBlock) {
			return err
		}
		if c.parked {
			shrinkTLS(c.tls) // errWouldBlock says that nothing decrypted is left in it
		}
		if err := c.link.fill(&c.link.in); err != nil {
			return err
		}
	}
}

// decrypt appends to c.in the plaintext of records that have come, or returns errWouldBlock.
func (c *Conn) decrypt() error {
	c.link.noWait = true
	n, err := c.tls.Read(c.in.space())
	c.link.noWait = false
	c.in.w += n
	c.in.release()
	if n > 0 {
		return nil
	}
	if err == nil {
		return errWouldBlock // an empty record
	}
	return err
}
