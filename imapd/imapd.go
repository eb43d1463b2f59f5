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
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"posthaste/auth/ban"
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
	maxLogins         = 5                // failed logins; see also package ban
	loginTimeout      = 2 * time.Minute  // without a command, before login
	idleTimeout       = 30 * time.Minute // without a command, after login (RFC 9051 section 5.4)
	readTimeout       = 5 * time.Minute  // inside a command
	writeTimeout      = 5 * time.Minute
	maxAppends        = 1000        // messages of one MULTIAPPEND
	appendWait        = time.Minute // for a share of Config.Memory
)

// Defaults of [Config].
const (
	DefaultMaxMessage  = 50 << 20
	DefaultMaxSessions = 20_000
	DefaultMaxPerIP    = 100
	DefaultMemory      = 1 << 30
	DefaultDrainTime   = 10 * time.Second
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
	MaxSessions int   // at once
	MaxPerIP    int   // sessions at once from one IPv4 address or IPv6 /64
	Memory      int64 // bytes of messages being appended, in all sessions together

	Bans *ban.Bans // shared by all servers, with Exempt; nil: made

	Proxies []netip.Prefix // who must begin with a PROXY header and is believed
	Exempt  []netip.Prefix // no MaxPerIP

	DrainTime time.Duration // how long commands may take to finish once Serve's context ends

	Trace trace.Recorder
	Log   *slog.Logger
}

// A Server answers IMAP clients.
type Server struct {
	cfg     Config
	appends *semaphore.Weighted // bytes of messages being appended
	outputs sync.Pool           // of *[]byte: output of FETCH
	service wire.Service
}

// New returns a Server.
func New(cfg Config) (*Server, error) {
	if cfg.Store == nil || cfg.Auth == nil {
		return nil, errors.New("imapd: Config.Store and Config.Auth are needed")
	}
	if cfg.ImplicitTLS && cfg.TLS == nil {
		return nil, errors.New("imapd: implicit TLS needs Config.TLS")
	}
	cfg.setDefaults()
	srv := &Server{cfg: cfg, appends: semaphore.NewWeighted(cfg.Memory)}
	srv.service = wire.Service{Name: "imapd", MaxSessions: cfg.MaxSessions, MaxPerIP: cfg.MaxPerIP, Exempt: cfg.Exempt,
		Proxies: cfg.Proxies, DrainTime: cfg.DrainTime, Session: srv.session, Log: cfg.Log,
		Deny: func(ip netip.Addr) string { return cfg.Bans.Deny(ip, true) }}
	if !cfg.ImplicitTLS {
		srv.service.Refusal = func(why string) string { return "* BYE [UNAVAILABLE] " + why + "\r\n" }
	}
	return srv, nil
}

func (cfg *Config) setDefaults() {
	cfg.MaxMessage = cmp.Or(cfg.MaxMessage, DefaultMaxMessage)
	cfg.MaxSessions = cmp.Or(cfg.MaxSessions, DefaultMaxSessions)
	cfg.MaxPerIP = cmp.Or(cfg.MaxPerIP, DefaultMaxPerIP)
	cfg.Memory = max(cmp.Or(cfg.Memory, DefaultMemory), cfg.MaxMessage)
	cfg.DrainTime = cmp.Or(cfg.DrainTime, DefaultDrainTime)
	if cfg.Bans == nil {
		cfg.Bans = ban.New(ban.Config{Exempt: cfg.Exempt})
	}
	cfg.Log = cmp.Or(cfg.Log, slog.Default())
	if cfg.Trace == nil {
		cfg.Trace = trace.Discard
	}
}

// Serve answers clients of ln until ctx ends. Then sessions finish the command they are at and say BYE,
// those that still run after Config.DrainTime are cut off, and Serve returns nil once the last is over.
func (srv *Server) Serve(ctx context.Context, ln net.Listener) error {
	return srv.service.Serve(ctx, ln)
}

// session is one client. drain ends when no new command shall begin, work when the present one must
// end.
func (srv *Server) session(drain, work context.Context, nc net.Conn) {
	newSession(srv, nc).run(drain, work)
}
