package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"time"
)

// StartTLS flushes and performs a TLS handshake, as server or client, within the read timeout. Input
// that came ahead of it is never read as if it had come encrypted: the peer has injected it, or lets
// somebody inject it, so StartTLS returns ErrInjected and the caller closes the connection. After
// any error the connection is of no more use.
func (c *Conn) StartTLS(ctx context.Context, cfg *tls.Config, server bool) error {
	if c.tls != nil {
		return errors.New("wire: TLS has started already")
	}
	if c.Buffered() > 0 {
		return ErrInjected
	}
	if err := c.Flush(); err != nil {
		return err
	}
	c.in.release()
	if err := c.nc.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	tc := tls.Client(&c.link, cfg)
	if server {
		tc = tls.Server(&c.link, cfg)
	}
	// The handshake needs a deep stack. In a goroutine of its own the session keeps its small one.
	done := make(chan error)
	go func() { done <- tc.HandshakeContext(ctx) }()
	if err := <-done; err != nil {
		return err
	}
	c.mu.Lock()
	c.tls = tc
	c.mu.Unlock()
	return nil
}

// TLS returns the state of TLS, or nil without TLS.
func (c *Conn) TLS() *tls.ConnectionState {
	if c.tls == nil {
		return nil
	}
	state := c.tls.ConnectionState()
	return &state
}
