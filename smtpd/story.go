package smtpd

import (
	"errors"
	"fmt"
	"time"

	"posthaste/auth/ban"
	"posthaste/mail"
	"posthaste/trace"
)

// maxTraced bounds the recipients that one event names.
const maxTraced = 100

// step is the kind of event that a message makes here.
func (s *session) step() trace.Step {
	if s.cfg.Mode == Submission {
		return trace.Submit
	}
	return trace.Receive
}

// client names the peer for people.
func (s *session) client() string {
	if s.info.Origin.Helo == "" {
		return s.peer
	}
	return s.info.Origin.Helo + " [" + s.peer + "]"
}

func (s *session) record(e trace.Event) {
	e.Session, e.Peer = s.info.ID, s.client()
	s.cfg.Trace.Record(e)
}

// traceConnect tells of the session once its client said its name.
func (s *session) traceConnect() {
	if s.connected {
		return
	}
	s.connected = true
	s.record(trace.Event{Step: trace.Connect, OK: true,
		Text: fmt.Sprintf("%s connected to our %s service", s.client(), s.cfg.Mode)})
}

func (s *session) traceTLS(err error) {
	if err != nil {
		s.record(trace.Event{Step: trace.Connect, Asked: "STARTTLS", Reason: err.Error(),
			Text: s.client() + " and we could not agree on encryption"})
		return
	}
	s.record(trace.Event{Step: trace.Connect, OK: true, Asked: "STARTTLS", Answered: s.info.Origin.TLS,
		Text: "the connection with " + s.client() + " is encrypted from here on"})
}

func (s *session) traceLogin(mechanism string, err error) {
	if err != nil {
		text, answered := " gave a wrong login or password", "535"
		if denied := (*ban.Denied)(nil); errors.As(err, &denied) {
			text, answered = " may not log in now", "454"
		}
		s.record(trace.Event{Step: s.step(), Asked: "AUTH " + mechanism, Answered: answered, Reason: err.Error(), Text: s.client() + text})
		s.cfg.Log.Info("login failed", "session", s.info.ID, "peer", s.peer, "reason", err)
		return
	}
	s.record(trace.Event{Step: s.step(), OK: true, Asked: "AUTH " + mechanism, Answered: "235",
		Text: fmt.Sprintf("%s logged in as %s", s.client(), s.info.Identity.Login)})
}

// traceRefusedClient tells of a client that may not come in.
func (s *session) traceRefusedClient(status *mail.Status) {
	s.record(trace.Event{Step: trace.Check, Asked: "EHLO " + s.info.Origin.Helo, Answered: status.Error(),
		Text: fmt.Sprintf("turned %s away: %s", s.client(), status.Text)})
	s.cfg.Log.Info("client refused", "session", s.info.ID, "peer", s.peer, "helo", s.info.Origin.Helo, "status", status.Error())
}

func (s *session) traceRefusedSender(from mail.ReversePath, status *mail.Status) {
	s.record(trace.Event{Step: trace.Check, Asked: "MAIL FROM:" + from.Path(), Answered: status.Error(), From: from.Path(),
		Text: fmt.Sprintf("refused mail from %s: %s", from.Path(), status.Text)})
	s.cfg.Log.Info("sender refused", "session", s.info.ID, "peer", s.peer, "from", from.Path(), "status", status.Error())
}

func (s *session) traceRefusedRecipient(to mail.Address, status *mail.Status) {
	from := s.tx.env.From.Path()
	s.record(trace.Event{Step: trace.Check, Asked: "RCPT TO:<" + to.String() + ">", Answered: status.Error(),
		From: from, To: []mail.Address{to}, Text: fmt.Sprintf("refused the recipient %s: %s", to, status.Text)})
	s.cfg.Log.Info("recipient refused", "session", s.info.ID, "peer", s.peer, "from", from, "to", to.String(), "status", status.Error())
}

// traceMessage tells of a message that was taken or refused at its end.
func (s *session) traceMessage(env mail.Envelope, size int64, status *mail.Status, start time.Time) {
	e := trace.Event{ID: env.ID, Step: s.step(), OK: status.OK(), Asked: "DATA", Answered: status.Error(),
		From: env.From.Path(), Took: time.Since(start)}
	for _, r := range env.Recipients[:min(len(env.Recipients), maxTraced)] {
		e.To = append(e.To, r.Address)
	}
	whom := fmt.Sprintf("for %s", env.Recipients[0].Address)
	if n := len(env.Recipients); n > 1 {
		whom = fmt.Sprintf("for %d recipients", n)
	}
	if e.OK {
		e.Text = fmt.Sprintf("took a message of %d bytes from %s %s", size, e.From, whom)
	} else {
		e.Text = fmt.Sprintf("refused a message from %s %s: %s", e.From, whom, status.Text)
	}
	s.record(e)
	s.cfg.Log.Info("message", "session", s.info.ID, "qid", string(env.ID), "peer", s.peer, "from", e.From,
		"recipients", len(env.Recipients), "size", size, "status", status.Error(), "took", e.Took)
}
