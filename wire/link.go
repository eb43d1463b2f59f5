package wire

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// A link is the raw end of a connection. It waits for input without a buffer where nc has a file
// descriptor, borrowing one only once there is something to read.
//
// Below TLS it is the [net.Conn] that crypto/tls reads from: then its own buffer holds ciphertext.
type link struct {
	net.Conn
	raw          syscall.RawConn // nil where nc has no file descriptor
	writeTimeout time.Duration

	closing atomic.Bool // crypto/tls has set the deadline for its last alert

	in     buffer // ciphertext
	noWait bool   // Read answers errWouldBlock instead of waiting

	// The call of tryRead that raw makes, as fields so that waiting allocates nothing.
	try func(fd uintptr) bool
	dst *buffer
	err error
}

func (l *link) init(nc net.Conn) {
	l.Conn = nc
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil && canReadRaw {
			l.raw, l.try = raw, l.tryRead
		}
	}
}

// fill waits for input, until the read deadline, and appends it to dst, which has room.
func (l *link) fill(dst *buffer) error {
	if l.raw == nil {
		n, err := l.Conn.Read(dst.space())
		dst.w += n
		dst.release()
		if n > 0 {
			return nil
		}
		return err
	}
	dst.release()
	l.dst, l.err = dst, nil
	err := l.raw.Read(l.try)
	l.dst = nil
	if err != nil {
		return err
	}
	return l.err
}

// readUntil sets the read deadline. A pipe whose other end is closed takes none, but reading from it
// does not wait either.
func (l *link) readUntil(deadline time.Time) error {
	if err := l.Conn.SetReadDeadline(deadline); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		return err
	}
	return nil
}

// Read gives crypto/tls the ciphertext that has come.
func (l *link) Read(p []byte) (int, error) {
	if l.in.len() == 0 {
		if l.noWait {
			l.in.release()
			return 0, errWouldBlock
		}
		if err := l.fill(&l.in); err != nil {
			return 0, err
		}
	}
	n := copy(p, l.in.bytes())
	l.in.r += n
	l.in.release()
	return n, nil
}

// Write sends p within the write timeout.
func (l *link) Write(p []byte) (int, error) {
	if !l.closing.Load() {
		if err := l.Conn.SetWriteDeadline(time.Now().Add(l.writeTimeout)); err != nil {
			return 0, err
		}
	}
	return l.Conn.Write(p)
}

// errWouldBlock is temporary for crypto/tls, which gives up a connection after any other error.
var errWouldBlock net.Error = wouldBlock{}

type wouldBlock struct{}

func (wouldBlock) Error() string   { return "wire: no input yet" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }
