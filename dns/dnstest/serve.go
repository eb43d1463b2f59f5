package dnstest

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

const (
	maxWorkers   = 64               // queries and connections in work at one time, for each network
	streamIdle   = 10 * time.Second // for a query on an open stream
	listenTries  = 16               // until a port is free for both UDP and TCP
	maxDatagram  = 4096
	writeTimeout = 5 * time.Second
)

// listeners are the sockets of a Server that listens.
type listeners struct {
	udp net.PacketConn
	tcp net.Listener
}

// Listen binds UDP and TCP at address, "127.0.0.1:0" for a free port, the same for both.
func (s *Server) Listen(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("dnstest: listen: %w", err)
	}
	for range listenTries {
		if s.tcp, err = net.Listen("tcp", address); err != nil {
			break
		}
		bound := s.tcp.Addr().(*net.TCPAddr).Port
		if s.udp, err = net.ListenPacket("udp", net.JoinHostPort(host, strconv.Itoa(bound))); err == nil {
			return nil
		}
		s.tcp.Close()
		if port != "0" {
			break
		}
	}
	return fmt.Errorf("dnstest: listen on %s: %w", address, err)
}

// Address returns where the server listens, "127.0.0.1:5300".
func (s *Server) Address() string { return s.tcp.Addr().String() }

// Serve answers until ctx ends, then returns nil. Call it once, after Listen.
func (s *Server) Serve(ctx context.Context) error {
	var work sync.WaitGroup
	defer work.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() {
		s.udp.Close()
		s.tcp.Close()
	})
	failed := make(chan error, 2)
	work.Go(func() { failed <- s.serveUDP(ctx) })
	work.Go(func() { failed <- s.serveTCP(ctx) })
	err := <-failed
	cancel()
	if second := <-failed; err == nil {
		err = second
	}
	return err
}

func (s *Server) serveUDP(ctx context.Context) error {
	var work sync.WaitGroup
	defer work.Wait()
	slots := make(chan struct{}, maxWorkers)
	for {
		buf := make([]byte, maxDatagram)
		n, from, err := s.udp.ReadFrom(buf)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("dnstest: read from %s: %w", s.udp.LocalAddr(), err)
		}
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			if reply := s.later(ctx, buf[:n], false); reply != nil {
				s.udp.WriteTo(reply, from) // a client that is gone asks again
			}
		})
	}
}

func (s *Server) serveTCP(ctx context.Context) error {
	var work sync.WaitGroup
	defer work.Wait()
	slots := make(chan struct{}, maxWorkers)
	for {
		conn, err := s.tcp.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("dnstest: accept on %s: %w", s.tcp.Addr(), err)
		}
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			s.stream(ctx, conn)
		})
	}
}

// stream answers the queries of one connection in order.
func (s *Server) stream(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	for {
		conn.SetReadDeadline(time.Now().Add(streamIdle))
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		reply := s.later(ctx, query, true)
		if reply == nil {
			return
		}
		conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		framed := binary.BigEndian.AppendUint16(nil, uint16(len(reply)))
		if _, err := conn.Write(append(framed, reply...)); err != nil {
			return
		}
	}
}

// later returns the reply once its delay is over, or nil for none.
func (s *Server) later(ctx context.Context, query []byte, stream bool) []byte {
	reply, delay := s.answer(query, stream)
	if delay <= 0 {
		return reply
	}
	select {
	case <-time.After(delay):
		return reply
	case <-ctx.Done():
		return nil
	}
}
