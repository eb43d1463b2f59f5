//go:build unix

package wire

import (
	"io"
	"os"
	"syscall"
)

const canReadRaw = true

// tryRead reads once into l.dst, borrowing its block only for as long as there is input. False sends
// the caller to wait for more.
func (l *link) tryRead(fd uintptr) bool {
	for {
		n, err := syscall.Read(int(fd), l.dst.space())
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			l.dst.release()
			return false
		case err != nil:
			l.err = os.NewSyscallError("read", err)
		case n == 0:
			l.err = io.EOF
		}
		if n > 0 {
			l.dst.w += n
		}
		l.dst.release()
		return true
	}
}
