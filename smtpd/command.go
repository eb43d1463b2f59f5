package smtpd

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"posthaste/auth/ban"
	"posthaste/auth/sasl"
	"posthaste/mail"
	"posthaste/smtp"
)

// handle does one command. An error ends the session.
func (s *session) handle(ctx context.Context, line []byte) error {
	command, err := smtp.ParseCommand(line)
	if err != nil {
		s.bad(err)
		return nil
	}
	switch command.Verb {
	case "EHLO", "HELO", "LHLO":
		s.helo(ctx, command)
	case "MAIL":
		return s.mail(ctx, command.Arg)
	case "RCPT":
		s.rcpt(ctx, command.Arg)
	case "DATA":
		return s.data(ctx, command.Arg)
	case "BDAT":
		return s.bdat(ctx, command.Arg)
	case "RSET":
		s.noise++
		s.reset()
		s.say(250, "2.0.0", "OK")
	case "NOOP":
		s.noise++
		s.say(250, "2.0.0", "OK")
	case "QUIT":
		s.leftByItself = true
		return s.bye(mail.NewStatus(221, "2.0.0", s.cfg.Hostname+" goodbye"))
	case "STARTTLS":
		return s.starttls(ctx, command.Arg)
	case "AUTH":
		return s.auth(ctx, command.Arg)
	case "VRFY":
		s.vrfy(ctx, command.Arg)
	case "ETRN":
		s.etrn(ctx, command.Arg)
	case "XCLIENT":
		return s.xclient(ctx, command.Arg)
	case "HELP":
		s.noise++
		s.say(214, "2.0.0", "see RFC 5321\nEHLO lists what this server can do")
	case "EXPN", "TURN", "SEND", "SOML", "SAML":
		s.bad(mail.NewStatus(502, "5.5.1", command.Verb+" is not implemented"))
	case "GET", "POST", "PUT", "CONNECT", "OPTIONS":
		// A web browser that was sent here to make it speak SMTP.
		s.offence(ban.Scan, string(line))
		return s.bye(mail.NewStatus(421, "4.7.0", "this is no web server"))
	default:
		s.bad(mail.NewStatus(500, "5.5.2", "unknown command"))
	}
	return nil
}

// helo begins the dialogue, anew if there was one (RFC 5321 section 4.1.4).
func (s *session) helo(ctx context.Context, c smtp.Command) {
	if (c.Verb == "LHLO") != (s.cfg.Mode == LMTP) {
		want := "EHLO"
		if s.cfg.Mode == LMTP {
			want = "LHLO" // RFC 2033 section 4.1
		}
		s.bad(mail.NewStatus(500, "5.5.1", "say "+want+" here"))
		return
	}
	name, err := smtp.ParseHelo(c.Arg)
	if err != nil {
		s.bad(err)
		return
	}
	s.noise++
	s.reset()
	s.info.Origin.Helo = cmp.Or(s.proxied.helo, name)
	if s.cfg.Door != nil {
		if err := s.cfg.Door.CheckHelo(ctx, &s.info); err != nil {
			s.refused++
			status := s.statusOf(err, "cannot check what a client calls itself")
			s.traceRefusedClient(status)
			s.greeted = false
			s.refuse(status)
			return
		}
	}
	s.greeted, s.extended = true, c.Verb != "HELO"
	s.traceConnect()
	if !s.extended {
		s.say(250, "", s.cfg.Hostname)
		return
	}
	s.say(250, "", strings.Join(s.extensions(), "\n"))
}

// extensions lists the lines of the reply to EHLO.
func (s *session) extensions() []string {
	lines := []string{
		s.cfg.Hostname, "PIPELINING", fmt.Sprintf("SIZE %d", s.cfg.MaxSize), "8BITMIME", "SMTPUTF8",
		"ENHANCEDSTATUSCODES", "CHUNKING", "BINARYMIME", "DSN", s.limits(), "MT-PRIORITY",
	}
	if s.cfg.Mode != LMTP {
		lines = append(lines, s.deliverBy())
	}
	if s.cfg.Mode == Submission {
		lines = append(lines, fmt.Sprintf("FUTURERELEASE %d %s", int64(s.cfg.MaxHold/time.Second), smtp.HoldTime(time.Now().Add(s.cfg.MaxHold))))
	}
	if s.cfg.Mode != LMTP && s.conn.TLS() != nil {
		lines = append(lines, "REQUIRETLS")
	}
	if s.cfg.Flush != nil {
		lines = append(lines, "ETRN")
	}
	if s.mayXClient() {
		lines = append(lines, s.xclientLine())
	}
	if s.cfg.TLS != nil && s.conn.TLS() == nil {
		lines = append(lines, "STARTTLS")
	}
	if s.offersAuth() && s.info.Identity.Account == 0 {
		lines = append(lines, "AUTH "+strings.Join(sasl.Mechanisms(s.conn.TLS(), s.cfg.PlaintextAuth), " "))
	}
	return lines
}

// limits announces RFC 9422.
func (s *session) limits() string {
	line := fmt.Sprintf("LIMITS RCPTMAX=%d", s.cfg.MaxRecipients)
	if s.cfg.MaxMessages > 0 {
		line += fmt.Sprintf(" MAILMAX=%d", s.cfg.MaxMessages)
	}
	return line
}

// deliverBy announces RFC 2852, with the minimum where there is one.
func (s *session) deliverBy() string {
	if s.cfg.MinDeliverBy == 0 {
		return "DELIVERBY"
	}
	return fmt.Sprintf("DELIVERBY %d", int64(s.cfg.MinDeliverBy/time.Second))
}

func (s *session) starttls(ctx context.Context, arg string) error {
	switch {
	case s.cfg.TLS == nil:
		s.bad(mail.NewStatus(502, "5.5.1", "TLS is not available"))
		return nil
	case arg != "":
		s.bad(mail.NewStatus(501, "5.5.4", "STARTTLS takes no argument"))
		return nil
	case s.conn.TLS() != nil:
		s.outOfOrder("TLS is active already")
		return nil
	case s.conn.Buffered() > 0:
		// RFC 3207 section 4: the client must wait. What came could be somebody else's, put
		// ahead of the client's handshake, so it is not even looked at.
		return s.bye(mail.NewStatus(421, "4.7.0", "nothing may follow STARTTLS before its reply"))
	}
	s.say(220, "2.0.0", "go ahead")
	if err := s.startTLS(ctx); err != nil {
		return err
	}
	// RFC 3207 section 4.2: what was said before is forgotten.
	s.reset()
	s.greeted, s.extended = false, false
	s.info.Origin.Helo = ""
	s.traceTLS(nil)
	return nil
}
