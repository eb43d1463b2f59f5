package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Times of a [Service].
const (
	acceptPause    = 50 * time.Millisecond // after a failed accept; doubles with each in a row
	maxAcceptPause = time.Second
	proxyTimeout   = 10 * time.Second // for a PROXY header
	refuseTimeout  = time.Second      // for a client to take our refusal
)

// A Service takes in connections for a server: it turns away those that are too many or not allowed,
// learns from load balancers whom they speak for, and brings all sessions to an end together. One
// Service may serve several listeners, whose sessions count together. Its fields do not change once it
// serves.
type Service struct {
	Name string // of the server, for errors: "smtpd"

	MaxSessions int // at once; more are refused
	MaxPerIP    int // sessions at once from one IPv4 address or IPv6 /64; more are refused

	Exempt  []netip.Prefix // clients without MaxPerIP
	Proxies []netip.Prefix // who must begin with a PROXY header and is believed
	Clients []netip.Prefix // who may connect; empty: anybody

	// Deny, where set, is asked about every client before anything is spent on it: why it may have no
	// session, or nothing. It is not logged, since who is denied comes often.
	Deny func(ip netip.Addr) (why string)

	DrainTime time.Duration // how long sessions may take to finish once Serve's context ends

	// Session speaks with one client. drain ends when no new command shall begin, work when the
	// present one must end, for nc is closed then. The Service closes nc afterwards too. A panic is for
	// Session to catch.
	Session func(drain, work context.Context, nc net.Conn)
	// Refusal returns the whole of what a client hears that is turned away. Nil: nothing, for clients
	// that await a TLS handshake.
	Refusal func(why string) string

	Log *slog.Logger

	mu       sync.Mutex // guards what follows
	sessions int
	perIP    map[netip.Prefix]int
}

// Serve takes in connections of ln until ctx ends. Then it closes ln and ends drain for all sessions,
// cuts off those that still run after DrainTime, and returns nil once the last is over. When ln is handed
// over to another server, Serve takes in nothing more and returns nil once its sessions have ended by
// themselves, or with ctx.
func (s *Service) Serve(ctx context.Context, ln net.Listener) error {
	drain, stop := context.WithCancel(ctx)
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(drain, func() { ln.Close() })
	var running sync.WaitGroup
	var open connections
	defer func() {
		stop()
		ln.Close()
		timer := time.AfterFunc(s.DrainTime, func() { cut(); open.close() })
		running.Wait()
		timer.Stop()
		cut()
	}()
	for {
		nc, err := s.accept(drain, ln)
		if errors.Is(err, ErrHandedOver) {
			waitFor(drain, &running)
			return nil
		}
		if nc == nil {
			return err
		}
		if !s.admit() {
			s.refuse(nc, "too many connections, try again later")
			continue
		}
		open.add(nc)
		running.Go(func() {
			s.handle(drain, work, nc)
			open.remove(nc)
			s.leave()
		})
	}
}

// waitFor waits for sessions to end, or for ctx.
func waitFor(ctx context.Context, sessions *sync.WaitGroup) {
	over := make(chan struct{})
	go func() {
		sessions.Wait() // Serve waits for it too, so this ends before Serve returns
		close(over)
	}()
	select {
	case <-over:
	case <-ctx.Done():
	}
}

// accept returns the next connection, or nil once drain has ended, or with an error if ln is closed.
// Other errors pass: the process is out of files, or that one client has gone or cannot be reached.
func (s *Service) accept(drain context.Context, ln net.Listener) (net.Conn, error) {
	for wait := acceptPause; ; wait = min(2*wait, maxAcceptPause) {
		nc, err := ln.Accept()
		switch {
		case drain.Err() != nil:
			if err == nil {
				nc.Close()
			}
			return nil, nil
		case err == nil:
			return nc, nil
		case errors.Is(err, ErrHandedOver):
			return nil, err
		case errors.Is(err, net.ErrClosed):
			return nil, fmt.Errorf("%s: accept on %s: %w", s.Name, ln.Addr(), err)
		}
		s.Log.Warn("cannot accept a connection", "listener", ln.Addr().String(), "err", err)
		select {
		case <-time.After(wait):
		case <-drain.Done():
		}
	}
}

// handle is one connection from accept to close. An idle session waits below it, so what needs room on
// the stack has returned by then: see [Conn.Park].
func (s *Service) handle(drain, work context.Context, nc net.Conn) {
	if nc = s.begin(nc); nc != nil {
		s.Session(drain, work, nc)
		s.end(nc)
	}
}

// begin returns the connection of a client that may have a session, under the client's own address. It
// returns nil for one that may not, whose connection it closes.
func (s *Service) begin(nc net.Conn) net.Conn {
	if ip := hostOf(nc); Contains(s.Proxies, ip) {
		proxied, err := ReadProxy(nc, proxyTimeout)
		if err != nil {
			s.Log.Warn("no valid PROXY header from a listed proxy", "peer", ip.String(), "err", err)
			nc.Close()
			return nil
		}
		nc = proxied
	}
	ip := hostOf(nc)
	if s.Deny != nil {
		if why := s.Deny(ip); why != "" {
			s.turnAway(nc, why)
			return nil
		}
	}
	if len(s.Clients) > 0 && ip.IsValid() && !Contains(s.Clients, ip) {
		s.refuse(nc, "you may not connect here")
		return nil
	}
	if !s.enter(ip) {
		s.refuse(nc, "too many connections from your address, try again later")
		return nil
	}
	return nc
}

func (s *Service) end(nc net.Conn) {
	s.exit(hostOf(nc))
	nc.Close()
}

// refuse turns a client away before it has a session. It does not block: what we write fits into the
// empty socket buffer.
func (s *Service) refuse(nc net.Conn, why string) {
	s.Log.Info("connection refused", "peer", nc.RemoteAddr().String(), "reason", why)
	s.turnAway(nc, why)
}

func (s *Service) turnAway(nc net.Conn, why string) {
	defer nc.Close()
	if s.Refusal == nil {
		return
	}
	if err := nc.SetWriteDeadline(time.Now().Add(refuseTimeout)); err != nil {
		return
	}
	io.WriteString(nc, s.Refusal(why)) // who does not hear it sees the connection closed
}

// admit counts a connection against MaxSessions.
func (s *Service) admit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions >= s.MaxSessions {
		return false
	}
	s.sessions++
	return true
}

func (s *Service) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions--
}

// enter counts a session against MaxPerIP. A client that has no address is on this host.
func (s *Service) enter(ip netip.Addr) bool {
	if !ip.IsValid() || Contains(s.Exempt, ip) {
		return true
	}
	network := NetworkOf(ip)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perIP[network] >= s.MaxPerIP {
		return false
	}
	if s.perIP == nil {
		s.perIP = map[netip.Prefix]int{}
	}
	s.perIP[network]++
	return true
}

func (s *Service) exit(ip netip.Addr) {
	if !ip.IsValid() || Contains(s.Exempt, ip) {
		return
	}
	network := NetworkOf(ip)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perIP[network]--; s.perIP[network] == 0 {
		delete(s.perIP, network)
	}
}

// connections are those to close when time is up.
type connections struct {
	mu  sync.Mutex // guards all
	all map[net.Conn]struct{}
}

func (c *connections) add(nc net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = map[net.Conn]struct{}{}
	}
	c.all[nc] = struct{}{}
}

func (c *connections) remove(nc net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, nc)
}

func (c *connections) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for nc := range c.all {
		nc.Close()
	}
}
