package smtpd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"time"

	"posthaste/auth/ban"
	"posthaste/mail"
	"posthaste/smtp"
	"posthaste/wire"
)

// Timeouts, at least those of RFC 5321 section 4.5.3.2 where it names one.
const (
	idleTimeout    = 5 * time.Minute // for the next command to begin
	commandTimeout = time.Minute     // for a command that began to end
	tlsTimeout     = time.Minute     // for a TLS handshake
	writeTimeout   = 2 * time.Minute // for the client to take our replies
	hangupTimeout  = time.Second     // for the client to read our last reply
)

// Bounds on what a session may do before it is ended.
const (
	maxErrors  = 20   // commands that made no sense
	maxRefused = 2000 // recipients and senders that were refused
	maxNoise   = 500  // commands that moved nothing, since the last message
)

// maxCommand is the longest command line: 512 and what extensions add to it.
const maxCommand = smtp.MaxLine + smtp.MaxExtra

// session is one client.
type session struct {
	srv  *Server
	cfg  *Config
	conn *wire.Conn
	info Session
	peer string // for log and trace

	proxied  xclient // what XCLIENT said
	greeted  bool    // EHLO, HELO or LHLO was given, since TLS if there is TLS
	extended bool    // EHLO or LHLO
	tx       *transaction

	errors, refused, noise int
	loginFailures          int
	connected              bool   // the trace says so
	mails, taken           int    // MAIL commands, messages taken
	out                    []byte // a reply being printed

	spoken       bool          // the client has
	leftByItself bool          // the client did
	tarried      time.Duration // that replies were put off

	began  time.Time
	reason error // why it is over
}

// errQuit ends a session that was told so.
var errQuit = errors.New("smtpd: session is over")

func newSession(srv *Server, nc net.Conn) *session {
	conn := wire.New(nc, wire.Config{MaxLine: maxCommand, ReadTimeout: commandTimeout, WriteTimeout: writeTimeout})
	s := &session{srv: srv, cfg: &srv.cfg, conn: conn, began: time.Now()}
	s.info = Session{ID: randomID(), Mode: s.cfg.Mode}
	s.setClient(conn.RemoteAddr().Addr())
	return s
}

// setClient notes who the client is.
func (s *session) setClient(ip netip.Addr) {
	s.info.Origin.IP = ip
	s.info.Trusted = wire.Contains(s.cfg.Trusted, ip)
	s.peer = "local"
	if ip.IsValid() {
		s.peer = ip.String()
	}
}

// run is the whole session.
func (s *session) run(drain, work context.Context) {
	defer s.end()
	s.reason = s.converse(drain, work)
}

// end closes the session, also after a panic in it.
func (s *session) end() {
	log := s.cfg.Log.With("session", s.info.ID, "peer", s.peer)
	if r := recover(); r != nil {
		log.Error("session panicked", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
	}
	s.reset()
	s.closeState()
	s.noteProbe()
	if errors.Is(s.reason, errQuit) {
		s.conn.Hangup(hangupTimeout)
	} else {
		s.conn.Close()
	}
	log.Debug("session over", "messages", s.taken, "took", time.Since(s.began), "reason", s.reason)
}

// converse speaks until the session is over; it always returns an error.
func (s *session) converse(drain, work context.Context) error {
	if err := s.greet(work); err != nil {
		return err
	}
	for {
		line, err := s.readCommand(drain)
		if err != nil {
			return s.endOn(err)
		}
		before := s.misdeeds()
		err = s.handle(work, line)
		if err == nil {
			err = s.tarpit(drain, before)
		}
		if err != nil {
			return s.endOn(err)
		}
	}
}

// greet begins the session, under TLS where that comes first.
func (s *session) greet(ctx context.Context) error {
	if s.cfg.ImplicitTLS {
		if err := s.startTLS(ctx); err != nil {
			return err
		}
	}
	if over := s.tooMuch(connected); over != nil {
		return s.bye(s.refuseClient(over))
	}
	if err := s.mayCome(ctx); err != nil {
		return err
	}
	if err := s.testPatience(ctx); err != nil {
		return err
	}
	s.welcome()
	return nil
}

// mayCome returns nil for a client that may come in; another is told why not, and the session is over.
func (s *session) mayCome(ctx context.Context) error {
	if s.cfg.Door != nil {
		if err := s.cfg.Door.CheckClient(ctx, &s.info); err != nil {
			return s.bye(s.refuseClient(err))
		}
	}
	return nil
}

// welcome greets the client.
func (s *session) welcome() {
	protocol := " ESMTP "
	if s.cfg.Mode == LMTP {
		protocol = " LMTP "
	}
	s.say(220, "", s.cfg.Hostname+protocol+"Posthaste")
}

// refuseClient returns the greeting of a client that may not come in: 554 or 421, the codes that RFC 5321
// section 4.3.2 has there.
func (s *session) refuseClient(err error) *mail.Status {
	status := *s.statusOf(err, "cannot check a client")
	s.traceRefusedClient(&status)
	if status.Code = 421; status.Enhanced != "" && status.Enhanced[0] == '5' {
		status.Code = 554
	}
	return s.withRef(&status)
}

// readCommand waits for a command line. What is wrong with the line itself is answered here.
func (s *session) readCommand(drain context.Context) ([]byte, error) {
	for {
		if err := s.conn.Park(drain, idleTimeout); err != nil {
			s.leftByItself = errors.Is(err, io.EOF)
			return nil, err
		}
		if s.speaksTLS() {
			s.offence(ban.Scan, "TLS")
			return nil, s.bye(mail.NewStatus(421, "4.7.0", "TLS begins with STARTTLS here"))
		}
		line, err := s.conn.ReadLine()
		if over := s.judge(); over != nil {
			if s.errors >= maxErrors {
				s.offence(ban.BadSession, string(line))
			}
			return nil, s.bye(over)
		}
		switch {
		case errors.Is(err, wire.ErrLineTooLong):
			s.bad(mail.NewStatus(500, "5.5.2", "line too long"))
		case errors.Is(err, wire.ErrBareLF):
			s.bad(mail.NewStatus(500, "5.5.2", "end lines in CRLF"))
		default:
			return line, err
		}
	}
}

// endOn says goodbye where err leaves a client to say it to.
func (s *session) endOn(err error) error {
	switch {
	case errors.Is(err, errQuit):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return s.bye(mail.NewStatus(421, "4.4.2", s.cfg.Hostname+" timed out waiting for you"))
	case errors.Is(err, context.Canceled):
		return s.bye(mail.NewStatus(421, "4.3.2", s.cfg.Hostname+" is shutting down, try again soon"))
	}
	return err
}

// bye sends the last reply of a session.
func (s *session) bye(status *mail.Status) error {
	s.reply(status)
	return fmt.Errorf("%w: %w", errQuit, status)
}

// judge returns why a session shall end that has done too much of what leads nowhere, or nil. It is
// the reply to the command after the last one that was too many.
func (s *session) judge() *mail.Status {
	switch {
	case s.errors >= maxErrors:
		return mail.NewStatus(421, "4.7.0", s.cfg.Hostname+" too many errors")
	case s.refused >= maxRefused:
		return mail.NewStatus(421, "4.7.0", s.cfg.Hostname+" too many refused addresses")
	case s.noise >= maxNoise:
		return mail.NewStatus(421, "4.7.0", s.cfg.Hostname+" too many commands without a message")
	}
	return nil
}

// reply buffers a reply; it is sent before the next wait for input.
func (s *session) reply(status *mail.Status) {
	s.out = smtp.AppendReply(s.out[:0], status)
	s.conn.Write(s.out) // an error shows when the next read flushes
}

func (s *session) say(code int, enhanced, text string) {
	s.reply(&mail.Status{Code: code, Enhanced: enhanced, Text: text})
}

// bad answers a command that made no sense.
func (s *session) bad(err error) {
	s.errors++
	s.reply(mail.StatusOf(err))
}

// outOfOrder answers a command that has no place here.
func (s *session) outOfOrder(text string) { s.bad(mail.NewStatus(503, "5.5.1", text)) }

// statusOf returns the reply to an error of policy or Acceptor, and logs what the client is not told.
func (s *session) statusOf(err error, doing string) *mail.Status {
	status := mail.StatusOf(err)
	var known *mail.Status
	switch {
	case !errors.As(err, &known):
		s.cfg.Log.Error(doing, "session", s.info.ID, "peer", s.peer, "err", err)
	case error(known) != err && known.Temporary(): // there is more to it than the client is told
		s.cfg.Log.Warn(doing, "session", s.info.ID, "peer", s.peer, "err", err)
	}
	if status.OK() || status.Code < 400 {
		return mail.NewStatus(451, "4.3.0", "a local error, try again later")
	}
	return status
}

// startTLS performs the handshake and notes what came of it.
func (s *session) startTLS(ctx context.Context) error {
	s.conn.SetTimeouts(tlsTimeout, writeTimeout)
	defer s.conn.SetTimeouts(commandTimeout, writeTimeout)
	if err := s.conn.StartTLS(ctx, s.cfg.TLS, true); err != nil {
		s.traceTLS(err)
		return fmt.Errorf("smtpd: TLS handshake: %v", err) // not wrapped: there is nobody to say goodbye to
	}
	state := s.conn.TLS()
	s.info.Origin.TLS = tls.VersionName(state.Version) + " " + tls.CipherSuiteName(state.CipherSuite)
	return nil
}
