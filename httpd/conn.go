package httpd

import (
	"errors"
	"net"
	"sync"

	"posthaste/wire"
)

// A listener gives the HTTP server the connections that were taken in.
type listener struct {
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Accept returns the next connection.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr returns where clients connect to.
func (l *listener) Addr() net.Addr { return l.addr }

// A conn tells when it is closed.
type conn struct {
	net.Conn
	closed chan struct{}
	once   sync.Once
}

// Close closes the connection.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { close(c.closed) })
	return err
}

// A watched listener tells when it was handed over.
type watched struct {
	net.Listener
	handedOver func()
}

// Accept returns the next connection.
func (w *watched) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	if errors.Is(err, wire.ErrHandedOver) {
		w.handedOver()
	}
	return c, err
}
