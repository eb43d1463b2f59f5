package imapd

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"posthaste/auth"
	"posthaste/auth/ban"
	"posthaste/auth/sasl"
	"posthaste/imap"
	"posthaste/wire"
)

// capabilities returns what the session may use now.
func (s *session) capabilities() string {
	if s.account != nil {
		return fmt.Sprintf("IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE NAMESPACE CHILDREN LIST-EXTENDED "+
			"LIST-STATUS SPECIAL-USE CREATE-SPECIAL-USE UNSELECT UIDPLUS MOVE MULTIAPPEND BINARY ESEARCH SEARCHRES "+
			"WITHIN CONDSTORE STATUS=SIZE SAVEDATE UTF8=ACCEPT APPENDLIMIT=%d", s.srv.cfg.MaxMessage)
	}
	words := []string{"IMAP4rev1", "IMAP4rev2", "LITERAL+", "SASL-IR", "ID", "ENABLE"}
	if s.canStartTLS() {
		words = append(words, "STARTTLS")
	}
	if !s.passwordsAllowed() {
		words = append(words, "LOGINDISABLED")
	}
	for _, mechanism := range sasl.Mechanisms(s.conn.TLS(), s.srv.cfg.PlaintextAuth) {
		words = append(words, "AUTH="+mechanism)
	}
	return strings.Join(words, " ")
}

func (s *session) canStartTLS() bool { return s.srv.cfg.TLS != nil && s.conn.TLS() == nil }

func (s *session) passwordsAllowed() bool { return s.srv.cfg.PlaintextAuth || s.conn.TLS() != nil }

func (s *session) capability(context.Context, imap.Command) (answer, error) {
	s.say("* CAPABILITY " + s.capabilities() + "\r\n")
	return answer{}, nil
}

func (s *session) noop(context.Context, imap.Command) (answer, error) { return answer{}, nil }

func (s *session) logout(_ context.Context, cmd imap.Command) (answer, error) {
	s.say("* BYE see you later\r\n" + cmd.Tag + " OK LOGOUT completed\r\n")
	return answer{}, errEnd
}

// identify answers ID (RFC 2971). What the client says of itself goes to the log for support.
func (s *session) identify(_ context.Context, cmd imap.Command) (answer, error) {
	if fields, _ := cmd.Args.(imap.ID); len(fields) > 0 {
		s.log.Debug("imapd: client identified itself", "id", fields[:min(len(fields), 20)])
	}
	s.say("* ID (\"name\" \"Posthaste\")\r\n")
	return answer{}, nil
}

// startTLS changes to TLS (RFC 9051 section 6.2.1).
func (s *session) startTLS(ctx context.Context, cmd imap.Command) (answer, error) {
	if !s.canStartTLS() {
		return answer{}, bad("TLS is not available or has started already")
	}
	s.say(cmd.Tag + " OK begin TLS negotiation now\r\n")
	if err := s.conn.StartTLS(ctx, s.srv.cfg.TLS, true); err != nil {
		if errors.Is(err, wire.ErrInjected) {
			s.log.Warn("imapd: plaintext was sent ahead of TLS, the session is closed", "peer", s.conn.RemoteAddr())
		}
		return answer{}, connError{err}
	}
	return answer{}, errDone
}

// errDone is the answer of a handler that said the tagged response itself.
var errDone = errors.New("imapd: answered")

// login answers LOGIN (RFC 9051 section 6.2.3).
func (s *session) login(ctx context.Context, cmd imap.Command) (answer, error) {
	args := cmd.Args.(*imap.Login)
	if !s.passwordsAllowed() {
		return answer{}, no("PRIVACYREQUIRED", "use TLS first")
	}
	gate, err := s.gate()
	if err != nil {
		return answer{}, err
	}
	who, err := gate.Password(ctx, args.User, args.Password)
	if err != nil {
		return answer{}, s.loginFailed(ctx, gate, "LOGIN "+args.User, err)
	}
	return s.loggedIn(gate, who, "LOGIN"), nil
}

// authenticate answers AUTHENTICATE (RFC 9051 section 6.2.2).
func (s *session) authenticate(ctx context.Context, cmd imap.Command) (answer, error) {
	args := cmd.Args.(*imap.Authenticate)
	if !slices.Contains(sasl.Mechanisms(s.conn.TLS(), s.srv.cfg.PlaintextAuth), args.Mechanism) {
		if !s.passwordsAllowed() && slices.Contains([]string{sasl.Plain, sasl.Login}, args.Mechanism) {
			return answer{}, no("PRIVACYREQUIRED", "use TLS first")
		}
		return answer{}, no("CANNOT", "that mechanism is not available")
	}
	gate, err := s.gate()
	if err != nil {
		return answer{}, err
	}
	exchange, err := sasl.New(args.Mechanism, gate, s.conn.TLS())
	if err != nil {
		return answer{}, err
	}
	response := args.Initial
	for {
		challenge, done, err := exchange.Next(ctx, response)
		if err != nil {
			return answer{}, s.loginFailed(ctx, gate, "AUTHENTICATE "+args.Mechanism, err)
		}
		if done && challenge == nil {
			return s.loggedIn(gate, exchange.Identity(), "AUTHENTICATE "+args.Mechanism), nil
		}
		if response, err = s.ask(challenge); err != nil {
			return answer{}, err
		}
		if done { // the challenge was additional data, which IMAP has no other place for
			return s.loggedIn(gate, exchange.Identity(), "AUTHENTICATE "+args.Mechanism), nil
		}
	}
}

// gate returns the client's way to log in. It ends the session of a client whose network is banned,
// whatever the protocol was.
func (s *session) gate() (*ban.Gate, error) {
	gate := s.srv.cfg.Bans.Gate(s.srv.cfg.Auth, s.conn.RemoteAddr().Addr())
	if err := gate.Open(); err != nil {
		s.say("* BYE [UNAVAILABLE] " + err.Error() + "\r\n")
		return nil, errEnd
	}
	return gate, nil
}

// ask sends a challenge and reads the response.
func (s *session) ask(challenge []byte) ([]byte, error) {
	s.say("+ " + base64.StdEncoding.EncodeToString(challenge) + "\r\n")
	line, err := s.readLine()
	if err != nil {
		return nil, err
	}
	if string(line) == "*" {
		return nil, bad("authentication was cancelled")
	}
	response := make([]byte, base64.StdEncoding.DecodedLen(len(line)))
	n, err := base64.StdEncoding.Decode(response, line)
	if err != nil {
		return nil, bad("a response is base64")
	}
	return response[:n], nil
}

// loginFailed slows down who guesses, and ends the session at the bound.
func (s *session) loginFailed(ctx context.Context, gate *ban.Gate, asked string, err error) error {
	var denied *ban.Denied
	wrong := errors.Is(err, auth.ErrCredentials) || errors.Is(err, sasl.ErrAuthzid)
	result := no("UNAVAILABLE", "logins do not work right now, try again later")
	switch {
	case wrong:
		result = no("AUTHENTICATIONFAILED", "wrong login or password")
	case errors.Is(err, sasl.ErrSyntax):
		result = bad("%v", err)
	case errors.As(err, &denied):
		result = no("UNAVAILABLE", "%s", denied.Text)
	case errors.Is(err, auth.ErrBusy):
	default:
		s.log.Error("imapd: a login could not be checked", "err", err)
	}
	s.log.Info("imapd: login failed", "peer", s.conn.RemoteAddr(), "asked", asked, "err", err)
	s.record(false, asked, result.Error(), "a login by IMAP failed")
	if !wrong {
		return result
	}
	gate.Failed(ctx, s.logins)
	if s.logins++; s.logins < maxLogins {
		return result
	}
	s.say("* BYE too many failed logins\r\n")
	return errEnd
}

func (s *session) loggedIn(gate *ban.Gate, who auth.Identity, asked string) answer {
	gate.Passed(who)
	s.who = who
	s.account = s.srv.cfg.Store.Account(who.Account)
	s.log = s.log.With("account", who.Account)
	s.log.Info("imapd: logged in", "peer", s.conn.RemoteAddr(), "login", who.Login)
	s.record(true, asked, "OK", who.Address.String()+" logged in by IMAP")
	return answer{code: "CAPABILITY " + s.capabilities(), text: "logged in"}
}

// enable answers ENABLE (RFC 9051 section 6.3.1).
func (s *session) enable(_ context.Context, cmd imap.Command) (answer, error) {
	enabled := ""
	for _, name := range cmd.Args.(imap.Enable) {
		switch name {
		case "CONDSTORE":
			defer s.useCondstore() // after ENABLED
		case "UTF8=ACCEPT":
			s.utf8 = true
		case "IMAP4REV2":
			s.rev2, s.utf8, name = true, true, "IMAP4rev2"
		default:
			continue
		}
		enabled += " " + name
	}
	s.say("* ENABLED" + enabled + "\r\n")
	return answer{}, nil
}
