package smtpd

import (
	"context"
	"net"
	"sync/atomic"

	"posthaste/mail"
	"posthaste/smtp"
	"posthaste/wire"
)

// A Server answers clients. One Server may serve several listeners.
type Server struct {
	cfg      atomic.Pointer[Config] // of sessions that begin now
	contents contents
	service  wire.Service
}

// New returns a Server.
func New(cfg Config) *Server {
	cfg.setDefaults()
	s := &Server{contents: contents{dir: cfg.SpoolDir, maxMemory: cfg.MaxMemory}}
	s.cfg.Store(&cfg)
	s.service = wire.Service{Name: "smtpd", MaxSessions: cfg.MaxSessions, MaxPerIP: cfg.MaxPerIP, Exempt: cfg.Exempt,
		Proxies: cfg.Proxies, Clients: cfg.Clients, DrainTime: cfg.DrainTime, Session: s.session, Log: cfg.Log}
	if !cfg.ImplicitTLS {
		s.service.Refusal = s.refusal
	}
	return s
}

// Reload makes cfg the configuration of sessions that begin from now on. Those that run keep theirs to
// their end, its policy and acceptor too. Mode, ImplicitTLS, SpoolDir, MaxMemory, DrainTime and Log stay
// as New had them.
func (s *Server) Reload(cfg Config) {
	old := s.cfg.Load()
	cfg.Mode, cfg.ImplicitTLS, cfg.Log = old.Mode, old.ImplicitTLS, old.Log
	setDefault(&cfg.Guesses, old.Guesses)
	cfg.setDefaults()
	s.cfg.Store(&cfg)
	s.service.SetRules(wire.Rules{MaxSessions: cfg.MaxSessions, MaxPerIP: cfg.MaxPerIP, Exempt: cfg.Exempt,
		Proxies: cfg.Proxies, Clients: cfg.Clients})
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
	return string(smtp.AppendReply(nil, mail.NewStatus(421, "4.7.0", s.cfg.Load().Hostname+" "+why)))
}
