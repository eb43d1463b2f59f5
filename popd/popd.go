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
	"crypto/tls"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"posthaste/auth"
	"posthaste/auth/sasl"
	"posthaste/store"
	"posthaste/trace"
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

	Guesses *auth.Guesses // shared by all servers that take logins; nil: made

	MaxSessions int // at once
	MaxPerIP    int // sessions at once from one IPv4 address or IPv6 /64

	Proxies []netip.Prefix // who must begin with a PROXY header and is believed
	Exempt  []netip.Prefix // no MaxPerIP, and as many failed logins as they like

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
	greetTimeout = 30 * time.Second // for TLS and PROXY at the start
	lineTimeout  = time.Minute      // for one command, once it has begun
	writeTimeout = 2 * time.Minute  // for the client to take a block of output
	maxFailures  = 3                // failed logins, before it must connect again
	loginDelay   = time.Second      // after the first failed login; doubles with each
	maxErrors    = 20               // commands in a row that we do not know
)

// A Server answers clients. One Server may serve several listeners.
type Server struct {
	cfg Config

	mu       sync.Mutex // guards what follows
	sessions int
	perIP    map[netip.Prefix]int
}

// New returns a Server.
func New(cfg Config) *Server {
	cfg.MaxSessions = cmp.Or(cfg.MaxSessions, DefaultMaxSessions)
	cfg.MaxPerIP = cmp.Or(cfg.MaxPerIP, DefaultMaxPerIP)
	cfg.DrainTime = cmp.Or(cfg.DrainTime, DefaultDrainTime)
	cfg.Locks = cmp.Or(cfg.Locks, NewLocks())
	cfg.Guesses = cmp.Or(cfg.Guesses, new(auth.Guesses))
	cfg.Log = cmp.Or(cfg.Log, slog.Default())
	if cfg.Trace == nil {
		cfg.Trace = trace.Discard
	}
	return &Server{cfg: cfg, perIP: make(map[netip.Prefix]int)}
}
