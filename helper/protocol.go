package helper

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"posthaste/mail"
)

// A request is a Job without its content, as the server asks for it, or the wish to read the .forward
// file of User.
type request struct {
	User      string        `json:"user,omitempty"`
	Forward   bool          `json:"forward,omitempty"`
	Program   []string      `json:"program,omitempty"`
	Env       []string      `json:"env,omitempty"`
	File      string        `json:"file,omitempty"`
	Format    Format        `json:"format,omitempty"`
	Sender    string        `json:"sender,omitempty"`
	ID        string        `json:"id,omitempty"`
	Fresh     bool          `json:"fresh,omitempty"`
	Received  time.Time     `json:"received,omitzero"`
	Timeout   time.Duration `json:"timeout"`
	MaxOutput int           `json:"maxoutput,omitempty"`
}

// An answer is how a job ended. Status is set where there is no Result.
type answer struct {
	Result  Result       `json:"result"`
	Forward *forwardFile `json:"forward,omitempty"` // of a request to read one
	Status  *mail.Status `json:"status,omitempty"`
}

var errFrameSize = errors.New("helper: the message is too large")

// writeFrame writes v as JSON behind its length in four bytes.
func writeFrame(w io.Writer, v any, limit int) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(text) > limit {
		return errFrameSize
	}
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(text)), uint32(len(text)))
	_, err = w.Write(append(frame, text...))
	return err
}

// readFrame reads what writeFrame wrote, at most limit bytes.
func readFrame(r io.Reader, v any, limit int) error {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(size[:])
	if int64(n) > int64(limit) {
		return errFrameSize
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

// socketPair returns two connected ends: one to use here, one to give away.
func socketPair(kind int) (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("helper: socket pair: %w", err)
	}
	ours, err := unixConn(fds[0])
	if err != nil {
		unix.Close(fds[1])
		return nil, nil, err
	}
	return ours, os.NewFile(uintptr(fds[1]), "helper"), nil
}

// unixConn makes a connection of a descriptor, which it takes over.
func unixConn(fd int) (*net.UnixConn, error) {
	file := os.NewFile(uintptr(fd), "helper")
	defer file.Close()
	c, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("helper: socket: %w", err)
	}
	conn, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("helper: want a Unix socket, have %s", c.LocalAddr().Network())
	}
	return conn, nil
}
