package smtpd

import (
	"context"
	"fmt"
	"net/netip"

	"posthaste/auth"
	"posthaste/mail"
	"posthaste/smtp"
	"posthaste/wire"
)

// xclient is what lasts of an XCLIENT command beyond what stands in the Session.
type xclient struct {
	helo  string // the name that counts, whatever EHLO says
	proto string // "SMTP", "ESMTP" or empty
}

// mayXClient asks for the host that is really there, whomever it speaks for.
func (s *session) mayXClient() bool {
	return wire.Contains(s.cfg.XClients, s.conn.RemoteAddr().Addr())
}

// xclientLine announces what XCLIENT takes.
func (s *session) xclientLine() string {
	line := "XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT"
	if s.takesLogins() {
		line += " LOGIN"
	}
	return line
}

func (s *session) takesLogins() bool { return s.cfg.Logins != nil && s.cfg.Mode == Submission }

// xclient does XCLIENT of Postfix: the session begins anew, for the client that the host names. An error
// ends the session.
func (s *session) xclient(ctx context.Context, arg string) error {
	switch {
	case !s.mayXClient():
		s.bad(mail.NewStatus(550, "5.7.0", "XCLIENT is not for %s", s.peer))
		return nil
	case s.tx != nil:
		s.outOfOrder("XCLIENT comes between messages")
		return nil
	}
	x, err := smtp.ParseXClient(arg)
	if err == nil && x.Login != nil && !s.takesLogins() {
		err = mail.NewStatus(501, "5.5.4", "LOGIN is not available here")
	}
	if err != nil {
		s.bad(err)
		return nil
	}
	if err := s.speakFor(ctx, x); err != nil {
		s.reply(s.statusOf(err, "cannot find whom XCLIENT names"))
		return nil
	}
	s.noise++
	s.reset()
	s.closeState()
	s.greeted, s.extended, s.connected = false, false, false
	if err := s.mayCome(ctx); err != nil {
		return err
	}
	s.welcome()
	return nil
}

// speakFor makes the client the one that x names.
func (s *session) speakFor(ctx context.Context, x smtp.XClient) error {
	if x.Login != nil {
		identity, err := s.identify(ctx, *x.Login)
		if err != nil {
			return err
		}
		s.info.Identity = identity
		s.info.Origin.Account, s.info.Origin.Login = identity.Account, identity.Login
	}
	if x.NoAddr {
		x.Addr = netip.IPv4Unspecified() // not the proxy's own, which may be allowed more than a stranger
	}
	if x.Addr.IsValid() {
		s.setClient(x.Addr)
		s.info.Origin.Name = "" // that of another host
	}
	if x.Name != nil {
		s.info.Origin.Name = *x.Name
	}
	if x.Helo != nil {
		s.proxied.helo = *x.Helo
	}
	if x.Proto != "" {
		s.proxied.proto = x.Proto
	}
	return nil
}

// identify returns who a login is; an empty one is nobody.
func (s *session) identify(ctx context.Context, login string) (auth.Identity, error) {
	if login == "" {
		return auth.Identity{}, nil
	}
	identity, err := s.cfg.Logins.Identify(ctx, login)
	if err != nil {
		return auth.Identity{}, fmt.Errorf("smtpd: XCLIENT login: %w", err)
	}
	return identity, nil
}
