package smtpd

import (
	"context"
	"strings"

	"posthaste/mail"
	"posthaste/smtp"
)

// transaction is a message being handed over: from MAIL until it was taken, refused or reset.
type transaction struct {
	env     mail.Envelope
	known   map[mail.Address]struct{}
	content *content // of BDAT chunks so far
}

// reset ends the transaction, if there is one.
func (s *session) reset() {
	if s.tx != nil && s.tx.content != nil {
		s.tx.content.Close()
	}
	s.tx = nil
}

// mail does MAIL (RFC 5321 section 4.1.1.2).
func (s *session) mail(ctx context.Context, arg string) {
	switch {
	case !s.greeted:
		s.outOfOrder("introduce yourself with EHLO first")
		return
	case s.tx != nil:
		s.outOfOrder("one message at a time: the last one is not finished")
		return
	case s.cfg.Mode == Submission && s.info.Identity.Account == 0:
		s.needAuth()
		return
	}
	m, err := smtp.ParseMail(arg)
	if err != nil {
		s.bad(err)
		return
	}
	if err := s.checkMail(m); err != nil {
		s.refuseSender(m, err)
		return
	}
	env := mail.Envelope{From: m.From, Body: m.Body, SMTPUTF8: m.SMTPUTF8, Ret: m.Ret, EnvID: m.EnvID, Origin: s.info.Origin}
	env.Origin.Protocol = s.protocol(m.SMTPUTF8)
	if s.cfg.Senders != nil {
		if err := s.cfg.Senders.CheckSender(ctx, &s.info, env); err != nil {
			s.refuseSender(m, err)
			return
		}
	}
	s.tx = &transaction{env: env}
	s.say(250, "2.1.0", "sender OK")
}

// needAuth answers who sends without having logged in (RFC 6409 section 4.3).
func (s *session) needAuth() {
	text := "log in first"
	if s.conn.TLS() == nil && s.cfg.TLS != nil {
		text = "start TLS with STARTTLS, then log in"
	}
	s.bad(mail.NewStatus(530, "5.7.0", text))
}

func (s *session) checkMail(m smtp.Mail) error {
	switch {
	case m.Size > s.cfg.MaxSize:
		return mail.NewStatus(552, "5.3.4", "message too big: the limit is %d bytes", s.cfg.MaxSize)
	case m.RequireTLS:
		return mail.NewStatus(555, "5.5.4", "parameter REQUIRETLS is not supported")
	}
	return nil
}

func (s *session) refuseSender(m smtp.Mail, err error) {
	s.refused++
	status := s.statusOf(err, "cannot check a sender")
	s.traceRefusedSender(m.From, status)
	s.reply(status)
}

// protocol returns the "with" word of Received (RFC 3848, RFC 6531 section 4.3).
func (s *session) protocol(utf8 bool) string {
	var b strings.Builder
	switch {
	case utf8 && s.cfg.Mode == LMTP:
		b.WriteString("UTF8LMTP")
	case s.cfg.Mode == LMTP:
		b.WriteString("LMTP")
	case utf8:
		b.WriteString("UTF8SMTP")
	case !s.extended:
		return "SMTP"
	default:
		b.WriteString("ESMTP")
	}
	if s.conn.TLS() != nil {
		b.WriteByte('S')
	}
	if s.info.Identity.Account != 0 {
		b.WriteByte('A')
	}
	return b.String()
}

// rcpt does RCPT (RFC 5321 section 4.1.1.3).
func (s *session) rcpt(ctx context.Context, arg string) {
	if s.tx == nil {
		s.outOfOrder("say MAIL first")
		return
	}
	rcpt, utf8, err := smtp.ParseRcpt(arg)
	if err == nil && utf8 && !s.tx.env.SMTPUTF8 {
		err = mail.NewStatus(553, "5.6.7", "this address needs the parameter SMTPUTF8 in MAIL")
	}
	if err != nil {
		s.bad(err)
		return
	}
	if len(s.tx.env.Recipients) >= s.cfg.MaxRecipients {
		s.reply(mail.NewStatus(452, "4.5.3", "too many recipients: send to the rest in another message"))
		return
	}
	if rcpt.Address.Domain == "" {
		rcpt.Address.Domain = s.cfg.Domain
	}
	if s.cfg.Recipients != nil {
		if err := s.cfg.Recipients.CheckRecipient(ctx, &s.info, s.tx.env, rcpt); err != nil {
			s.refused++
			status := s.statusOf(err, "cannot check a recipient")
			s.traceRefusedRecipient(rcpt.Address, status)
			s.reply(status)
			return
		}
	}
	s.tx.add(rcpt, s.cfg.Mode == LMTP)
	s.say(250, "2.1.5", "recipient OK")
}

// add takes a recipient, once each; but in LMTP every RCPT has its own reply later.
func (t *transaction) add(rcpt mail.Recipient, repeat bool) {
	if !repeat {
		if _, ok := t.known[rcpt.Address]; ok {
			return
		}
		if t.known == nil {
			t.known = map[mail.Address]struct{}{}
		}
		t.known[rcpt.Address] = struct{}{}
	}
	t.env.Recipients = append(t.env.Recipients, rcpt)
}
