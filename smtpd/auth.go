package smtpd

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"posthaste/auth"
	"posthaste/auth/ban"
	"posthaste/auth/sasl"
	"posthaste/mail"
	"posthaste/smtp"
	"posthaste/wire"
)

// maxLoginFailures ends a session that guesses; see also package ban.
const maxLoginFailures = 4

// offersAuth tells whether clients of this server log in.
func (s *session) offersAuth() bool { return s.cfg.Auth != nil && s.cfg.Mode == Submission }

// auth does AUTH (RFC 4954). An error ends the session.
func (s *session) auth(ctx context.Context, arg string) error {
	name, initial, hasInitial := strings.Cut(arg, " ")
	name = strings.ToUpper(name)
	if err := s.mayAuth(name); err != nil {
		s.bad(err)
		return nil
	}
	gate := s.cfg.Bans.Gate(s.cfg.Auth, s.info.Origin.IP)
	if err := gate.Open(); err != nil {
		return s.bye(mail.NewStatus(421, "4.7.0", "%v", err))
	}
	server, err := sasl.New(name, gate, s.conn.TLS())
	if err != nil {
		s.bad(mail.NewStatus(504, "5.5.4", "unknown mechanism"))
		return nil
	}
	var response []byte
	if hasInitial {
		if response, err = decode(initial); err != nil {
			s.bad(err)
			return nil
		}
	}
	if err := s.exchange(ctx, server, response); err != nil {
		return s.loginFailed(ctx, gate, name, err)
	}
	gate.Passed(server.Identity())
	s.info.Identity = server.Identity()
	s.info.Origin.Account, s.info.Origin.Login = s.info.Identity.Account, s.info.Identity.Login
	s.traceLogin(name, nil)
	s.say(235, "2.7.0", "logged in")
	return nil
}

// mayAuth tells why there can be no AUTH now.
func (s *session) mayAuth(mechanism string) error {
	tls := s.conn.TLS()
	plain := mechanism == sasl.Plain || mechanism == sasl.Login
	switch {
	case !s.offersAuth():
		return mail.NewStatus(502, "5.5.1", "nobody logs in here")
	case !s.extended:
		return mail.NewStatus(503, "5.5.1", "say EHLO first")
	case s.info.Identity.Account != 0:
		return mail.NewStatus(503, "5.5.1", "you are logged in already")
	case s.tx != nil:
		return mail.NewStatus(503, "5.5.1", "log in before MAIL")
	case plain && tls == nil && !s.cfg.PlaintextAuth:
		return mail.NewStatus(538, "5.7.11", "start TLS first: your password would be readable on the way")
	case !slices.Contains(sasl.Mechanisms(tls, s.cfg.PlaintextAuth), mechanism):
		return mail.NewStatus(504, "5.5.4", "unknown mechanism")
	}
	return nil
}

// exchange is the dialogue of one mechanism. Nil means that the client proved who it is. An error that
// is no *mail.Status of RFC 4954 and none of package sasl ends the session.
func (s *session) exchange(ctx context.Context, server sasl.Server, response []byte) error {
	s.conn.SetMaxLine(smtp.MaxAuthLine)
	defer s.conn.SetMaxLine(maxCommand)
	for {
		challenge, done, err := server.Next(ctx, response)
		if err != nil || done && len(challenge) == 0 {
			return err
		}
		s.say(334, "", base64.StdEncoding.EncodeToString(challenge))
		line, err := s.conn.ReadLine()
		switch {
		case errors.Is(err, wire.ErrLineTooLong), errors.Is(err, wire.ErrBareLF):
			return mail.NewStatus(500, "5.5.6", "line too long, or not ended in CRLF") // RFC 4954 section 4
		case err != nil:
			return &connError{err}
		case string(line) == "*":
			return mail.NewStatus(501, "5.7.0", "given up")
		}
		if response, err = decode(string(line)); err != nil {
			return err
		}
		if done {
			if len(response) > 0 {
				return mail.NewStatus(501, "5.5.2", "want an empty answer here")
			}
			return nil
		}
	}
}

// A connError is the connection failing in the middle of an exchange.
type connError struct{ error }

func (e *connError) Unwrap() error { return e.error }

// decode reads base64; "=" alone is an empty response.
func decode(s string) ([]byte, error) {
	if s == "=" {
		return []byte{}, nil
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, mail.NewStatus(501, "5.5.2", "not base64")
	}
	return append([]byte{}, b...), nil // never nil: that would mean no response at all
}

// loginFailed answers an exchange that failed.
func (s *session) loginFailed(ctx context.Context, gate *ban.Gate, mechanism string, err error) error {
	var denied *ban.Denied
	var status *mail.Status
	var broken *connError
	switch {
	case errors.As(err, &broken):
		return broken.error
	case errors.As(err, &status):
		s.bad(status)
		return nil
	case errors.Is(err, sasl.ErrSyntax):
		s.bad(mail.NewStatus(501, "5.5.2", "malformed message of this mechanism"))
		return nil
	case errors.Is(err, auth.ErrCredentials), errors.Is(err, sasl.ErrAuthzid):
		return s.wrongPassword(ctx, gate, mechanism, err)
	case errors.As(err, &denied):
		s.traceLogin(mechanism, err)
		s.errors++
		s.say(454, "4.7.0", denied.Text)
		return nil
	case errors.Is(err, auth.ErrBusy):
		s.say(454, "4.7.0", "too many logins at once, try again later")
		return nil
	}
	s.cfg.Log.Error("cannot check a login", "session", s.info.ID, "peer", s.peer, "err", err)
	s.say(454, "4.7.0", "cannot check this now, try again later")
	return nil
}

// wrongPassword makes guessing slow, then ends it.
func (s *session) wrongPassword(ctx context.Context, gate *ban.Gate, mechanism string, err error) error {
	s.traceLogin(mechanism, err)
	gate.Failed(ctx, s.loginFailures)
	s.loginFailures++
	s.errors++
	if s.loginFailures >= maxLoginFailures {
		return s.bye(mail.NewStatus(421, "4.7.0", s.cfg.Hostname+" too many failed logins"))
	}
	s.say(535, "5.7.8", "wrong login or password")
	return nil
}
