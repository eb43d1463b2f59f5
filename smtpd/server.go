package smtpd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"posthaste/mail"
	"posthaste/smtp"
	"posthaste/wire"
)

// acceptPause is how long Serve waits when the process has no file descriptor left for a connection.
const acceptPause = 50 * time.Millisecond

// A Server answers clients. One Server may serve several listeners.
type Server struct {
	cfg      Config
	contents contents
	failures failures

	mu       sync.Mutex // guards the two below
	sessions int
	perIP    map[netip.Prefix]int
}

// New returns a Server.
func New(cfg Config) *Server {
	cfg.setDefaults()
	return &Server{
		cfg:      cfg,
		contents: contents{dir: cfg.SpoolDir, maxMemory: cfg.MaxMemory},
		perIP:    map[netip.Prefix]int{},
	}
}

// Serve answers clients of ln until ctx ends. Then sessions finish the command they are at, those that
// wait are told 421 4.3.2, those that still run after Config.DrainTime are cut off, and Serve returns
// nil once the last is over.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	drain, stop := context.WithCancel(ctx)
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	var sessions sync.WaitGroup
	var served sync.Map // net.Conn, those of this call
	closing := context.AfterFunc(drain, func() { ln.Close() })
	defer closing()
	defer cut()
	defer func() {
		stop()
		timer := time.AfterFunc(s.cfg.DrainTime, func() {
			cut()
			served.Range(func(nc, _ any) bool { nc.(net.Conn).Close(); return true })
		})
		sessions.Wait()
		timer.Stop()
	}()
	for {
		nc, err := ln.Accept()
		switch {
		case drain.Err() != nil:
			if err == nil {
				nc.Close()
			}
			return nil
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ECONNABORTED):
			s.cfg.Log.Warn("cannot accept a connection", "listener", ln.Addr().String(), "err", err)
			pause(drain, acceptPause)
			continue
		case err != nil:
			return fmt.Errorf("smtpd: accept on %s: %w", ln.Addr(), err)
		}
		if !s.admit() {
			s.refuse(nc, "too many connections, try again later")
			continue
		}
		served.Store(nc, nil)
		sessions.Go(func() {
			s.serveConn(drain, work, nc)
			s.leave()
			served.Delete(nc)
		})
	}
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// serveConn is one connection from accept to close. drain ends when it shall come to an end, work when
// it must.
func (s *Server) serveConn(drain, work context.Context, nc net.Conn) {
	if session := s.begin(nc); session != nil {
		session.run(drain, work)
		s.exit(session.info.Origin.IP)
	}
	nc.Close()
}

// begin returns the session of a connection that may have one. It is not part of serveConn so that an
// idle session's stack stays small: see wire.Conn.Park.
func (s *Server) begin(nc net.Conn) *session {
	if contains(s.cfg.Proxies, hostOf(nc)) {
		proxied, err := wire.ReadProxy(nc, greetTimeout)
		if err != nil {
			s.cfg.Log.Warn("no valid PROXY header from a listed proxy", "peer", nc.RemoteAddr().String(), "err", err)
			return nil
		}
		nc = proxied
	}
	ip := hostOf(nc)
	if len(s.cfg.Clients) > 0 && ip.IsValid() && !contains(s.cfg.Clients, ip) {
		s.refuse(nc, "you may not connect here")
		return nil
	}
	if !s.enter(ip) {
		s.refuse(nc, "too many connections from your address, try again later")
		return nil
	}
	return newSession(s, nc)
}

// refuse turns a client away before it has a session. It does not block: what we write fits into the
// empty socket buffer.
func (s *Server) refuse(nc net.Conn, why string) {
	defer nc.Close()
	s.cfg.Log.Info("connection refused", "peer", nc.RemoteAddr().String(), "reason", why)
	if s.cfg.ImplicitTLS {
		return
	}
	nc.SetWriteDeadline(time.Now().Add(refuseTimeout))
	nc.Write(smtp.AppendReply(nil, mail.NewStatus(421, "4.7.0", s.cfg.Hostname+" "+why)))
}

// admit counts a connection against MaxSessions.
func (s *Server) admit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions >= s.cfg.MaxSessions {
		return false
	}
	s.sessions++
	return true
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions--
}

// enter counts a session against MaxPerIP.
func (s *Server) enter(ip netip.Addr) bool {
	if !ip.IsValid() {
		return true
	}
	key := network(ip)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perIP[key] >= s.cfg.MaxPerIP && !contains(s.cfg.Exempt, ip) {
		return false
	}
	s.perIP[key]++
	return true
}

func (s *Server) exit(ip netip.Addr) {
	if !ip.IsValid() {
		return
	}
	key := network(ip)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perIP[key]--; s.perIP[key] <= 0 {
		delete(s.perIP, key)
	}
}

// network is what one client is taken to own: an IPv4 address or an IPv6 /64.
func network(ip netip.Addr) netip.Prefix {
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	p, _ := ip.Prefix(bits)
	return p
}

func contains(list []netip.Prefix, ip netip.Addr) bool {
	for _, p := range list {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// hostOf returns the address of the peer, and the zero Addr for a connection that has none.
func hostOf(nc net.Conn) netip.Addr {
	if tcp, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
