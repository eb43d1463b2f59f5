package popd

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"strings"

	"posthaste/auth"
	"posthaste/auth/ban"
	"posthaste/auth/sasl"
	"posthaste/pop3"
	"posthaste/store"
	"posthaste/wire"
)

// maxLogin bounds what we keep of USER.
const maxLogin = 320

// capabilities returns the lines of CAPA.
func (se *session) capabilities() []string {
	lines := []string{"TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER", "IMPLEMENTATION Posthaste"}
	if se.drop != nil {
		return lines
	}
	tls := se.conn.TLS()
	if se.passwordsAllowed() {
		lines = append(lines, "USER")
	}
	if tls == nil && se.cfg.TLS != nil {
		lines = append(lines, "STLS")
	}
	return append(lines, "SASL "+strings.Join(sasl.Mechanisms(tls, se.cfg.PlaintextAuth), " "))
}

func (se *session) passwordsAllowed() bool { return se.cfg.PlaintextAuth || se.conn.TLS() != nil }

// stls begins TLS (RFC 2595 section 4). What was said before counts no more.
func (se *session) stls(ctx context.Context) {
	switch {
	case se.conn.TLS() != nil:
		se.err("", "TLS is on already")
		return
	case se.cfg.TLS == nil:
		se.err("", "TLS is not possible here")
		return
	}
	se.ok("begin TLS")
	se.user = ""
	if err := se.conn.StartTLS(ctx, se.cfg.TLS, true); err != nil {
		se.log.Debug("TLS failed", "err", err)
		se.over = true
	}
}

// userCommand takes any name: whether it is one shows in the answer to PASS only.
func (se *session) userCommand(cmd pop3.Command) {
	switch {
	case !se.passwordsAllowed():
		se.err("", "passwords are taken over TLS only: use STLS first")
	case cmd.Arg == "" || len(cmd.Arg) > maxLogin:
		se.err("", "USER takes a login name")
	default:
		se.user = cmd.Arg
		se.ok("password?")
	}
}

func (se *session) pass(ctx context.Context, cmd pop3.Command) {
	user := se.user
	se.user = ""
	if user == "" {
		se.err("", "USER comes first")
		return
	}
	gate := se.gate()
	if gate == nil {
		return
	}
	identity, err := gate.Password(ctx, user, cmd.Arg)
	se.finishLogin(ctx, gate, "USER", user, identity, err)
}

// authCommand runs a SASL exchange (RFC 5034 section 4).
func (se *session) authCommand(ctx context.Context, cmd pop3.Command) {
	name, initial, hasInitial := strings.Cut(cmd.Arg, " ")
	name = strings.ToUpper(name)
	tls := se.conn.TLS()
	if name == "" { // RFC 1734 has no such form, yet clients ask
		se.ok("mechanisms")
		se.conn.WriteString(strings.Join(sasl.Mechanisms(tls, se.cfg.PlaintextAuth), "\r\n") + "\r\n.\r\n")
		return
	}
	if !sasl.Offered(name, tls, se.cfg.PlaintextAuth) {
		se.err("", "mechanism %.40q is not offered here; see CAPA", name)
		return
	}
	gate := se.gate()
	if gate == nil {
		return
	}
	server, err := sasl.New(name, gate, tls)
	if err != nil {
		se.fault("AUTH", err)
		return
	}
	var response []byte
	if hasInitial {
		if response, err = decodeResponse(initial); err != nil {
			se.err("", "initial response is not base64")
			return
		}
	}
	if err := se.exchange(ctx, server, response); !errors.Is(err, errConnection) {
		se.finishLogin(ctx, gate, "AUTH "+name, server.Identity().Login, server.Identity(), err)
	}
}

var (
	errConnection = errors.New("popd: connection ended")
	errCancelled  = errors.New("popd: exchange cancelled by the client")
)

// exchange goes on until the mechanism is done or fails. What a mechanism has to say with success is a
// challenge that the client answers with an empty line (RFC 5034 section 4).
func (se *session) exchange(ctx context.Context, server sasl.Server, response []byte) error {
	for {
		challenge, done, err := server.Next(ctx, response)
		if err != nil || done && challenge == nil {
			return err
		}
		se.conn.WriteString("+ " + base64.StdEncoding.EncodeToString(challenge) + "\r\n")
		line, err := se.conn.ReadLine()
		if err != nil && !errors.Is(err, wire.ErrBareLF) {
			se.over = true
			return errConnection
		}
		if bytes.Equal(line, []byte("*")) {
			return errCancelled
		}
		if response, err = base64.StdEncoding.DecodeString(string(line)); err != nil {
			return sasl.ErrSyntax
		}
		if done {
			return nil
		}
	}
}

// decodeResponse reads an initial response, of which "=" is the empty one.
func decodeResponse(text string) ([]byte, error) {
	if text == "=" {
		return []byte{}, nil
	}
	return base64.StdEncoding.DecodeString(text)
}

// finishLogin answers a login by what the credentials were worth, and opens the maildrop.
func (se *session) finishLogin(ctx context.Context, gate *ban.Gate, how, login string, identity auth.Identity, err error) {
	var denied *ban.Denied
	switch {
	case err == nil:
		gate.Passed(identity)
		se.identity = identity
		se.openMaildrop(ctx, how)
	case errors.Is(err, errCancelled):
		se.err("", "cancelled")
	case errors.Is(err, sasl.ErrSyntax):
		se.err("", "malformed response")
	case errors.Is(err, auth.ErrCredentials), errors.Is(err, sasl.ErrAuthzid):
		se.wrongCredentials(ctx, gate, how, login)
	case errors.As(err, &denied):
		se.log.Info("login denied", "login", login, "mechanism", how, "reason", denied.Text)
		se.record(false, how, "login by POP3 denied: "+denied.Text)
		se.err(pop3.CodeSysTemp, "%s", denied.Text)
	case errors.Is(err, auth.ErrBusy):
		se.log.Warn("login put off", "err", err)
		se.err(pop3.CodeSysTemp, "too many logins at once, try again later")
	default:
		se.fault(how, err)
	}
}

// gate returns the client's way to log in, or answers that there is none, and returns nil.
func (se *session) gate() *ban.Gate {
	gate := se.cfg.Bans.Gate(se.cfg.Auth, se.addr)
	if err := gate.Open(); err != nil {
		se.err(pop3.CodeSysTemp, "%v", err)
		se.over = true
		return nil
	}
	return gate
}

// wrongCredentials answers a guess, the later the more there were.
func (se *session) wrongCredentials(ctx context.Context, gate *ban.Gate, how, login string) {
	se.log.Info("login failed", "login", login, "mechanism", how)
	se.record(false, how, "login by POP3 refused: wrong login or password")
	gate.Failed(ctx, se.failures)
	se.err(pop3.CodeAuth, "wrong login or password")
	if se.failures++; se.failures >= maxFailures {
		se.over = true
	}
}

// openMaildrop locks the maildrop of whoever logged in, and takes its picture.
func (se *session) openMaildrop(ctx context.Context, how string) {
	if !se.cfg.Locks.TryLock(se.identity.Account) {
		se.record(false, how, "POP3 refused: another session has the maildrop")
		se.err(pop3.CodeInUse, "another session has this maildrop")
		return
	}
	account := se.cfg.Store.Account(se.identity.Account)
	view, err := account.View(ctx, store.Inbox)
	if err != nil {
		se.cfg.Locks.Unlock(se.identity.Account)
		se.fault(how, err)
		return
	}
	se.drop = &maildrop{account: account, view: view, deleted: map[int]struct{}{}, seen: map[int]struct{}{}}
	se.log.Info("login", "account", se.identity.Account, "login", se.identity.Login, "mechanism", how, "tls", se.conn.TLS() != nil)
	se.record(true, how, se.identity.Address.String()+" logged in by POP3")
	se.ok("%s has %d messages (%d octets)", se.identity.Address, view.Len(), view.Mailbox().Size)
}
