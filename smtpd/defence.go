package smtpd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"posthaste/auth/ban"
	"posthaste/mail"
	"posthaste/trace"
	"posthaste/wire"
)

// EarlyTalk is what becomes of a client that speaks before it was greeted.
type EarlyTalk string

// The choices.
const (
	EarlyTalkNote   EarlyTalk = "note"   // the default: policy is told, by [Session.EarlyTalker]
	EarlyTalkRefuse EarlyTalk = "refuse" // it is sent away
)

// maxTarpit bounds what the replies of one session are put off in all.
const maxTarpit = 10 * time.Minute

// The parts of a session's ID: when it began, and chance. Together they have nine characters.
const (
	idTimes   = 36 * 36 * 36 * 36 * 36 // seconds until the first part repeats, nearly two years
	idChances = 36 * 36 * 36 * 36
)

// newID returns a name for a session that began at now. It is short enough to be read out on the
// telephone, which is what senders do with the ref of a reply.
func newID(now time.Time, chance uint32) string {
	n := uint64(now.Unix())%idTimes*idChances + uint64(chance)%idChances
	id := strconv.FormatUint(n, 36)
	return strings.Repeat("0", 9-len(id)) + id
}

func randomID() string { return newID(time.Now(), rand.Uint32()) }

// stranger tells whether limits hold for the client: it comes from elsewhere, and is neither exempt nor
// trusted.
func (s *session) stranger() bool {
	ip := s.info.Origin.IP
	return s.cfg.Mode == MX && ip.IsValid() && !s.info.Trusted && !wire.Contains(s.cfg.Exempt, ip)
}

// testPatience begins a greeting of two lines and waits before the second, unless the client's network
// is known to wait. Who speaks meanwhile does not listen: a program that sends all it has to whoever
// answers (RFC 5321 section 3.1 has the client wait).
func (s *session) testPatience(ctx context.Context) error {
	ip, now := s.info.Origin.IP, time.Now()
	if s.cfg.GreetDelay <= 0 || s.cfg.ImplicitTLS || !s.stranger() || s.cfg.Visitors.waits(ip, now) {
		return nil
	}
	s.conn.WriteString("220-" + s.cfg.Hostname + " ESMTP Posthaste\r\n")
	switch err := s.conn.Park(ctx, s.cfg.GreetDelay); {
	case err == nil:
		s.info.EarlyTalker = true
		s.record(trace.Event{Step: trace.Check, Text: s.client() + " spoke before it was greeted"})
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.cfg.Visitors.waited(ip, time.Now())
	default:
		return err
	}
	if s.info.EarlyTalker && s.cfg.EarlyTalk == EarlyTalkRefuse {
		return s.bye(s.refuseClient(mail.NewStatus(554, "5.7.1", "wait for the greeting before you speak")))
	}
	return nil
}

// tooMuch counts a deed of the client. It returns the reply to one that is too many, or nil.
func (s *session) tooMuch(d deed) *mail.Status {
	if !s.stranger() {
		return nil
	}
	ip, now := s.info.Origin.IP, time.Now()
	over := s.cfg.Visitors.count(ip, d, &s.cfg.Rates, now)
	switch {
	case over && d == connected:
		return mail.NewStatus(421, "4.7.0", "too many connections from your network in a minute, try again later")
	case over && d == mailed:
		return mail.NewStatus(450, "4.7.1", "too many messages from your network in an hour, try again later")
	case over && d == named:
		return mail.NewStatus(450, "4.7.1", "too many recipients from your network in an hour, try again later")
	case d == named && s.cfg.Visitors.spent(ip, unknown, &s.cfg.Rates, now):
		return mail.NewStatus(450, "4.7.1", "too many unknown recipients from your network in an hour, try again later")
	}
	return nil
}

// noteRefused counts a recipient that was refused for not existing.
func (s *session) noteRefused(to mail.Address, status *mail.Status) {
	if status.Permanent() && strings.HasPrefix(status.Enhanced, "5.1.") && s.stranger() {
		s.cfg.Visitors.count(s.info.Origin.IP, unknown, &s.cfg.Rates, time.Now())
		s.offence(ban.UnknownRecipient, "RCPT TO:<"+to.String()+">")
	}
}

// offence tells of what a stranger did.
func (s *session) offence(k ban.Kind, evidence string) {
	if s.stranger() {
		s.cfg.Bans.Offence(s.info.Origin.IP, k, fmt.Sprintf("%.200q, session %s", evidence, s.info.ID))
	}
}

// misdeeds is how much of what a session did led nowhere.
func (s *session) misdeeds() int { return s.errors + s.refused }

// tarpit puts off the reply to a command after which there are more misdeeds than before, if there are
// many. What was answered before it is sent at once.
func (s *session) tarpit(drain context.Context, before int) error {
	if s.misdeeds() <= max(before, s.cfg.TarpitAfter) || s.cfg.Tarpit <= 0 || s.tarried >= maxTarpit || !s.stranger() {
		return nil
	}
	timer := time.NewTimer(s.cfg.Tarpit)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-drain.Done():
	}
	s.tarried += s.cfg.Tarpit
	return s.conn.Flush()
}

// speaksTLS tells whether a client begins a TLS handshake where SMTP is spoken. It only looks at what is
// here already.
func (s *session) speaksTLS() bool {
	if s.spoken || s.conn.TLS() != nil {
		return false
	}
	s.spoken = true
	b, err := s.conn.Peek()
	return err == nil && len(b) > 1 && b[0] == 0x16 && b[1] == 3 // RFC 8446 section 5.1
}

// noteProbe counts a session in which the client never came to the point and left by itself.
func (s *session) noteProbe() {
	if s.mails == 0 && s.leftByItself && s.info.Identity.Account == 0 {
		s.offence(ban.Probe, "nothing asked")
	}
}

// closeState ends what policy keeps for the session.
func (s *session) closeState() {
	state := s.info.State
	s.info.State = nil
	if c, ok := state.(io.Closer); ok {
		if err := c.Close(); err != nil {
			s.cfg.Log.Warn("what policy keeps for a session cannot be closed", "session", s.info.ID, "err", err)
		}
	}
}

// refuse sends a refusal of policy with the ref by which an administrator finds out why.
func (s *session) refuse(status *mail.Status) { s.reply(s.withRef(status)) }

func (s *session) withRef(status *mail.Status) *mail.Status {
	if status.OK() {
		return status
	}
	named := *status
	named.Text = strings.TrimRight(named.Text, "\n") + " (ref " + s.info.ID + ")"
	return &named
}
