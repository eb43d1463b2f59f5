package smtpd

import (
	"context"
	"strconv"
	"strings"
	"time"

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
	s.tx, s.info.Fates = nil, nil
}

// mail does MAIL (RFC 5321 section 4.1.1.2). An error ends the session.
func (s *session) mail(ctx context.Context, arg string) error {
	switch {
	case !s.greeted:
		s.outOfOrder("introduce yourself with EHLO first")
		return nil
	case s.tx != nil:
		s.outOfOrder("one message at a time: the last one is not finished")
		return nil
	case s.cfg.Mode == Submission && s.info.Identity.Account == 0:
		s.needAuth()
		return nil
	}
	m, err := smtp.ParseMail(arg)
	if err != nil {
		s.bad(err)
		return nil
	}
	if m.From.Address, err = s.complete(m.From.Address); err != nil {
		s.bad(err)
		return nil
	}
	if s.mails++; s.cfg.MaxMessages > 0 && s.mails > s.cfg.MaxMessages {
		return s.bye(mail.NewStatus(421, "4.5.3", "%s takes %d messages in one session: connect again", s.cfg.Hostname, s.cfg.MaxMessages))
	}
	if over := s.tooMuch(mailed); over != nil {
		s.refuseSender(m, over)
		return nil
	}
	if err := s.checkMail(m, time.Now()); err != nil {
		s.refuseSender(m, err)
		return nil
	}
	env := s.envelope(m, time.Now())
	if s.cfg.Senders != nil {
		if err := s.cfg.Senders.CheckSender(ctx, &s.info, env); err != nil {
			s.refuseSender(m, err)
			return nil
		}
	}
	s.tx = &transaction{env: env}
	if m.HasPriority && env.Priority != m.Priority { // RFC 6710 section 4.1
		s.say(250, "2.3.6", strconv.Itoa(int(env.Priority))+" is the priority of this message: only clients we know can raise it")
		return nil
	}
	s.say(250, "2.1.0", "sender OK")
	return nil
}

// envelope returns what m asks for.
func (s *session) envelope(m smtp.Mail, now time.Time) mail.Envelope {
	env := mail.Envelope{From: m.From, Body: m.Body, SMTPUTF8: m.SMTPUTF8, Ret: m.Ret, EnvID: m.EnvID,
		RequireTLS: m.RequireTLS, Priority: m.Priority, HoldUntil: holdUntil(m, now), Origin: s.info.Origin}
	env.Origin.Protocol = s.protocol(m.SMTPUTF8)
	if m.By.Mode != "" {
		env.DeliverBy, env.ByMode, env.ByTrace = now.Add(time.Duration(m.By.Seconds)*time.Second), m.By.Mode, m.By.Trace
	}
	if m.Priority > 0 && !s.mayRaise() {
		env.Priority = 0
	}
	return env
}

// mayRaise tells whether the client is one whose messages may go before others (RFC 6710 section 4.1).
func (s *session) mayRaise() bool {
	return s.info.Trusted || s.info.Identity.Account != 0 || s.cfg.Mode == LMTP
}

// holdUntil is when a message may leave, to the second that was asked for or later; zero is at once.
func holdUntil(m smtp.Mail, now time.Time) time.Time {
	if m.HoldFor > 0 {
		return now.Add(m.HoldFor)
	}
	return m.HoldUntil
}

// needAuth answers who sends without having logged in (RFC 6409 section 4.3).
func (s *session) needAuth() {
	text := "log in first"
	if s.conn.TLS() == nil && s.cfg.TLS != nil {
		text = "start TLS with STARTTLS, then log in"
	}
	s.bad(mail.NewStatus(530, "5.7.0", text))
}

// checkMail refuses what cannot be done here.
func (s *session) checkMail(m smtp.Mail, now time.Time) error {
	switch {
	case m.Size > s.cfg.MaxSize:
		return mail.NewStatus(552, "5.3.4", "message too big: the limit is %d bytes", s.cfg.MaxSize)
	case m.RequireTLS && s.cfg.Mode == LMTP:
		return unsupported("REQUIRETLS")
	case m.RequireTLS && s.conn.TLS() == nil: // RFC 8689 section 2: only under TLS
		return mail.NewStatus(530, "5.7.10", "REQUIRETLS needs TLS on this connection too: start it first")
	}
	if err := s.checkHold(m, now); err != nil {
		return err
	}
	return s.checkBy(m, now)
}

// checkHold bounds FUTURERELEASE, which is for submission alone (RFC 4865 section 4.2).
func (s *session) checkHold(m smtp.Mail, now time.Time) error {
	until := holdUntil(m, now)
	switch {
	case until.IsZero():
		return nil
	case s.cfg.Mode != Submission:
		return unsupported("HOLDFOR or HOLDUNTIL")
	case until.After(now.Add(s.cfg.MaxHold)):
		return mail.NewStatus(501, "5.5.4", "too far ahead: mail is held for %d seconds at most", int64(s.cfg.MaxHold/time.Second))
	}
	return nil
}

// checkBy bounds DELIVERBY. With FUTURERELEASE the deadline must be the later of both (RFC 4865 section
// 5.2.2).
func (s *session) checkBy(m smtp.Mail, now time.Time) error {
	left := time.Duration(m.By.Seconds) * time.Second
	switch until := holdUntil(m, now); {
	case m.By.Mode == "":
		return nil
	case s.cfg.Mode == LMTP:
		return unsupported("BY")
	case m.By.Mode == mail.ByReturn && left < s.cfg.MinDeliverBy: // RFC 2852 section 4
		return mail.NewStatus(555, "5.5.4", "too little time: BY with R needs %d seconds at least", int64(s.cfg.MinDeliverBy/time.Second))
	case !until.IsZero() && !now.Add(left).After(until):
		return mail.NewStatus(501, "5.5.4", "the message would be late before it may leave: BY must come after the hold ends")
	}
	return nil
}

func unsupported(parameter string) error {
	return mail.NewStatus(555, "5.5.4", "parameter %s is not supported here", parameter)
}

func (s *session) refuseSender(m smtp.Mail, err error) {
	s.refused++
	status := s.statusOf(err, "cannot check a sender")
	s.traceRefusedSender(m.From, status)
	s.refuse(status)
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
	case !s.extended || s.proxied.proto == "SMTP":
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
	if strings.EqualFold(rcpt.Address.Local, "postmaster") && rcpt.Address.Domain == "" {
		rcpt.Address.Domain = s.cfg.Domain
	}
	if rcpt.Address, err = s.complete(rcpt.Address); err != nil {
		s.bad(err)
		return
	}
	if over := s.tooMuch(named); over != nil {
		s.refuseRecipient(rcpt.Address, over)
		return
	}
	var fate Fate
	if s.cfg.Recipients != nil {
		if fate, err = s.cfg.Recipients.CheckRecipient(ctx, &s.info, s.tx.env, rcpt); err != nil {
			s.refuseRecipient(rcpt.Address, s.statusOf(err, "cannot check a recipient"))
			return
		}
	}
	if s.tx.add(rcpt, s.cfg.Mode == LMTP) {
		s.info.Fates = append(s.info.Fates, fate)
	}
	if fate.Answer != nil && fate.Answer.OK() {
		s.reply(fate.Answer)
		return
	}
	s.say(250, "2.1.5", "recipient OK")
}

func (s *session) refuseRecipient(to mail.Address, status *mail.Status) {
	s.refused++
	s.noteRefused(to, status)
	s.traceRefusedRecipient(to, status)
	s.refuse(status)
}

// complete adds our domain to an address without one, for clients that are ours. In submission the
// Acceptor does it, since accounts have domains of their own.
func (s *session) complete(a mail.Address) (mail.Address, error) {
	switch {
	case a.IsZero() || a.Domain != "" || s.cfg.Mode == Submission:
	case s.info.Trusted || s.cfg.Mode == LMTP:
		a.Domain = s.cfg.Domain
	default:
		return a, smtp.ErrNoDomain
	}
	return a, nil
}

// add takes a recipient, once each; but in LMTP every RCPT has its own reply later. It is false for one
// that is there.
func (t *transaction) add(rcpt mail.Recipient, repeat bool) bool {
	if !repeat {
		if _, ok := t.known[rcpt.Address]; ok {
			return false
		}
		if t.known == nil {
			t.known = map[mail.Address]struct{}{}
		}
		t.known[rcpt.Address] = struct{}{}
	}
	t.env.Recipients = append(t.env.Recipients, rcpt)
	return true
}
