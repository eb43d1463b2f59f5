package imapd

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"time"

	"posthaste/auth"
	"posthaste/imap"
	"posthaste/store"
	"posthaste/trace"
	"posthaste/wire"
)

// A session is one client's connection.
type session struct {
	srv  *Server
	conn *wire.Conn
	id   string // for logs and the trace
	log  *slog.Logger

	who     auth.Identity
	account *store.Account // nil before login
	box     *selected      // nil while no mailbox is selected

	rev2      bool // ENABLE IMAP4rev2
	utf8      bool // ENABLE UTF8=ACCEPT or IMAP4rev2
	condstore bool // enabled by any of RFC 7162 section 3.1

	idling   *idling   // nil outside of IDLE
	deadline time.Time // for the next command

	badCommands int // in a row
	logins      int // failed
}

func newSession(srv *Server, nc net.Conn) *session {
	conn := wire.New(nc, wire.Config{MaxLine: maxLine, ReadTimeout: readTimeout, WriteTimeout: writeTimeout})
	var random [6]byte
	rand.Read(random[:])
	id := hex.EncodeToString(random[:])
	return &session{srv: srv, conn: conn, id: id, log: srv.cfg.Log.With("session", id)}
}

// run greets the client and answers commands until the connection, the client or drain ends.
//
// It is here, with little of the stack in use, that a session waits, also during IDLE: Go then cuts the
// stack of an idle session to half.
func (s *session) run(drain, work context.Context) {
	defer s.end()
	err := s.greet(work)
	for err == nil {
		err = s.step(work, s.conn.Park(drain, time.Until(s.deadline)))
	}
	s.farewell(drain, err)
}

// end closes the connection, and catches a failure of our own, which is to end this session only.
func (s *session) end() {
	if failure := recover(); failure != nil {
		s.log.Error("imapd: a session failed, please report this", "panic", failure, "stack", string(debug.Stack()))
		s.say("* BYE [SERVERBUG] internal error\r\n")
		s.conn.Flush()
	}
	if s.idling != nil {
		s.idling.cancel()
	}
	s.conn.Close()
}

func (s *session) greet(ctx context.Context) error {
	if s.srv.cfg.ImplicitTLS {
		if err := s.conn.StartTLS(ctx, s.srv.cfg.TLS, true); err != nil {
			return connError{err}
		}
	}
	s.say("* OK [CAPABILITY " + s.capabilities() + "] " + s.srv.cfg.Hostname + " Posthaste ready\r\n")
	s.deadline = time.Now().Add(loginTimeout)
	return nil
}

// step does what is to be done after a wait that ended with err. An error ends the session.
func (s *session) step(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, wire.ErrWoken):
		if s.idling == nil { // left over from IDLE
			return nil
		}
		return s.advance(ctx, true, 0)
	case err != nil:
		return err
	case s.idling != nil:
		err = s.endIdle()
	default:
		err = s.serveOne(ctx)
	}
	timeout := idleTimeout
	if s.account == nil {
		timeout = loginTimeout
	}
	s.deadline = time.Now().Add(timeout)
	return err
}

// farewell says BYE where somebody may still hear it.
func (s *session) farewell(drain context.Context, err error) {
	switch {
	case errors.Is(err, errEnd):
	case drain.Err() != nil:
		s.say("* BYE [UNAVAILABLE] the server is shutting down\r\n")
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.say("* BYE [UNAVAILABLE] no command for too long\r\n")
	default:
		s.log.Debug("imapd: connection ended", "peer", s.conn.RemoteAddr(), "err", err)
	}
	s.conn.Flush()
}

// serveOne reads one command and answers it. An error ends the session.
func (s *session) serveOne(ctx context.Context) error {
	cmd, err := s.readCommand(ctx)
	var gone connError
	if errors.As(err, &gone) || errors.Is(err, errEnd) {
		return err
	}
	var result answer
	handler, known := commands[cmd.Name]
	if err == nil {
		result, err = s.execute(ctx, cmd, handler, known)
	}
	if err == nil && s.box != nil {
		err = s.advance(ctx, !handler.keepsNumbers, 0)
	}
	return s.finish(cmd, result, err)
}

// execute runs a command that the grammar accepted.
func (s *session) execute(ctx context.Context, cmd imap.Command, h handler, known bool) (answer, error) {
	switch {
	case !known:
		return answer{}, bad("unknown command")
	case h.state == notAuthenticated && s.account != nil:
		return answer{}, bad("already logged in")
	case h.state >= authenticated && s.account == nil:
		return answer{}, bad("log in first")
	case h.state == inMailbox && s.box == nil:
		return answer{}, bad("select a mailbox first")
	}
	return h.run(s, ctx, cmd)
}

// finish prints the tagged response.
func (s *session) finish(cmd imap.Command, result answer, err error) error {
	var gone connError
	switch {
	case errors.Is(err, errDone):
		return nil
	case errors.As(err, &gone) || errors.Is(err, errEnd):
		return err
	case err != nil:
		var expected bool
		if result, expected = answerOf(err); !expected {
			s.log.Error("imapd: a command failed", "command", cmd.Name, "account", s.who.Account, "err", err)
		}
	case result.status == "":
		result.status = "OK"
	}
	if result.text == "" {
		result.text = cmd.Name + " completed"
	}
	tag := cmd.Tag
	if tag == "" {
		tag = "*"
	}
	s.say(tag + " " + result.status + " " + bracketed(result.code) + result.text + "\r\n")
	return s.countBad(result.status == "BAD")
}

// countBad ends a session that talks nonsense only.
func (s *session) countBad(isBad bool) error {
	if !isBad {
		s.badCommands = 0
		return nil
	}
	if s.badCommands++; s.badCommands < maxBadCommands {
		return nil
	}
	s.say("* BYE too many commands that make no sense\r\n")
	return errEnd
}

func bracketed(code string) string {
	if code == "" {
		return ""
	}
	return "[" + code + "] "
}

// say buffers text. What could not be sent shows in the next read.
func (s *session) say(text string) { s.conn.WriteString(text) }

// record leaves an event of the session in the trace.
func (s *session) record(ok bool, asked, answered, text string) {
	s.srv.cfg.Trace.Record(trace.Event{Session: s.id, Step: trace.Access, OK: ok, Peer: s.conn.RemoteAddr().String(),
		Asked: asked, Answered: answered, Text: text})
}

// A state is what must be true of a session for a command to be allowed (RFC 9051 section 3).
type state int

const (
	anyState state = iota
	notAuthenticated
	authenticated // or selected
	inMailbox
)

// A handler is how a command is answered. keepsNumbers forbids EXPUNGE responses while it runs (RFC
// 9051 section 7.5.1).
type handler struct {
	state        state
	run          func(*session, context.Context, imap.Command) (answer, error)
	keepsNumbers bool
}

var commands = map[string]handler{
	"CAPABILITY":   {state: anyState, run: (*session).capability},
	"NOOP":         {state: anyState, run: (*session).noop},
	"LOGOUT":       {state: anyState, run: (*session).logout},
	"ID":           {state: anyState, run: (*session).identify},
	"STARTTLS":     {state: notAuthenticated, run: (*session).startTLS},
	"AUTHENTICATE": {state: notAuthenticated, run: (*session).authenticate},
	"LOGIN":        {state: notAuthenticated, run: (*session).login},
	"ENABLE":       {state: authenticated, run: (*session).enable},
	"SELECT":       {state: authenticated, run: (*session).selectMailbox},
	"EXAMINE":      {state: authenticated, run: (*session).selectMailbox},
	"CREATE":       {state: authenticated, run: (*session).create},
	"DELETE":       {state: authenticated, run: (*session).delete},
	"RENAME":       {state: authenticated, run: (*session).rename},
	"SUBSCRIBE":    {state: authenticated, run: (*session).subscribe},
	"UNSUBSCRIBE":  {state: authenticated, run: (*session).subscribe},
	"LIST":         {state: authenticated, run: (*session).list},
	"LSUB":         {state: authenticated, run: (*session).lsub},
	"NAMESPACE":    {state: authenticated, run: (*session).namespace},
	"STATUS":       {state: authenticated, run: (*session).status},
	"APPEND":       {state: authenticated, run: (*session).append},
	"IDLE":         {state: authenticated, run: (*session).idle},
	"CHECK":        {state: inMailbox, run: (*session).noop},
	"CLOSE":        {state: inMailbox, run: (*session).closeMailbox},
	"UNSELECT":     {state: inMailbox, run: (*session).unselect},
	"EXPUNGE":      {state: inMailbox, run: (*session).expunge},
	"UID EXPUNGE":  {state: inMailbox, run: (*session).expunge},
	"SEARCH":       {state: inMailbox, run: (*session).search, keepsNumbers: true},
	"UID SEARCH":   {state: inMailbox, run: (*session).search},
	"FETCH":        {state: inMailbox, run: (*session).fetch, keepsNumbers: true},
	"UID FETCH":    {state: inMailbox, run: (*session).fetch},
	"STORE":        {state: inMailbox, run: (*session).store, keepsNumbers: true},
	"UID STORE":    {state: inMailbox, run: (*session).store},
	"COPY":         {state: inMailbox, run: (*session).copy},
	"UID COPY":     {state: inMailbox, run: (*session).copy},
	"MOVE":         {state: inMailbox, run: (*session).copy},
	"UID MOVE":     {state: inMailbox, run: (*session).copy},
}
