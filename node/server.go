package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"posthaste/auth"
	"posthaste/config"
	"posthaste/directory"
	"posthaste/imapd"
	"posthaste/inbound"
	"posthaste/mail"
	"posthaste/popd"
	"posthaste/queue"
	"posthaste/smtpd"
	"posthaste/submit"
)

// A server serves one listener until ctx ends.
type server interface {
	Serve(ctx context.Context, ln net.Listener) error
}

// adminDrain is how long an administrative command may take to end once the node stops.
const adminDrain = 10 * time.Second

// servers returns the servers of all listeners of p, in their order.
func (n *Node) servers(p *plan) ([]server, error) {
	servers := make([]server, len(p.cfg.Listen))
	for i, l := range p.cfg.Listen {
		var err error
		if servers[i], err = n.server(p, l); err != nil {
			return nil, err
		}
	}
	return servers, nil
}

// server returns the server of a listener.
func (n *Node) server(p *plan, l config.Listen) (server, error) {
	service, implicit := strings.CutSuffix(l.Service, "s")
	var proxies []netip.Prefix
	if l.Proxy {
		proxies = p.cfg.SMTP.ProxyNetworks
	}
	limits := p.cfg.Limits
	switch {
	case service == "mx":
		return n.smtpServer(p, smtpd.MX, false, proxies), nil
	case service == "submission":
		return n.smtpServer(p, smtpd.Submission, implicit, proxies), nil
	case service == "lmtp":
		return n.smtpServer(p, smtpd.LMTP, false, proxies), nil
	case service == "imap":
		return imapd.New(imapd.Config{Store: n.store, Auth: n.auth, Bans: n.bans,
			TLS: p.tls, ImplicitTLS: implicit, PlaintextAuth: p.cfg.TLS.PlaintextAuth,
			Hostname: p.cfg.Hostname, MaxMessage: int64(p.cfg.SMTP.MaxSize),
			MaxSessions: limits.Sessions, MaxPerIP: limits.SessionsPerIP, Exempt: limits.Exempt, Proxies: proxies,
			Trace: n.trace, Log: n.log})
	case service == "pop3":
		return popd.New(popd.Config{Store: n.store, Locks: n.locks, Auth: n.auth, Bans: n.bans,
			TLS: p.tls, ImplicitTLS: implicit, PlaintextAuth: p.cfg.TLS.PlaintextAuth, Hostname: p.cfg.Hostname,
			MaxSessions: limits.Sessions, MaxPerIP: limits.SessionsPerIP, Exempt: limits.Exempt, Proxies: proxies,
			Trace: n.trace, Log: n.log}), nil
	}
	if service == "http" {
		return n.httpServer(p, implicit, proxies), nil
	}
	return nil, fmt.Errorf("node: service %q is none of this version", l.Service)
}

func (n *Node) smtpServer(p *plan, mode smtpd.Mode, implicit bool, proxies []netip.Prefix) *smtpd.Server {
	c := smtpd.Config{
		Mode: mode, Hostname: p.cfg.Hostname, Domain: p.cfg.LocalDomain(), TLS: p.tls, ImplicitTLS: implicit,
		SpoolDir: filepath.Join(p.cfg.Data, spoolName), BareLF: smtpd.BareLF(p.cfg.SMTP.BareLF),
		MaxSize: int64(p.cfg.SMTP.MaxSize), MaxRecipients: p.cfg.SMTP.MaxRecipients,
		MaxSessions: p.cfg.Limits.Sessions, MaxPerIP: p.cfg.Limits.SessionsPerIP, Exempt: p.cfg.Limits.Exempt,
		Proxies: proxies, XClients: p.cfg.SMTP.XClientHosts,
		MaxMessages: p.cfg.SMTP.MaxMessages, MaxHold: p.cfg.SMTP.MaxHold.D(), MinDeliverBy: p.cfg.SMTP.MinDeliverBy.D(),
		Bans: n.bans, Visitors: n.visitors, Trace: n.trace, Log: n.log,
	}
	takes := incoming{policy: p.inbound, submit: p.submit, each: mode == smtpd.LMTP,
		early: p.cfg.SMTP.RejectEarly, milters: p.milters, names: p.resolver}
	if p.cfg.SMTP.VRFY {
		c.Verify = takes
	}
	switch mode {
	case smtpd.Submission:
		c.Auth, c.PlaintextAuth = n.auth, p.cfg.TLS.PlaintextAuth
		users := submission{p.submit}
		c.Senders, c.Recipients, c.Acceptor, c.Logins = users, users, users, logins{n.directory}
	case smtpd.LMTP:
		c.Clients = p.cfg.SMTP.LMTPNetworks
		c.Recipients, c.Acceptor = takes, takes
	default:
		c.Trusted = p.cfg.Relay.Networks
		defend(&c, p.cfg)
		c.Recipients, c.Acceptor = takes, takes
		if p.cfg.SMTP.ETRN {
			c.Flush = flusher{p.inbound, n.queue}
		}
		if takes.early || len(takes.milters) > 0 {
			c.Door, c.Senders = takes, takes
		}
	}
	return smtpd.New(c)
}

// incoming takes mail from other hosts; with each, from a queue that wants an answer per recipient.
type incoming struct {
	policy  *inbound.Policy
	submit  *submit.Submitter
	each    bool
	early   bool             // access rules turn clients away before they speak of mail
	milters []*sessionMilter // who is asked at each step: see milters.go
	names   inbound.IprevResolver
}

// Accept has the policy take a message over. That of a trusted client is groomed as that of users is.
func (i incoming) Accept(ctx context.Context, s *smtpd.Session, env mail.Envelope, content mail.Content) (mail.QueueID, []error, error) {
	if s.Trusted && !i.each {
		fates := make([]submit.Fate, len(s.Fates))
		for n, f := range s.Fates {
			fates[n] = submit.Fate{Hold: f.Hold, Discard: f.Discard}
		}
		id, err := i.submit.Relay(ctx, env, fates, content)
		return id, nil, err
	}
	decisions := make([]inbound.Decision, len(s.Fates))
	for n, f := range s.Fates {
		decisions[n] = inbound.Decision(f)
	}
	return i.policy.Accept(ctx, inbound.Taking{Session: s.ID, Each: i.each, Early: s.EarlyTalker, Decisions: decisions,
		Engines: i.engines(s)}, env, content)
}

// Verify answers VRFY of a client that may ask.
func (i incoming) Verify(ctx context.Context, _ *smtpd.Session, address mail.Address) (mail.Address, error) {
	return i.policy.Verify(ctx, address)
}

// submission takes mail from users.
type submission struct{ submit *submit.Submitter }

// CheckSender asks whether the user may send as that.
func (u submission) CheckSender(ctx context.Context, s *smtpd.Session, env mail.Envelope) error {
	return u.submit.CheckSender(ctx, s.Identity, env.From)
}

// CheckRecipient refuses at once what can never arrive.
func (u submission) CheckRecipient(ctx context.Context, s *smtpd.Session, _ mail.Envelope, to mail.Recipient) (smtpd.Fate, error) {
	answer, err := u.submit.CheckRecipient(ctx, s.Identity, to.Address)
	return smtpd.Fate{Answer: answer}, err
}

// Accept grooms the message and queues it.
func (u submission) Accept(ctx context.Context, s *smtpd.Session, env mail.Envelope, content mail.Content) (mail.QueueID, []error, error) {
	id, err := u.submit.Submit(ctx, s.Identity, env, content)
	return id, nil, err
}

// flusher answers ETRN.
type flusher struct {
	policy *inbound.Policy
	queue  *queue.Queue
}

// Flush has the mail tried that waits for a domain, when the client may ask for that.
func (f flusher) Flush(ctx context.Context, s *smtpd.Session, domain string, below bool) (int, error) {
	if err := f.policy.CheckFlush(ctx, s.Origin, domain); err != nil {
		return 0, err
	}
	patterns := []string{domain}
	if below {
		patterns = append(patterns, "*."+domain)
	}
	var ids []mail.QueueID
	for _, pattern := range patterns {
		for e, err := range f.queue.List(ctx, queue.Filter{State: queue.Deferred, Domain: pattern}) {
			if err != nil {
				return 0, err
			}
			ids = append(ids, e.ID)
		}
	}
	return len(ids), joinFailures(f.queue.Do(ctx, queue.Change{Verb: queue.VerbRetry}, ids))
}

// joinFailures returns what failed, but for entries that have left the queue meanwhile.
func joinFailures(failed map[mail.QueueID]error) error {
	var errs []error
	for _, err := range failed {
		if !errors.Is(err, queue.ErrNoEntry) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// logins finds accounts that a host vouches for by XCLIENT.
type logins struct{ directory *directory.Directory }

// Identify returns who a login is.
func (l logins) Identify(ctx context.Context, login string) (auth.Identity, error) {
	account, err := l.directory.AccountByLogin(ctx, login)
	switch {
	case err != nil:
		return auth.Identity{}, err
	case account.Disabled:
		return auth.Identity{}, auth.ErrCredentials
	}
	return auth.Identity{Account: account.ID, Login: login, Address: account.Address}, nil
}

// serveAdmin offers the administrative operations on the socket in the data directory.
func (n *Node) serveAdmin(ctx context.Context, ln net.Listener) error {
	s := &http.Server{Handler: n.admin.Handler(), ReadHeaderTimeout: adminDrain}
	stopped := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), adminDrain)
		defer cancel()
		stopped <- s.Shutdown(drain)
	})
	if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("node: admin socket: %w", err)
	}
	<-stopped
	return nil
}

// certificateOf returns the certificate that a TLS connection to us was opened with.
func (n *Node) certificateOf(*tls.ConnectionState) *x509.Certificate {
	p := n.present()
	defer p.release()
	return p.cert.Leaf()
}
