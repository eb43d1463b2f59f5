package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"posthaste/mail"
	"posthaste/wire"
)

// errHandshake says that TLS was offered but could not be set up.
var errHandshake = errors.New("the TLS handshake failed")

// connect opens a session to one address of a host: greeting, EHLO, TLS, AUTH. Where opportunistic
// TLS fails it connects once more and stays in plaintext.
func (a *Agent) connect(ctx context.Context, j *job, h Host, addr netip.AddrPort) (*session, *failure) {
	started := time.Now()
	s, fail, err := a.open(ctx, j.dest, h, addr, j.dest.TLS)
	if errors.Is(err, errHandshake) && j.dest.TLS == Opportunistic && !j.env.RequireTLS {
		a.traceConnectFailed(j, h, addr, fail, time.Since(started), "trying again without encryption")
		s, fail, _ = a.open(ctx, j.dest, h, addr, Plaintext)
	}
	if fail != nil {
		a.traceConnectFailed(j, h, addr, fail, time.Since(started), "")
		return nil, fail
	}
	a.traceConnected(j, s, time.Since(started))
	return s, nil
}

// open makes one attempt. Its error tells a failed handshake from other failures.
func (a *Agent) open(ctx context.Context, dest Destination, h Host, addr netip.AddrPort, policy TLSPolicy) (*session, *failure, error) {
	dialing, cancel := context.WithTimeout(ctx, a.cfg.Timeouts.Connect)
	defer cancel()
	nc, err := a.cfg.Dial(dialing, "tcp", addr.String())
	if err != nil {
		return nil, &failure{mail.NewStatus(451, "4.4.1", "%s: cannot connect: %s", peerName(h, addr), dialError(dialing, err))}, err
	}
	s := &session{
		conn: wire.New(nc, wire.Config{MaxLine: maxReplyLine}), host: h, addr: addr, key: dest.poolKey(h),
		timeouts: a.cfg.Timeouts, lmtp: dest.LMTP,
	}
	stop := context.AfterFunc(ctx, func() { s.conn.Close() })
	defer stop()
	err = s.establish(ctx, a, dest, policy)
	if err == nil {
		return s, nil, nil
	}
	s.quit()
	var fail *failure
	if !errors.As(err, &fail) {
		fail = s.failed("setting up the session", err)
	}
	return nil, fail, err
}

// Error makes a failure travel as an error within this file.
func (f *failure) Error() string { return f.status.Error() }

func dialError(ctx context.Context, err error) string {
	if ctx.Err() != nil || isTimeout(err) {
		return "no answer in time"
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	return strings.TrimPrefix(err.Error(), "connect: ")
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// establish goes from a new connection to a session ready for MAIL.
func (s *session) establish(ctx context.Context, a *Agent, dest Destination, policy TLSPolicy) error {
	if policy == Implicit {
		if err := s.startTLS(ctx, a.tls, policy); err != nil {
			return err
		}
	}
	if err := s.greet(); err != nil {
		return err
	}
	if err := s.hello(a.cfg.Hostname); err != nil {
		return err
	}
	if err := s.upgrade(ctx, a, policy); err != nil {
		return err
	}
	if !s.lmtp && a.own[s.ext.name] && dest.Domain != "" && !strings.HasPrefix(dest.Domain, "[") {
		return &failure{mail.NewStatus(451, "4.4.6", "%s calls itself %s, which is our own name: mail would go in circles", s.address(), s.ext.name)}
	}
	if dest.Login != nil {
		return s.authenticate(*dest.Login)
	}
	return nil
}

// greet reads the greeting. A 5xx (often 554, RFC 5321 section 3.1) sends us to the next host.
func (s *session) greet() error {
	reply, err := s.read(s.timeouts.Greeting)
	switch {
	case err != nil:
		return s.failed("waiting for the greeting", err)
	case reply.Code != 220:
		return &failure{reply}
	}
	name, _, _ := strings.Cut(reply.Text, " ")
	s.ext.name = strings.ToLower(name)
	return nil
}

// hello says EHLO, or HELO where EHLO is not understood, or LHLO.
func (s *session) hello(hostname string) error {
	verb := "EHLO "
	if s.lmtp {
		verb = "LHLO "
	}
	reply, err := s.command(verb+hostname, s.timeouts.Command)
	if err != nil {
		return s.failed("reply to EHLO", err)
	}
	if reply.OK() {
		s.ext = parseExtensions(reply)
		return nil
	}
	if s.lmtp || !reply.Permanent() {
		return &failure{reply}
	}
	s.ext = extensions{} // of an earlier EHLO, before STARTTLS
	if reply, err = s.command("HELO "+hostname, s.timeouts.Command); err != nil {
		return s.failed("reply to HELO", err)
	}
	if !reply.OK() {
		return &failure{reply}
	}
	return nil
}

// upgrade does STARTTLS as policy has it. After it the host is asked anew what it offers, because
// what was said in plaintext proves nothing (RFC 3207 section 4.2).
func (s *session) upgrade(ctx context.Context, a *Agent, policy TLSPolicy) error {
	if policy == Plaintext || policy == Implicit {
		return nil
	}
	if !s.ext.startTLS {
		return s.unencrypted(policy, "it offers no STARTTLS")
	}
	reply, err := s.command("STARTTLS", s.timeouts.Command)
	if err != nil {
		return s.handshakeFailed(err)
	}
	if reply.Code != 220 {
		return s.unencrypted(policy, "it refused STARTTLS: "+reply.Error())
	}
	if err := s.startTLS(ctx, a.tls, policy); err != nil {
		return err
	}
	return s.hello(a.cfg.Hostname)
}

// unencrypted goes on in plaintext, or fails where the policy forbids that.
func (s *session) unencrypted(policy TLSPolicy, why string) error {
	if policy == Opportunistic && !s.dead {
		return nil
	}
	return &failure{mail.NewStatus(451, "4.7.10", "%s: mail to this host must be encrypted, but %s", s.address(), why)}
}

// startTLS does the handshake and notes, or demands, that the certificate proves the host's name.
func (s *session) startTLS(ctx context.Context, base *tls.Config, policy TLSPolicy) error {
	cfg := base.Clone()
	if len(s.host.Addrs) == 0 {
		cfg.ServerName = s.host.Name
	} else {
		cfg.ServerName = s.host.Addrs[0].String()
	}
	cfg.InsecureSkipVerify = true // VerifyConnection decides, because most policies only want to know
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		s.verified = verify(state, cfg)
		if policy == Verified || policy == Implicit {
			return s.verified
		}
		return nil
	}
	s.conn.SetTimeouts(s.timeouts.Command, s.timeouts.Block)
	if err := s.conn.StartTLS(ctx, cfg, false); err != nil {
		return s.handshakeFailed(err)
	}
	s.secured = tls.VersionName(s.conn.TLS().Version)
	return nil
}

func (s *session) handshakeFailed(err error) error {
	s.dead = true
	status := mail.NewStatus(451, "4.7.5", "%s: %v: %s", s.address(), errHandshake, plain(err))
	return errors.Join(errHandshake, &failure{status})
}

// verify checks the certificate chain against roots and name, as crypto/tls would.
func verify(state tls.ConnectionState, cfg *tls.Config) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the host showed no certificate")
	}
	options := x509.VerifyOptions{Roots: cfg.RootCAs, DNSName: cfg.ServerName, Intermediates: x509.NewCertPool()}
	if cfg.Time != nil {
		options.CurrentTime = cfg.Time()
	}
	for _, c := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(options)
	return err
}

// poolKey names the sessions that may be used for dest's host h: those set up in the same way.
func (d Destination) poolKey(h Host) string {
	login := ""
	if d.Login != nil {
		login = d.Login.Username
	}
	return fmt.Sprintf("%s:%d %v %d %s", h.Name, d.Port, d.LMTP, d.TLS, login)
}

func portOf(addr netip.AddrPort) string { return strconv.Itoa(int(addr.Port())) }
