package smtpd

import (
	"context"
	"net"
	"net/netip"

	"posthaste/mail"
	"posthaste/smtp"
	"posthaste/wire"
)

// A Server answers clients. One Server may serve several listeners.
type Server struct {
	cfg      Config
	contents contents
	service  wire.Service
}

// New returns a Server.
func New(cfg Config) *Server {
	cfg.setDefaults()
	s := &Server{cfg: cfg, contents: contents{dir: cfg.SpoolDir, maxMemory: cfg.MaxMemory}}
	s.service = wire.Service{Name: "smtpd", MaxSessions: cfg.MaxSessions, MaxPerIP: cfg.MaxPerIP, Exempt: cfg.Exempt,
		Proxies: cfg.Proxies, Clients: cfg.Clients, DrainTime: cfg.DrainTime, Session: s.session, Log: cfg.Log}
	if cfg.Mode != LMTP { // whose clients are listed
		s.service.Deny = func(ip netip.Addr) string { return cfg.Bans.Deny(ip, cfg.Mode == Submission) }
	}
	if !cfg.ImplicitTLS {
		s.service.Refusal = s.refusal
	}
	return s
}

// Serve answers clients of ln until ctx ends. Then sessions finish the command they are at, those that
// wait are told 421 4.3.2, those that still run after Config.DrainTime are cut off, and Serve returns
// nil once the last is over.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error { return s.service.Serve(ctx, ln) }

// session is one client. drain ends when it shall come to an end, work when it must.
func (s *Server) session(drain, work context.Context, nc net.Conn) {
	newSession(s, nc).run(drain, work)
}

// refusal is what a client hears that gets no session.
func (s *Server) refusal(why string) string {
	return string(smtp.AppendReply(nil, mail.NewStatus(421, "4.7.0", s.cfg.Hostname+" "+why)))
}
