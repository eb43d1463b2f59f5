package popd

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"

	"posthaste/auth"
	"posthaste/pop3"
	"posthaste/trace"
	"posthaste/wire"
)

// A session is one client from greeting to close. Before login, drop is nil: the AUTHORIZATION state of
// RFC 1939; after it, TRANSACTION.
type session struct {
	*Server
	conn     *wire.Conn
	addr     netip.Addr // of the client; zero where it has none
	id       string
	log      *slog.Logger
	user     string // of USER, awaiting PASS
	identity auth.Identity
	drop     *maildrop
	failures int  // failed logins
	errors   int  // commands in a row that were none
	over     bool // the reply that is on its way is the last
}

func newSession(s *Server, nc net.Conn) *session {
	var id [6]byte
	rand.Read(id[:])
	se := &session{Server: s, id: hex.EncodeToString(id[:])}
	se.conn = wire.New(nc, wire.Config{MaxLine: pop3.MaxLine, ReadTimeout: greetTimeout, WriteTimeout: writeTimeout})
	se.addr = se.conn.RemoteAddr().Addr()
	se.log = s.cfg.Log.With("session", se.id, "peer", se.peer())
	return se
}

func (se *session) peer() string {
	if se.addr.IsValid() {
		return se.addr.String()
	}
	return "local"
}

// run speaks with the client until it quits, goes, idles too long, or drain ends.
func (se *session) run(drain, work context.Context) {
	if se.cfg.ImplicitTLS {
		if err := se.conn.StartTLS(work, se.cfg.TLS, true); err != nil {
			se.log.Debug("TLS failed", "err", err)
			return
		}
	}
	se.conn.SetTimeouts(lineTimeout, writeTimeout)
	se.ok("%s POP3 ready", se.cfg.Hostname)
	for !se.over {
		// RFC 1939 section 3: the end of the idle time closes the connection without a word.
		if err := se.conn.Park(drain, idleTimeout); err != nil {
			return
		}
		line, err := se.conn.ReadLine()
		switch {
		case errors.Is(err, wire.ErrLineTooLong):
			se.bad("line too long")
			continue
		case err != nil && !errors.Is(err, wire.ErrBareLF):
			return
		}
		cmd, err := pop3.Parse(line)
		if err != nil {
			se.bad("want a command; CAPA lists what there is")
			continue
		}
		se.command(work, cmd)
	}
	se.conn.Flush()
}

// close ends what the session holds, however it ended: also by a panic.
func (se *session) close() {
	if r := recover(); r != nil {
		se.log.Error("session ended by a fault of ours", "panic", r, "stack", string(debug.Stack()))
	}
	se.unlock()
	se.conn.Close()
}

// unlock gives the maildrop back, with QUIT before the client is told, so that it may come again at
// once.
func (se *session) unlock() {
	if se.drop != nil {
		se.cfg.Locks.Unlock(se.identity.Account)
		se.drop = nil
	}
}

// command obeys one command, in the state we are in.
func (se *session) command(ctx context.Context, cmd pop3.Command) {
	known := true
	switch {
	case cmd.Name == "CAPA":
		se.capa()
	case cmd.Name == "QUIT":
		se.quit(ctx)
	case se.drop == nil:
		known = se.authorization(ctx, cmd)
	default:
		known = se.transaction(ctx, cmd)
	}
	if known {
		se.errors = 0
	}
}

// authorization obeys the commands before login, and tells whether cmd is one.
func (se *session) authorization(ctx context.Context, cmd pop3.Command) bool {
	switch cmd.Name {
	case "USER":
		se.userCommand(cmd)
	case "PASS":
		se.pass(ctx, cmd)
	case "AUTH":
		se.authCommand(ctx, cmd)
	case "STLS":
		se.stls(ctx)
	case "APOP":
		se.err("", "APOP is not possible here: it needs passwords stored in the clear")
	case "STAT", "LIST", "RETR", "DELE", "NOOP", "RSET", "TOP", "UIDL":
		se.err("", "log in first")
	default:
		se.bad("%s is no command here", cmd.Name)
		return false
	}
	return true
}

// transaction obeys the commands after login, and tells whether cmd is one.
func (se *session) transaction(ctx context.Context, cmd pop3.Command) bool {
	switch cmd.Name {
	case "STAT":
		se.stat()
	case "LIST":
		se.list(cmd, (*maildrop).size)
	case "UIDL":
		se.list(cmd, (*maildrop).uidl)
	case "RETR":
		se.retr(ctx, cmd)
	case "TOP":
		se.top(ctx, cmd)
	case "DELE":
		se.dele(cmd)
	case "RSET":
		clear(se.drop.deleted)
		se.ok("%d messages", se.drop.view.Len())
	case "NOOP":
		se.ok("")
	case "USER", "PASS", "AUTH", "STLS", "APOP":
		se.err("", "already logged in")
	default:
		se.bad("%s is no command here", cmd.Name)
		return false
	}
	return true
}

// capa lists what we can do (RFC 2449), which depends on whether there is TLS.
func (se *session) capa() {
	se.ok("capabilities")
	for _, line := range se.capabilities() {
		fmt.Fprintf(se.conn, "%s\r\n", line)
	}
	se.conn.WriteString(".\r\n")
}

// ok sends a positive response. Output goes out when we next wait for input.
func (se *session) ok(text string, args ...any) {
	se.conn.WriteString("+OK")
	if text != "" {
		se.conn.WriteString(" ")
		fmt.Fprintf(se.conn, text, args...)
	}
	se.conn.WriteString("\r\n")
}

// err sends a negative response, with a response code if there is one that fits.
func (se *session) err(code, text string, args ...any) {
	se.conn.WriteString("-ERR ")
	if code != "" {
		se.conn.WriteString("[" + code + "] ")
	}
	fmt.Fprintf(se.conn, text, args...)
	se.conn.WriteString("\r\n")
}

// bad answers what is no command. Who sends nothing else is not a mail client.
func (se *session) bad(text string, args ...any) {
	se.err("", text, args...)
	if se.errors++; se.errors >= maxErrors {
		se.over = true
	}
}

// fault answers a failure of ours.
func (se *session) fault(what string, err error) {
	se.log.Error("command failed", "command", what, "account", se.identity.Account, "err", err)
	se.err(pop3.CodeSysTemp, "a failure of ours, try again later")
}

// record leaves an event of access to a maildrop.
func (se *session) record(ok bool, asked, text string) {
	e := trace.Event{Session: se.id, Step: trace.Access, OK: ok, Peer: se.peer(), Asked: asked, Text: text}
	if !se.identity.Address.IsZero() {
		e.To = append(e.To, se.identity.Address)
	}
	se.cfg.Trace.Record(e)
}
