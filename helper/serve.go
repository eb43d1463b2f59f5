package helper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"posthaste/mail"
)

// controlFD is where the helper finds its end of the socket to the server.
const controlFD = 3

// requestWithin is how long the server may take to say what a job is.
const requestWithin = 10 * time.Second

// A server is the helper process.
type server struct {
	lists
	slots chan struct{}
	jobs  sync.WaitGroup
}

// serve does jobs until the server process closes its end or dies.
func serve() error {
	// Whatever who started the server left open, programs do not get.
	if err := unix.CloseRange(controlFD, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		fmt.Fprintln(os.Stderr, "posthaste: helper: programs may inherit open files:", err)
	}
	control, err := unixConn(controlFD)
	if err != nil {
		return fmt.Errorf("helper: this process is started by posthaste serve, not by people: %w", err)
	}
	// Who stops the server may signal the whole group; files are to be finished all the same. Ignored
	// signals would be inherited by programs, caught ones are not.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	unix.Umask(0o077)
	s, err := newServer(os.Stdin)
	if err != nil {
		fmt.Fprint(control, err)
		return err
	}
	if _, err := control.Write([]byte("ready")); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	for {
		s.slots <- struct{}{}
		conn, content, err := accept(control)
		if err != nil {
			break // the server has gone
		}
		s.jobs.Go(func() { s.job(ctx, conn, content); <-s.slots })
	}
	cancel()
	s.jobs.Wait()
	return nil
}

func newServer(config io.ReadCloser) (*server, error) {
	defer config.Close()
	text, err := io.ReadAll(io.LimitReader(config, maxRequest+1))
	if err != nil || len(text) > maxRequest {
		return nil, errors.New("the lists of programs, files and users are too long")
	}
	s := new(server)
	if err := json.Unmarshal(text, &s.lists); err != nil {
		return nil, err
	}
	s.slots = make(chan struct{}, s.Limits.Jobs+forwardJobs)
	return s, nil
}

// accept takes the next job. A packet that brings something else is dropped; the error is that of a
// socket that is done for.
func accept(control *net.UnixConn) (*net.UnixConn, *os.File, error) {
	for {
		var b [16]byte
		oob := make([]byte, unix.CmsgSpace(2*4))
		_, n, _, _, err := control.ReadMsgUnix(b[:], oob)
		if err != nil {
			return nil, nil, err
		}
		fds := descriptors(oob[:n])
		if len(fds) == 2 {
			if conn, err := unixConn(fds[0]); err == nil {
				return conn, os.NewFile(uintptr(fds[1]), "message"), nil
			}
			fds = fds[1:]
		}
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
}

func descriptors(oob []byte) (fds []int) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for i := range messages {
		if rights, err := unix.ParseUnixRights(&messages[i]); err == nil {
			fds = append(fds, rights...)
		}
	}
	return fds
}

// job does one job and answers. Its panic is its own.
func (s *server) job(ctx context.Context, conn *net.UnixConn, content *os.File) {
	defer conn.Close()
	defer content.Close()
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(os.Stderr, "posthaste: helper: a job panicked: %v\n%s", p, debug.Stack())
			writeFrame(conn, answer{Status: mail.NewStatus(451, "4.3.0", "an error in the process that runs programs and writes files")}, maxAnswer)
		}
	}()
	conn.SetDeadline(time.Now().Add(requestWithin))
	var r request
	if err := readFrame(conn, &r, maxRequest); err != nil {
		return
	}
	conn.SetDeadline(time.Time{})
	a := answer{}
	if err := checkContent(content); err != nil {
		a.Status = mail.StatusOf(err)
	} else if t, err := s.lists.allow(r); err != nil {
		fmt.Fprintln(os.Stderr, "posthaste: helper:", err)
		a.Status = mail.StatusOf(err)
	} else {
		a = t.run(wanted(ctx, conn), content)
	}
	conn.SetWriteDeadline(time.Now().Add(requestWithin))
	writeFrame(conn, a, maxAnswer)
}

// wanted returns a context that ends when the server has closed its end of conn, or its half to write.
func wanted(ctx context.Context, conn *net.UnixConn) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() { // ends with the job, which closes conn
		defer cancel()
		var b [1]byte
		conn.Read(b[:])
	}()
	return ctx
}
