package smtpd

import (
	"context"
	"fmt"

	"posthaste/mail"
	"posthaste/smtp"
)

// vrfy does VRFY (RFC 5321 section 3.5.3): to strangers it says that it does not say.
func (s *session) vrfy(ctx context.Context, arg string) {
	s.noise++
	if s.cfg.Verify == nil || !s.info.Trusted && s.info.Identity.Account == 0 {
		s.say(252, "2.1.5", "send mail to find out")
		return
	}
	address, err := smtp.ParseVrfy(arg)
	if err != nil {
		s.bad(err)
		return
	}
	address, err = s.cfg.Verify.Verify(ctx, &s.info, address)
	switch {
	case err != nil:
		s.reply(s.answerOf(err))
	case !address.ASCII(): // RFC 6531 section 3.7.4.2 has it in UTF-8, which our replies never are
		s.say(252, "2.6.7", "the address is valid and cannot be shown here")
	default:
		s.say(250, "2.1.5", "<"+address.String()+">")
	}
}

// answerOf is the reply to an error of a Verifier, which may be a 252.
func (s *session) answerOf(err error) *mail.Status {
	if status := mail.StatusOf(err); status.OK() {
		return status
	}
	return s.statusOf(err, "cannot verify an address")
}

// etrn does ETRN (RFC 1985 section 5).
func (s *session) etrn(ctx context.Context, arg string) {
	switch {
	case s.cfg.Flush == nil:
		s.bad(mail.NewStatus(502, "5.5.1", "ETRN is not available"))
		return
	case !s.greeted || s.tx != nil:
		s.outOfOrder("ETRN comes after EHLO and between messages")
		return
	}
	domain, below, err := smtp.ParseEtrn(arg)
	if err != nil {
		s.bad(err)
		return
	}
	s.noise++
	n, err := s.cfg.Flush.Flush(ctx, &s.info, domain, below)
	switch {
	case err != nil:
		s.refused++
		s.refuse(s.statusOf(err, "cannot start a queue run"))
	case n < 0:
		s.say(250, "2.0.0", "queuing for "+domain+" started")
	case n == 0:
		s.say(251, "2.0.0", "no messages wait for "+domain)
	default:
		s.say(253, "2.0.0", fmt.Sprintf("%d messages for %s started", n, domain))
	}
}
