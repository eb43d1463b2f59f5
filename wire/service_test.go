package wire

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// newService returns a service whose sessions tell the client its address, then wait for a line or for
// drain to end, and say bye.
func newService(change func(*Service)) *Service {
	s := &Service{
		Name: "testd", MaxSessions: 10, MaxPerIP: 10, DrainTime: time.Minute,
		Refusal: func(why string) string { return "no: " + why + "\n" },
		Log:     slog.New(slog.DiscardHandler),
	}
	s.Session = func(drain, _ context.Context, nc net.Conn) {
		c := New(nc, Config{})
		c.WriteString("hello " + c.RemoteAddr().Addr().String() + "\n")
		c.Park(drain, time.Hour)
		c.WriteString("bye\n")
		c.Flush()
	}
	if change != nil {
		change(s)
	}
	return s
}

// listenTCP serves s on loopback until the test ends.
func listenTCP(t *testing.T, s *Service) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(ctx, ln); err != nil {
			t.Errorf("Serve: %v", err)
		}
		if s.sessions != 0 || len(s.perIP) != 0 {
			t.Errorf("%d sessions and %d networks are still counted", s.sessions, len(s.perIP))
		}
	})
	t.Cleanup(func() { cancel(); serving.Wait() })
	return ln.Addr().String()
}

// A caller is a client of a Service.
type caller struct {
	net.Conn
	r *bufio.Reader
}

func call(t *testing.T, addr, first string) caller {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(nc, first)
	return caller{nc, bufio.NewReader(nc)}
}

func (c caller) line() string {
	line, _ := c.r.ReadString('\n')
	return strings.TrimSpace(line)
}

func TestServiceTakesIn(t *testing.T) {
	const tooMany, tooManyOfYou = "no: too many connections, try", "no: too many connections from your address"
	const proxyA, proxyB = "PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n", "PROXY TCP4 192.0.2.8 192.0.2.1 1 2\r\n"
	const sameNetwork = "PROXY TCP6 2001:db8::1 2001:db8::9 1 2\r\n"
	for _, c := range []struct {
		claim  string
		change func(*Service)
		first  []string // what clients begin with; none: nothing
		want   []string // how what they hear begins; empty: closed without a word
	}{
		{"all within limits", nil, nil, []string{"hello 127.0.0.1", "hello", "hello"}},
		{"no more sessions than allowed", func(s *Service) { s.MaxSessions = 2 }, nil, []string{"hello", "hello", tooMany}},
		{"no exemption from that", func(s *Service) { s.MaxSessions, s.Exempt = 2, loopback }, nil, []string{"hello", "hello", tooMany}},
		{"no more of one address than allowed", func(s *Service) { s.MaxPerIP = 1 }, nil, []string{"hello", tooManyOfYou, tooManyOfYou}},
		{"exempt ones apart", func(s *Service) { s.MaxPerIP, s.Exempt = 1, loopback }, nil, []string{"hello", "hello", "hello"}},
		{"silence ahead of TLS", func(s *Service) { s.MaxPerIP, s.Refusal = 1, nil }, nil, []string{"hello", "", ""}},
		{"listed clients only", func(s *Service) { s.Clients = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} }, nil, []string{"no: you may not", "no: you may not", "no: you may not"}},
		{"and these", func(s *Service) { s.Clients = loopback }, nil, []string{"hello", "hello", "hello"}},
		{"addresses behind a balancer count apart", func(s *Service) { s.MaxPerIP, s.Proxies = 1, loopback }, []string{proxyA, proxyB, proxyA}, []string{"hello 192.0.2.7", "hello 192.0.2.8", tooManyOfYou}},
		{"an exempt balancer exempts nobody behind it", func(s *Service) { s.MaxPerIP, s.Proxies, s.Exempt = 1, loopback, loopback }, []string{proxyA, proxyA, proxyB}, []string{"hello 192.0.2.7", tooManyOfYou, "hello"}},
		{"an IPv6 /64 is one client", func(s *Service) { s.MaxPerIP, s.Proxies = 1, loopback }, []string{sameNetwork, strings.Replace(sameNetwork, "::1", "::2", 1), proxyA}, []string{"hello 2001:db8::1", tooManyOfYou, "hello"}},
		{"clients are checked behind a balancer", func(s *Service) {
			s.Proxies, s.Clients = loopback, []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")}
		}, []string{proxyA, proxyB, proxyA}, []string{"hello 192.0.2.7", "no: you may not", "hello"}},
		{"a balancer without a header is cut off", func(s *Service) { s.Proxies = loopback }, []string{"EHLO c.test\r\nNOOP\r\n", proxyA}, []string{"", "hello"}},
		{"others are not believed", nil, []string{proxyA}, []string{"hello 127.0.0.1"}},
	} {
		t.Run(c.claim, func(t *testing.T) {
			addr := listenTCP(t, newService(c.change))
			for i, want := range c.want {
				first := ""
				if c.first != nil {
					first = c.first[i]
				}
				if got := call(t, addr, first).line(); !strings.HasPrefix(got, want) || want == "" && got != "" {
					t.Errorf("client %d hears %q, want %q", i, got, want)
				}
			}
		})
	}
}

func TestServicePlacesAreFreeAgain(t *testing.T) {
	for _, change := range []func(*Service){
		func(s *Service) { s.MaxPerIP = 1 },
		func(s *Service) { s.MaxSessions = 1 },
	} {
		addr := listenTCP(t, newService(change))
		for range 3 {
			c := call(t, addr, "")
			for !strings.HasPrefix(c.line(), "hello") { // the session before is about to end
				c = call(t, addr, "")
			}
			if got := call(t, addr, "").line(); !strings.HasPrefix(got, "no:") {
				t.Fatalf("a second client hears %q", got)
			}
			io.WriteString(c, "\n")
			if got := c.line(); got != "bye" {
				t.Errorf("got %q", got)
			}
		}
	}
}

// A pipeListener accepts what is sent to it, connections or errors.
type pipeListener struct {
	accepts chan any
	closed  chan struct{}
	once    sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{accepts: make(chan any), closed: make(chan struct{})}
}

func (ln *pipeListener) Accept() (net.Conn, error) {
	select {
	case a := <-ln.accepts:
		if err, ok := a.(error); ok {
			return nil, err
		}
		return a.(net.Conn), nil
	case <-ln.closed:
		return nil, net.ErrClosed
	}
}

func (ln *pipeListener) Close() error   { ln.once.Do(func() { close(ln.closed) }); return nil }
func (ln *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

func (ln *pipeListener) dial() net.Conn {
	client, server := net.Pipe()
	ln.accepts <- server
	return client
}

func TestServiceDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipeListener()
		ctx, cancel := context.WithCancel(t.Context())
		var serving sync.WaitGroup
		serving.Go(func() {
			if err := newService(nil).Serve(ctx, ln); err != nil {
				t.Error(err)
			}
		})
		heard := make(chan string, 3)
		for range cap(heard) {
			nc := ln.dial()
			go func() { all, _ := io.ReadAll(nc); heard <- string(all) }()
		}
		synctest.Wait()
		start := time.Now()
		cancel()
		serving.Wait()
		if d := time.Since(start); d != 0 {
			t.Errorf("it took %v to end idle sessions", d)
		}
		for range cap(heard) {
			if got := <-heard; !strings.HasSuffix(got, "bye\n") {
				t.Errorf("a client heard %q", got)
			}
		}
	})
}

func TestServiceCutsOff(t *testing.T) {
	for claim, session := range map[string]func(drain, work context.Context, nc net.Conn){
		"who works until work ends":  func(_, work context.Context, _ net.Conn) { <-work.Done() },
		"who reads until the end":    func(_, _ context.Context, nc net.Conn) { io.Copy(io.Discard, nc) },
		"who takes part of the time": func(drain, _ context.Context, _ net.Conn) { <-drain.Done(); time.Sleep(time.Second) },
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newService(func(s *Service) { s.Session = session })
			ln := newPipeListener()
			ctx, cancel := context.WithCancel(t.Context())
			var serving sync.WaitGroup
			serving.Go(func() { s.Serve(ctx, ln) })
			defer ln.dial().Close()
			synctest.Wait()
			start, want := time.Now(), s.DrainTime
			if strings.Contains(claim, "part") {
				want = time.Second
			}
			cancel()
			serving.Wait()
			if d := time.Since(start); d != want {
				t.Errorf("%s: over after %v, want %v", claim, d, want)
			}
		})
	}
}

func TestServiceSurvivesFailedAccepts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipeListener()
		var ended atomic.Bool
		s := newService(func(s *Service) {
			session := s.Session
			s.Session = func(drain, work context.Context, nc net.Conn) { session(drain, work, nc); ended.Store(true) }
		})
		failed := make(chan error)
		go func() { failed <- s.Serve(t.Context(), ln) }()
		start := time.Now()
		for range 6 {
			ln.accepts <- syscall.EMFILE
		}
		nc := ln.dial()
		if d := time.Since(start); d != 50*time.Millisecond+100*time.Millisecond+200*time.Millisecond+400*time.Millisecond+800*time.Millisecond+time.Second {
			t.Errorf("a connection waited %v", d)
		}
		go io.Copy(io.Discard, nc)
		synctest.Wait()
		ln.Close()
		if err := <-failed; !errors.Is(err, net.ErrClosed) || !strings.HasPrefix(err.Error(), "testd: accept on ") || !ended.Load() {
			t.Errorf("got %v, session over: %t", err, ended.Load())
		}
	})
}

func TestNetworks(t *testing.T) {
	list := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fe80::/10")}
	for _, c := range []struct {
		addr, network string
		listed        bool
	}{
		{"10.1.2.3", "10.1.2.3/32", true},
		{"::ffff:10.1.2.3", "10.1.2.3/32", true},
		{"fe80::1:2:3:4%eth0", "fe80::/64", true},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", false},
	} {
		ip := netip.MustParseAddr(c.addr)
		if got := NetworkOf(ip).String(); got != c.network || Contains(list, ip) != c.listed {
			t.Errorf("%s: network %s, want %s; listed %t, want %t", c.addr, got, c.network, Contains(list, ip), c.listed)
		}
	}
	if NetworkOf(netip.Addr{}).IsValid() || Contains(list, netip.Addr{}) {
		t.Error("no address has a network")
	}
}

// present counts the sessions of s.
func (s *Service) present() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions
}
