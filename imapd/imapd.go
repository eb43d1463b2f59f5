// Package imapd serves mailboxes to mail clients by IMAP4rev1 (RFC 3501) and IMAP4rev2 (RFC 9051).
//
// A [Server] runs one goroutine for each session. Between commands and during IDLE it waits in
// wire.Conn.Park, holding no buffer. What a session knows of its mailbox is an immutable view of
// package store, shared with all other sessions at the same version, and the few messages that are
// gone but that its client has not been told of: see [selected]. Changes that others make are told
// with every command, at once during IDLE, and expunges only where RFC 9051 section 7.5.1 allows.
//
// Nothing is written to a client while the store is inside a View, and no lock is held.
//
// Extensions beside the base: APPENDLIMIT, CONDSTORE, CREATE-SPECIAL-USE, LITERAL+, MULTIAPPEND,
// SAVEDATE, UTF8=ACCEPT, WITHIN.
package imapd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"posthaste/auth/sasl"
	"posthaste/store"
	"posthaste/trace"
	"posthaste/wire"
)

// Bounds of a session.
const (
	maxLine           = 64 << 10         // bytes of a line
	maxCommand        = 512 << 10        // bytes of a command with its literals, messages excepted
	maxCommandNoLogin = 16 << 10         // the same before login
	maxBadCommands    = 30               // commands that make no sense, in a row
	maxLogins         = 5                // failed logins
	loginDelay        = time.Second      // more with each failed login
	loginTimeout      = 2 * time.Minute  // without a command, before login
	idleTimeout       = 30 * time.Minute // without a command, after login (RFC 9051 section 5.4)
	readTimeout       = 5 * time.Minute  // inside a command
	writeTimeout      = 5 * time.Minute
	drainTimeout      = 5 * time.Second // for the command that runs when the server ends
	maxAppends        = 1000            // messages of one MULTIAPPEND
	appendWait        = time.Minute     // for a share of Config.Memory
)

// Defaults of [Config].
const (
	DefaultMaxMessage  = 50 << 20
	DefaultMaxSessions = 20_000
	DefaultMemory      = 1 << 30
)

// Config is what a Server works with. Store and Auth are needed.
type Config struct {
	Store *store.Store
	Auth  sasl.Backend

	TLS           *tls.Config // nil: no TLS
	ImplicitTLS   bool        // TLS from the first byte (imaps), not by STARTTLS
	PlaintextAuth bool        // passwords may be sent without TLS

	Hostname    string
	MaxMessage  int64 // bytes of an appended message
	MaxSessions int   // at the same time; more wait in the backlog of the kernel
	Memory      int64 // bytes of messages being appended, in all sessions together

	Trace trace.Recorder
	Log   *slog.Logger
}

// A Server answers IMAP clients.
type Server struct {
	cfg     Config
	appends *semaphore.Weighted // bytes of messages being appended
	outputs sync.Pool           // of *[]byte: output of FETCH
}

// New returns a Server.
func New(cfg Config) (*Server, error) {
	if cfg.Store == nil || cfg.Auth == nil {
		return nil, errors.New("imapd: Config.Store and Config.Auth are needed")
	}
	if cfg.ImplicitTLS && cfg.TLS == nil {
		return nil, errors.New("imapd: implicit TLS needs Config.TLS")
	}
	if cfg.MaxMessage <= 0 {
		cfg.MaxMessage = DefaultMaxMessage
	}
	if cfg.MaxSessions <= 0 {
		cfg.MaxSessions = DefaultMaxSessions
	}
	if cfg.Memory <= 0 {
		cfg.Memory = DefaultMemory
	}
	cfg.Memory = max(cfg.Memory, cfg.MaxMessage)
	if cfg.Trace == nil {
		cfg.Trace = trace.Discard
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return &Server{cfg: cfg, appends: semaphore.NewWeighted(cfg.Memory)}, nil
}

// Serve answers clients of ln until ctx ends, then returns nil once the last session is over. A
// command that runs then has drainTimeout to end.
func (srv *Server) Serve(ctx context.Context, ln net.Listener) error {
	var sessions sync.WaitGroup
	defer sessions.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { ln.Close() })
	slots := make(chan struct{}, srv.cfg.MaxSessions)
	for {
		select {
		case slots <- struct{}{}: // the kernel's backlog holds those who wait for a slot
		case <-ctx.Done():
			return nil
		}
		nc, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				nc.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("imapd: accept on %s: %w", ln.Addr(), err)
		case err != nil: // out of files, or the client is gone already
			srv.cfg.Log.Warn("imapd: a connection could not be accepted", "err", err)
			pause(ctx, acceptPause)
			<-slots
			continue
		}
		sessions.Go(func() {
			srv.session(ctx, nc)
			<-slots
		})
	}
}

// acceptPause is how long Serve waits after a failed accept.
const acceptPause = 50 * time.Millisecond

// session runs one connection to its end.
func (srv *Server) session(ctx context.Context, nc net.Conn) {
	conn := wire.New(nc, wire.Config{MaxLine: maxLine, ReadTimeout: readTimeout, WriteTimeout: writeTimeout})
	defer conn.Close()
	over := make(chan struct{})
	defer close(over)
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-over:
		case <-time.After(drainTimeout):
			conn.Close()
		}
	})
	defer stop()
	newSession(srv, conn).run(ctx)
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
