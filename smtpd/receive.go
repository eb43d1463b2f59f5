package smtpd

import (
	"context"
	"errors"
	"time"

	"posthaste/mail"
	"posthaste/smtp"
)

// Limits on slow clients while content comes in.
const (
	dataTimeout  = 3 * time.Minute // for the next block, RFC 5321 section 4.5.3.2.5
	dataGrace    = 5 * time.Minute // how long any speed will do
	minDataRate  = 256             // bytes per second after that
	maxDataTime  = 2 * time.Hour
	maxDiscarded = 1 << 30 // bytes of a message refused that we read to get at its end
)

// errSlow ends a session whose content comes in too slowly or does not end.
var errSlow = mail.NewStatus(421, "4.4.2", "too slow, or no end in sight: try again later")

// A pace watches the content of one message coming in.
type pace struct {
	start time.Time
	bytes int64
}

// check returns errSlow when content comes in too slowly at now, after n more bytes.
func (p *pace) check(now time.Time, n int, limit int64) error {
	p.bytes += int64(n)
	elapsed := now.Sub(p.start)
	slow := elapsed > dataGrace && p.bytes < minDataRate*int64(elapsed/time.Second)
	if slow || elapsed > maxDataTime || p.bytes > limit+maxDiscarded {
		return errSlow
	}
	return nil
}

// data does DATA (RFC 5321 section 4.1.1.4). An error ends the session.
func (s *session) data(ctx context.Context, arg string) error {
	switch {
	case arg != "":
		s.bad(mail.NewStatus(501, "5.5.4", "DATA takes no argument"))
		return nil
	case s.tx == nil:
		s.outOfOrder("say MAIL and RCPT first")
		return nil
	case len(s.tx.env.Recipients) == 0:
		s.outOfOrder("no recipient was accepted")
		return nil
	case s.tx.env.Body == mail.BodyBinary || s.tx.content != nil:
		s.outOfOrder("this message must come by BDAT") // RFC 3030 section 3
		return nil
	}
	s.say(354, "", "send the message, end it with a line that is a single dot")
	start := time.Now()
	c := s.srv.contents.new(s.cfg.MaxSize)
	s.tx.content = c
	bare, err := s.readData(c, start)
	if err != nil {
		return s.endData(err)
	}
	if bare && s.cfg.BareLF != BareLFAccept && c.err == nil {
		c.fail(mail.NewStatus(554, "5.6.0", "the message has a CR or LF that is not part of a CRLF"))
	}
	s.take(ctx, start)
	return nil
}

// readData reads up to the end of the data, whatever becomes of it.
func (s *session) readData(c *content, start time.Time) (bare bool, err error) {
	s.conn.SetTimeouts(dataTimeout, writeTimeout)
	defer s.conn.SetTimeouts(commandTimeout, writeTimeout)
	d := decoder{fix: s.cfg.BareLF == BareLFAccept}
	p := pace{start: start}
	for {
		block, err := s.conn.Peek()
		if err != nil {
			return false, err
		}
		used, end := d.decode(c, block)
		s.conn.Skip(used)
		if end {
			return d.bare, nil
		}
		if err := p.check(time.Now(), used, c.limit); err != nil {
			return false, err
		}
	}
}

// endData ends a session in the middle of content.
func (s *session) endData(err error) error {
	if errors.Is(err, errSlow) {
		return s.bye(errSlow)
	}
	return err
}

// bdat does BDAT (RFC 3030 section 2). Its chunk follows at once, so it is read whatever is wrong.
func (s *session) bdat(ctx context.Context, arg string) error {
	b, err := smtp.ParseBdat(arg)
	if err != nil {
		// Where the chunk ends is unknown, so nothing that follows can be taken for a command.
		return s.bye(mail.StatusOf(err))
	}
	start := time.Now()
	var out *mail.Status
	switch {
	case s.tx == nil:
		out = mail.NewStatus(503, "5.5.1", "say MAIL and RCPT first")
	case len(s.tx.env.Recipients) == 0:
		out = mail.NewStatus(503, "5.5.1", "no recipient was accepted")
	case s.tx.content == nil:
		s.tx.content = s.srv.contents.new(s.cfg.MaxSize)
	}
	var c *content
	if out == nil {
		c = s.tx.content
	}
	if err := s.readChunk(c, b.Size, start); err != nil {
		return s.endData(err)
	}
	switch {
	case out != nil:
		s.bad(out)
	case b.Last:
		s.take(ctx, start)
	case c.err != nil:
		s.reply(s.statusOf(c.err, "cannot take a chunk"))
	default:
		s.say(250, "2.0.0", "chunk taken")
	}
	return nil
}

// readChunk reads n bytes into c, or drops them when c is nil.
func (s *session) readChunk(c *content, n int64, start time.Time) error {
	s.conn.SetTimeouts(dataTimeout, writeTimeout)
	defer s.conn.SetTimeouts(commandTimeout, writeTimeout)
	p := pace{start: start}
	for n > 0 {
		block, err := s.conn.Peek()
		if err != nil {
			return err
		}
		block = block[:min(int64(len(block)), n)]
		if c != nil {
			c.write(block)
		}
		s.conn.Skip(len(block))
		n -= int64(len(block))
		if err := p.check(time.Now(), len(block), s.cfg.MaxSize); err != nil {
			return err
		}
	}
	return nil
}

// take hands the message that is here to the Acceptor, replies, and ends the transaction.
func (s *session) take(ctx context.Context, start time.Time) {
	defer s.reset()
	env, c := s.tx.env, s.tx.content
	env.Received = start
	id, outcomes, err := mail.QueueID(""), []error(nil), c.finish()
	if err == nil {
		id, outcomes, err = s.cfg.Acceptor.Accept(ctx, &s.info, env, c)
	}
	env.ID = id
	status := &mail.Status{Code: 250, Enhanced: "2.0.0", Text: "accepted as " + string(id)}
	if err != nil {
		status = s.statusOf(err, "cannot take a message")
	} else {
		s.taken++
		s.noise = 0
	}
	s.traceMessage(env, c.size, status, start)
	if s.cfg.Mode != LMTP {
		s.refuse(status)
		return
	}
	s.replyEach(env, outcomes, status)
}

// replyEach answers for every recipient (RFC 2033 section 4.2).
func (s *session) replyEach(env mail.Envelope, outcomes []error, status *mail.Status) {
	for i, rcpt := range env.Recipients {
		each := *status
		if status.OK() && i < len(outcomes) && outcomes[i] != nil {
			each = *s.statusOf(outcomes[i], "cannot deliver to a recipient")
		}
		each.Text = "<" + rcpt.Address.String() + "> " + each.Text
		s.refuse(&each)
	}
}
