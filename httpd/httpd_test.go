package httpd

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"posthaste/cert"
	"posthaste/wire"
)

// A site is a server on loopback.
type site struct {
	address string
	stop    func() error // ends it and returns what Serve did
}

func serve(t *testing.T, cfg Config) *site {
	t.Helper()
	if cfg.MaxSessions == 0 {
		cfg.MaxSessions, cfg.MaxPerIP = 100, 100
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- New(cfg).Serve(ctx, ln) }()
	stop := sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return &site{ln.Addr().String(), stop}
}

func dial(t *testing.T, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	return nc, bufio.NewReader(nc)
}

// get asks for a path over an open connection.
func get(t *testing.T, nc net.Conn, r *bufio.Reader, path string) *http.Response {
	t.Helper()
	fmt.Fprintf(nc, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body = io.NopCloser(strings.NewReader(string(body)))
	return resp
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	s := serve(t, Config{Routes: []Route{{Prefix: "/own/", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
	})}}})
	nc, r := dial(t, s.address)
	for path, status := range map[string]int{"/healthz": 200, "/nothing": 404, "/own/": 200} {
		resp := get(t, nc, r, path)
		if resp.StatusCode != status {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, status)
		}
		for name, want := range map[string]string{"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%s: %s: %q, want %q", path, name, got, want)
			}
		}
		policy := resp.Header.Get("Content-Security-Policy")
		if path == "/own/" && policy != "default-src 'self'" {
			t.Errorf("the handler's own policy is lost: %q", policy)
		}
		if path != "/own/" && (!strings.HasPrefix(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'")) {
			t.Errorf("%s: policy %q", path, policy)
		}
	}
}

func TestBounds(t *testing.T) {
	s := serve(t, Config{Routes: []Route{{Prefix: "/take", MaxBody: 1000, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
	})}}})
	for name, c := range map[string]struct {
		request string
		want    int
	}{
		"a body at its bound":         {"POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + strings.Repeat("x", 1000), 200},
		"a body over its bound":       {"POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n" + strings.Repeat("x", 1001), 413},
		"a header over its bound":     {"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", maxHeaderBytes+8<<10) + "\r\n\r\n", 431},
		"no HTTP":                     {"EHLO x\r\n\r\n", 400},
		"two lengths, for smugglers":  {"POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400},
		"a path that leaves its root": {"GET /take/../healthz HTTP/1.1\r\nHost: x\r\n\r\n", 307},
	} {
		nc, r := dial(t, s.address)
		io.WriteString(nc, c.request)
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != c.want {
			t.Errorf("%s: %+v, %v; want %d", name, resp, err, c.want)
		}
	}
}

func TestConnectionsOfOneAddressAreBounded(t *testing.T) {
	s := serve(t, Config{MaxSessions: 100, MaxPerIP: 3})
	for range 3 {
		nc, r := dial(t, s.address)
		get(t, nc, r, "/healthz")
	}
	_, r := dial(t, s.address)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 503 {
		t.Errorf("the fourth: %+v, %v; want 503", resp, err)
	}
}

func TestTLS(t *testing.T) {
	source, err := cert.SelfSigned(t.TempDir(), []string{"mx.north.test"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, Config{TLS: source.Config(), ImplicitTLS: true})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("https://" + s.address + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 || resp.TLS == nil || resp.Proto != "HTTP/1.1" {
		t.Errorf("%s %s", resp.Proto, resp.Status)
	}
	nc, r := dial(t, s.address) // no TLS: closed, and nothing else stops
	io.WriteString(nc, "GET / HTTP/1.0\r\n\r\n")
	if text, _ := io.ReadAll(r); strings.Contains(string(text), "200 OK") {
		t.Errorf("answered without TLS: %q", text)
	}
}

// A request that has begun when the node stops is answered; connections that wait are closed.
func TestTheEndWaitsForRequests(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	s := serve(t, Config{Routes: []Route{{Prefix: "/slow", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-finish
		io.WriteString(w, "done")
	})}}})
	idle, idleReader := dial(t, s.address)
	get(t, idle, idleReader, "/healthz")
	busy, r := dial(t, s.address)
	io.WriteString(busy, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	<-begun
	ended := make(chan error, 1)
	go func() { ended <- s.stop() }()
	if _, err := idleReader.ReadByte(); err != io.EOF {
		t.Errorf("an idle connection: %v, want its end", err)
	}
	select {
	case err := <-ended:
		t.Fatalf("Serve returned with a request half-way: %v", err)
	default:
	}
	close(finish)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); string(body) != "done" {
		t.Errorf("%q, %v", body, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// With a reload, another server takes the listener over: nobody is turned away, and the one before ends.
func TestHandover(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := wire.NewHandover(ln)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(h.Run)
	t.Cleanup(func() { cancel(); running.Wait() })
	next := func(text string) chan error {
		s := New(Config{MaxSessions: 10, MaxPerIP: 10, Routes: []Route{{Prefix: "/", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) })}}})
		turn, ended := h.Next(), make(chan error, 1)
		running.Go(func() { ended <- s.Serve(ctx, turn) })
		return ended
	}
	first := next("one")
	nc, r := dial(t, ln.Addr().String())
	if body, _ := io.ReadAll(get(t, nc, r, "/").Body); string(body) != "one" {
		t.Errorf("before: %q", body)
	}
	next("two")
	if err := <-first; err != nil { // also with a connection that only waits
		t.Error(err)
	}
	nc, r = dial(t, ln.Addr().String())
	if body, _ := io.ReadAll(get(t, nc, r, "/").Body); string(body) != "two" {
		t.Errorf("after: %q", body)
	}
}
