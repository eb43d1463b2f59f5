package wire

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// A client dials and says what it was greeted with.
func dialService(t *testing.T, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	r := bufio.NewReader(nc)
	if line, err := r.ReadString('\n'); err != nil || line != "hello 127.0.0.1\n" {
		t.Fatalf("greeted with %q, %v", line, err)
	}
	return nc, r
}

func TestSessionsOutliveAHandover(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := NewHandover(ln)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(h.Run)
	serve := func(s *Service) chan error {
		turn, ended := h.Next(), make(chan error, 1)
		running.Go(func() { ended <- s.Serve(ctx, turn) })
		return ended
	}

	first := newService(nil)
	firstEnded := serve(first)
	old, oldReader := dialService(t, h.Addr().String())

	serve(newService(nil))
	dialService(t, h.Addr().String())
	if first.present() != 1 {
		t.Fatalf("the first server has %d sessions, want the one it began", first.present())
	}
	select {
	case err := <-firstEnded:
		t.Fatalf("the first server ended with a session open: %v", err)
	default:
	}

	io.WriteString(old, "x\n") // the session ends by itself
	if line, err := oldReader.ReadString('\n'); line != "bye\n" {
		t.Fatalf("the old session said %q, %v", line, err)
	}
	if err := <-firstEnded; err != nil {
		t.Errorf("the first server: %v", err)
	}
	dialService(t, h.Addr().String()) // the socket is still open
}

func TestARetiredListenerKeepsItsSessions(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := NewHandover(ln)
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(h.Run)
	turn, ended := h.Next(), make(chan error, 1)
	running.Go(func() { ended <- newService(nil).Serve(t.Context(), turn) })
	session, reader := dialService(t, h.Addr().String())
	if err := h.Retire(); err != nil {
		t.Fatal(err)
	}
	if nc, err := net.Dial("tcp", h.Addr().String()); err == nil {
		nc.Close()
		t.Error("a retired listener takes connections")
	}
	io.WriteString(session, "x\n")
	if line, err := reader.ReadString('\n'); line != "bye\n" {
		t.Errorf("the session said %q, %v", line, err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestTheLastServerClosesTheListener(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := NewHandover(ln)
	var running sync.WaitGroup
	running.Go(h.Run)
	before := h.Next()
	last := h.Next()
	before.Close()
	if _, err := before.Accept(); !errors.Is(err, ErrHandedOver) {
		t.Errorf("the server before: %v", err)
	}
	last.Close()
	if _, err := last.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the last server: %v", err)
	}
	running.Wait()
}
