// Package popd serves POP3: RFC 1939 with CAPA, response codes and PIPELINING (RFC 2449, RFC 3206),
// STLS (RFC 2595), implicit TLS (RFC 8314) and AUTH (RFC 1734, RFC 5034).
//
// A maildrop is the INBOX of an account as it was at login: one immutable view of the store. What comes
// in later shows in the next session. One session at a time has a maildrop ([Locks]); others are told
// [IN-USE]. Messages marked by DELE are removed at QUIT, all in one commit, and by nothing else: a
// session that ends in any other way changes nothing. QUIT also sets \Seen on what was retrieved, so
// that other clients show it as read.
//
// UIDL is the EmailID, which never changes and is never used again. Content is sent byte for byte,
// with CRLF added where it does not end in one.
package popd

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"posthaste/auth/ban"
	"posthaste/auth/sasl"
	"posthaste/store"
	"posthaste/trace"
	"posthaste/wire"
)

// Config says what a Server is. Zero limits mean the defaults below.
type Config struct {
	Hostname      string       // our name in the greeting
	TLS           *tls.Config  // nil: no TLS
	ImplicitTLS   bool         // TLS from the first byte (pop3s)
	Auth          sasl.Backend // who may log in
	PlaintextAuth bool         // passwords without TLS, for labs
	Store         *store.Store // where the mail is
	Locks         *Locks       // shared by all servers on one store; nil: made

	Bans *ban.Bans // shared by all servers, with Exempt; nil: made

	MaxSessions int // at once
	MaxPerIP    int // sessions at once from one IPv4 address or IPv6 /64

	Proxies []netip.Prefix // who must begin with a PROXY header and is believed
	Exempt  []netip.Prefix // no MaxPerIP

	DrainTime time.Duration // how long commands may take to finish once Serve's context ends

	Trace trace.Recorder
	Log   *slog.Logger
}

// Defaults of a Config.
const (
	DefaultMaxSessions = 2000
	DefaultMaxPerIP    = 50
	DefaultDrainTime   = 10 * time.Second
)

// Bounds of one session.
const (
	idleTimeout  = 10 * time.Minute // autologout: at least ten minutes (RFC 1939 section 3)
	greetTimeout = 30 * time.Second // for TLS at the start
	lineTimeout  = time.Minute      // for one command, once it has begun
	writeTimeout = 2 * time.Minute  // for the client to take a block of output
	maxFailures  = 3                // failed logins, before it must connect again
	maxErrors    = 20               // commands in a row that we do not know
)

// A Server answers clients. One Server may serve several listeners.
type Server struct {
	cfg     Config
	service wire.Service
}

// New returns a Server.
func New(cfg Config) *Server {
	cfg.MaxSessions = cmp.Or(cfg.MaxSessions, DefaultMaxSessions)
	cfg.MaxPerIP = cmp.Or(cfg.MaxPerIP, DefaultMaxPerIP)
	cfg.DrainTime = cmp.Or(cfg.DrainTime, DefaultDrainTime)
	cfg.Locks = cmp.Or(cfg.Locks, NewLocks())
	if cfg.Bans == nil {
		cfg.Bans = ban.New(ban.Config{Exempt: cfg.Exempt})
	}
	cfg.Log = cmp.Or(cfg.Log, slog.Default())
	if cfg.Trace == nil {
		cfg.Trace = trace.Discard
	}
	s := &Server{cfg: cfg}
	s.service = wire.Service{Name: "popd", MaxSessions: cfg.MaxSessions, MaxPerIP: cfg.MaxPerIP, Exempt: cfg.Exempt,
		Proxies: cfg.Proxies, DrainTime: cfg.DrainTime, Session: s.session, Log: cfg.Log,
		Deny: func(ip netip.Addr) string { return cfg.Bans.Deny(ip, true) }}
	if !cfg.ImplicitTLS {
		s.service.Refusal = func(why string) string { return "-ERR [SYS/TEMP] " + why + "\r\n" }
	}
	return s
}

// Serve answers clients of ln until ctx ends. Then sessions finish the command they are at, those that
// still run after Config.DrainTime are cut off, and Serve returns nil once the last is over.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error { return s.service.Serve(ctx, ln) }

// session is one client from greeting to close. drain ends when no new command shall begin, work when
// the present one must end.
func (s *Server) session(drain, work context.Context, nc net.Conn) {
	se := newSession(s, nc)
	defer se.close()
	se.run(drain, work)
}
