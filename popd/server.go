package popd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"posthaste/wire"
)

// acceptPause is how long Serve waits when the process has no file descriptor left for a connection.
const acceptPause = 50 * time.Millisecond

// refuseTimeout bounds what telling somebody off may take.
const refuseTimeout = time.Second

// Serve answers clients of ln until ctx ends. Then sessions finish the command they are at, those that
// still run after Config.DrainTime are cut off, and Serve returns nil once the last is over.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	drain, stop := context.WithCancel(ctx)
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	var sessions sync.WaitGroup
	closing := context.AfterFunc(drain, func() { ln.Close() })
	defer closing()
	defer cut()
	defer func() {
		stop()
		timer := time.AfterFunc(s.cfg.DrainTime, cut)
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
			return fmt.Errorf("popd: accept on %s: %w", ln.Addr(), err)
		}
		if !s.admit() {
			s.refuse(nc, "too many connections, try again later")
			continue
		}
		sessions.Go(func() {
			defer s.leave()
			s.serveConn(drain, work, nc)
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

// serveConn is one connection from accept to close. drain ends when no new command shall begin, work
// when the present one must end.
func (s *Server) serveConn(drain, work context.Context, nc net.Conn) {
	stop := context.AfterFunc(work, func() { nc.Close() })
	defer stop()
	defer nc.Close()
	if addr := addrOf(nc); contains(s.cfg.Proxies, addr) {
		proxied, err := wire.ReadProxy(nc, greetTimeout)
		if err != nil {
			s.cfg.Log.Warn("no valid PROXY header from a listed proxy", "peer", addr.String(), "err", err)
			return
		}
		nc = proxied
	}
	addr := addrOf(nc)
	if !s.enter(addr) {
		s.refuse(nc, "too many connections from your address, try again later")
		return
	}
	defer s.exit(addr)
	se := newSession(s, nc)
	defer func() {
		if r := recover(); r != nil {
			se.log.Error("session ended by a fault of ours", "panic", r, "stack", string(debug.Stack()))
		}
	}()
	defer se.close()
	se.run(drain, work)
}

// refuse turns a client away before it has a session.
func (s *Server) refuse(nc net.Conn, why string) {
	defer nc.Close()
	s.cfg.Log.Info("connection refused", "peer", nc.RemoteAddr().String(), "reason", why)
	if s.cfg.ImplicitTLS {
		return
	}
	nc.SetWriteDeadline(time.Now().Add(refuseTimeout))
	fmt.Fprintf(nc, "-ERR [SYS/TEMP] %s\r\n", why)
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
func (s *Server) enter(addr netip.Addr) bool {
	if !addr.IsValid() || contains(s.cfg.Exempt, addr) {
		return true
	}
	network := networkOf(addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perIP[network] >= s.cfg.MaxPerIP {
		return false
	}
	s.perIP[network]++
	return true
}

func (s *Server) exit(addr netip.Addr) {
	if !addr.IsValid() || contains(s.cfg.Exempt, addr) {
		return
	}
	network := networkOf(addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perIP[network]--; s.perIP[network] == 0 {
		delete(s.perIP, network)
	}
}

// networkOf is what one customer has: an IPv4 address, or an IPv6 /64.
func networkOf(addr netip.Addr) netip.Prefix {
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	network, err := addr.Prefix(bits)
	if err != nil {
		panic(err)
	}
	return network
}

func contains(networks []netip.Prefix, addr netip.Addr) bool {
	for _, network := range networks {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// addrOf returns the address of the peer, and the zero Addr where it has none.
func addrOf(nc net.Conn) netip.Addr {
	if tcp, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	addr, err := netip.ParseAddrPort(nc.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return addr.Addr().Unmap().WithZone("")
}
