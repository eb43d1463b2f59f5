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

// A target is one address of a host, and what the host must show.
type target struct {
	host   Host
	addr   netip.AddrPort
	demand demand
}

// connect opens a session to a target: greeting, EHLO, TLS, AUTH. Where opportunistic TLS fails it
// connects once more and stays in plaintext.
func (a *Agent) connect(ctx context.Context, j *job, t target) (*session, *failure) {
	started := time.Now()
	s, fail, err := a.open(ctx, j, t)
	if errors.Is(err, errHandshake) && t.demand.level == Opportunistic && !j.env.RequireTLS {
		a.traceConnectFailed(j, t.host, t.addr, fail, time.Since(started), "trying again without encryption")
		t.demand.level, t.demand.report.Domain = Plaintext, "" // it is counted already
		s, fail, _ = a.open(ctx, j, t)
	}
	if fail != nil {
		a.traceConnectFailed(j, t.host, t.addr, fail, time.Since(started), "")
		return nil, fail
	}
	a.traceConnected(j, s, time.Since(started))
	return s, nil
}

// open makes one attempt. Its error tells a failed handshake from other failures.
func (a *Agent) open(ctx context.Context, j *job, t target) (*session, *failure, error) {
	nc, err := a.dial(ctx, j.dest, t)
	if err != nil {
		return nil, &failure{mail.NewStatus(451, "4.4.1", "%s: cannot connect: %s", peerName(t.host, t.addr), err)}, err
	}
	s := &session{
		perConnection: j.dest.PerConnection,
		conn:          wire.New(nc, wire.Config{MaxLine: maxReplyLine}), host: t.host, addr: t.addr, key: j.poolKey(t.host),
		timeouts: a.cfg.Timeouts, lmtp: j.dest.LMTP, demand: t.demand, helo: j.dest.Helo,
	}
	if s.helo == "" {
		s.helo = a.cfg.Hostname
	}
	stop := context.AfterFunc(ctx, func() { s.conn.Close() })
	defer stop()
	err = s.establish(ctx, a, j.dest)
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

// dial opens the connection, from the destination's source, and remembers addresses that do not answer.
func (a *Agent) dial(ctx context.Context, dest Destination, t target) (net.Conn, error) {
	dialing, cancel := context.WithTimeout(ctx, a.cfg.Timeouts.Connect)
	defer cancel()
	var nc net.Conn
	var err error
	switch {
	case t.host.Socket != "":
		nc, err = a.cfg.Dial(dialing, "unix", t.host.Socket)
	case dest.Source.IsValid():
		nc, err = a.cfg.DialFrom(dialing, dest.Source, "tcp", t.addr.String())
	default:
		nc, err = a.cfg.Dial(dialing, "tcp", t.addr.String())
	}
	if err != nil {
		if ctx.Err() == nil && t.host.Socket == "" {
			a.dead.bury(t.addr, time.Now())
		}
		return nil, errors.New(dialError(dialing, err))
	}
	a.dead.raise(t.addr)
	return nc, nil
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
func (s *session) establish(ctx context.Context, a *Agent, dest Destination) error {
	if s.demand.level == Implicit {
		if err := s.startTLS(ctx, a.tls); err != nil {
			return err
		}
	}
	if err := s.greet(); err != nil {
		return err
	}
	if err := s.hello(); err != nil {
		return err
	}
	err := s.upgrade(ctx, a)
	if s.demand.level != Plaintext {
		a.countTLS(s)
	}
	if err != nil {
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
func (s *session) hello() error {
	verb := "EHLO "
	if s.lmtp {
		verb = "LHLO "
	}
	reply, err := s.command(verb+s.helo, s.timeouts.Command)
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
	if reply, err = s.command("HELO "+s.helo, s.timeouts.Command); err != nil {
		return s.failed("reply to HELO", err)
	}
	if !reply.OK() {
		return &failure{reply}
	}
	return nil
}

// upgrade does STARTTLS as the demand has it. After it the host is asked anew what it offers, because
// what was said in plaintext proves nothing (RFC 3207 section 4.2).
func (s *session) upgrade(ctx context.Context, a *Agent) error {
	if s.demand.level == Plaintext || s.demand.level == Implicit {
		return nil
	}
	if !s.ext.startTLS {
		return s.unencrypted("it offers no STARTTLS")
	}
	reply, err := s.command("STARTTLS", s.timeouts.Command)
	if err != nil {
		return s.handshakeFailed(err)
	}
	if reply.Code != 220 {
		return s.unencrypted("it refused STARTTLS: " + reply.Error())
	}
	if err := s.startTLS(ctx, a.tls); err != nil {
		return err
	}
	return s.hello()
}

// unencrypted goes on in plaintext, or fails where that is forbidden.
func (s *session) unencrypted(why string) error {
	if s.demand.level == Opportunistic && !s.dead {
		return nil
	}
	return &failure{mail.NewStatus(451, "4.7.10", "%s: mail to this host must be encrypted%s, but %s", s.address(), s.because(), why)}
}

// because names who asks for TLS.
func (s *session) because() string {
	if s.demand.why == "" {
		return ""
	}
	return " (" + s.demand.why + " asks for it)"
}

// startTLS does the handshake and notes, or demands, that the certificate proves who the host is.
func (s *session) startTLS(ctx context.Context, base *tls.Config) error {
	cfg := base.Clone()
	if s.demand.dane != nil {
		cfg = s.demand.dane.TLSConfig(base)
	} else {
		cfg.ServerName = certificateName(s.host)
	}
	cfg.InsecureSkipVerify = true // VerifyConnection decides, because most demands only want to know
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		s.verified = s.demand.check(state, cfg)
		if s.demand.strict() {
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
	s.handshake = err
	status := mail.NewStatus(451, "4.7.5", "%s: %v%s: %s", s.address(), errHandshake, s.because(), plain(err))
	return errors.Join(errHandshake, &failure{status})
}

// verifyChain checks the certificate chain against roots, as crypto/tls would.
func verifyChain(state tls.ConnectionState, cfg *tls.Config) error {
	if len(state.PeerCertificates) == 0 {
		return errNoCertificate
	}
	options := x509.VerifyOptions{Roots: cfg.RootCAs, Intermediates: x509.NewCertPool()}
	if cfg.Time != nil {
		options.CurrentTime = cfg.Time()
	}
	for _, c := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(options)
	return err
}

// poolKey names the sessions that may be used for j's host h: those set up in the same way.
func (j *job) poolKey(h Host) string {
	d := j.dest
	login := ""
	if d.Login != nil {
		login = d.Login.Username
	}
	policy := d.policy.tag()
	if j.env.TLSOptional {
		policy = "optional"
	}
	return fmt.Sprintf("%s:%d %v %d %d %s %s %s %s", h.Name, portFor(d, h), d.LMTP, d.TLS, d.mx, d.Source, d.Helo, login, policy)
}

func portOf(addr netip.AddrPort) string { return strconv.Itoa(int(addr.Port())) }
