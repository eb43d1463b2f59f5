package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// A sink takes all mail and remembers only the X-Bench-ID of each message.
type sink struct {
	ln   net.Listener
	deaf bool

	mu    sync.Mutex // guards what follows
	seen  map[string]int
	total int
}

func newSink(address string) (*sink, error) {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	s := &sink{ln: ln, seen: map[string]int{}}
	go s.accept()
	return s, nil
}

// tenthHost is where every tenth domain lies that is apart from the others.
const tenthHost = "127.0.0.9"

// newTenth returns the host of those domains, at the port of address. A deaf one takes connections and
// says nothing.
func newTenth(address string, deaf bool) (*sink, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(tenthHost, port))
	if err != nil {
		return nil, err
	}
	s := &sink{ln: ln, seen: map[string]int{}, deaf: deaf}
	go s.accept()
	return s, nil
}

func (s *sink) close() { s.ln.Close() }

func (s *sink) accept() {
	for {
		conn, err := s.ln.Accept()
		if err != nil {
			return
		}
		go s.serve(conn)
	}
}

func (s *sink) serve(conn net.Conn) {
	defer conn.Close()
	if s.deaf {
		io.Copy(io.Discard, conn)
		return
	}
	r, w := bufio.NewReaderSize(conn, 64<<10), bufio.NewWriter(conn)
	w.WriteString("220 sink.example ESMTP\r\n")
	for {
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch verb, _, _ := strings.Cut(strings.TrimSpace(line), " "); strings.ToUpper(verb) {
		case "EHLO":
			w.WriteString("250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 100000000\r\n")
		case "DATA":
			w.WriteString("354 go on\r\n")
			w.Flush()
			if !s.take(r) {
				return
			}
			w.WriteString("250 2.0.0 taken\r\n")
		case "QUIT":
			w.WriteString("221 2.0.0 bye\r\n")
			w.Flush()
			return
		default:
			w.WriteString("250 2.0.0 fine\r\n")
		}
	}
}

// take reads one message and counts it.
func (s *sink) take(r *bufio.Reader) bool {
	id := ""
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return false
		}
		if string(line) == ".\r\n" {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("X-Bench-ID: ")); ok {
			id = string(bytes.TrimSpace(value))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[id]++
	s.total++
	return true
}

// wait returns when n different messages are here.
func (s *sink) wait(n int) error {
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		have := len(s.seen)
		s.mu.Unlock()
		if have >= n {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d messages came within %v", have, n, patience)
		}
	}
}

// repeats returns how many messages came more than once.
func (s *sink) repeats() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total - len(s.seen)
}
