package node

import (
	"context"
	"errors"
	"time"

	"posthaste/config"
	"posthaste/filter"
	"posthaste/filter/milter"
	"posthaste/inbound"
	"posthaste/mail"
	"posthaste/smtpd"
)

// nameTime bounds the look for the name of a client, which milters want to know first of all.
const nameTime = 3 * time.Second

// A sessionMilter is a milter that is asked at each step of an SMTP session. Its guard is that of all
// sessions together, so that one that does not answer is left alone by all.
type sessionMilter struct {
	*filter.Guard
	client  *milter.Client
	timeout time.Duration // of one message, all in all
}

// milterSettings returns the client of a milter.
func milterSettings(c *config.Config, m config.Milter) (*milter.Client, error) {
	return milter.New(milter.Config{Name: m.Name, Address: m.Address, Hostname: c.Hostname})
}

// A hearing is what the milters of stage session hear of one SMTP session. It is closed with it. Milters
// are asked one after the other, and the first that refuses decides, as with Postfix; the end of a
// message they hear at the same time.
type hearing struct{ conversations []*conversation }

// hearingOf returns what milters hear of s; it is empty where none does.
func hearingOf(s *smtpd.Session) *hearing {
	if h, ok := s.State.(*hearing); ok {
		return h
	}
	return new(hearing)
}

// begin tells milters who connects. The error is the answer of one that turns the client away.
func (h *hearing) begin(ctx context.Context, o mail.Origin) error {
	for _, c := range h.conversations {
		if err := answerOf(c.open(ctx, o)); err != nil {
			return err
		}
	}
	return nil
}

// helo tells them what the client calls itself.
func (h *hearing) helo(ctx context.Context, o mail.Origin) error {
	for _, c := range h.conversations {
		err := c.ask(ctx, func(ctx context.Context, s *milter.Session) error {
			s.Reset() // EHLO ends a message (RFC 5321 section 4.1.4)
			return s.Helo(ctx, o)
		})
		if err := answerOf(err); err != nil {
			return err
		}
	}
	return nil
}

// mail tells them of a message that begins. One that went away before is asked anew.
func (h *hearing) mail(ctx context.Context, env *mail.Envelope) error {
	for _, c := range h.conversations {
		c.left = c.milter.timeout
		err := c.resume(ctx, env.Origin)
		if err == nil {
			err = c.ask(ctx, func(ctx context.Context, s *milter.Session) error { return s.Mail(ctx, env, 0) })
		}
		if err := c.answer(err); err != nil {
			return err
		}
	}
	return nil
}

// recipient tells them of one that we would take.
func (h *hearing) recipient(ctx context.Context, to mail.Recipient) error {
	for _, c := range h.conversations {
		err := c.ask(ctx, func(ctx context.Context, s *milter.Session) error { return s.Rcpt(ctx, to) })
		if err := c.answer(err); err != nil {
			return err
		}
	}
	return nil
}

// engines returns who is to be asked about the message that was there last.
func (h *hearing) engines() []filter.Engine {
	all := make([]filter.Engine, len(h.conversations))
	for i, c := range h.conversations {
		all[i] = c
	}
	return all
}

// Close says goodbye to all.
func (h *hearing) Close() error {
	for _, c := range h.conversations {
		c.hangUp(milter.ErrOver)
	}
	return nil
}

// A conversation is what one milter hears of one session. It is the filter.Engine that judges a message
// whose envelope it has heard.
type conversation struct {
	milter  *sessionMilter
	session *milter.Session // nil: there is none
	failure error           // why there is none
	left    time.Duration   // of the milter's time for the present message
}

// open connects to the milter and tells it of the client.
func (c *conversation) open(ctx context.Context, o mail.Origin) error {
	c.left = c.milter.timeout
	err := c.milter.Do(ctx, "", func(ctx context.Context) (err error) {
		if c.session, err = c.milter.client.Dial(ctx); err != nil {
			return err
		}
		return c.session.Connect(ctx, o)
	})
	return c.note(err)
}

// resume opens the conversation anew when there is none.
func (c *conversation) resume(ctx context.Context, o mail.Origin) error {
	if c.session != nil {
		return nil
	}
	if err := c.open(ctx, o); err != nil {
		return err
	}
	return c.ask(ctx, func(ctx context.Context, s *milter.Session) error { return s.Helo(ctx, o) })
}

// ask asks something of the milter. The error is its answer, a *mail.Status, or its failure, which ends
// the conversation.
func (c *conversation) ask(ctx context.Context, stage func(context.Context, *milter.Session) error) error {
	if c.session == nil {
		return c.failure
	}
	began := time.Now()
	within := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, c.left)
		defer cancel()
		return stage(ctx, c.session)
	}
	err := c.milter.Do(ctx, "", within)
	if errors.Is(err, filter.ErrResting) { // for others: what has begun goes on
		err = within(ctx)
	}
	c.left -= time.Since(began)
	return c.note(err)
}

// note ends the conversation after an error that is none of the milter's answers.
func (c *conversation) note(err error) error {
	if err != nil && answerOf(err) == nil {
		c.hangUp(err)
	}
	return err
}

func (c *conversation) hangUp(why error) {
	if c.session != nil {
		c.session.Close()
	}
	c.session, c.failure = nil, why
}

// answer returns what the client hears of err: the milter's answer, or that no mail is taken without it.
func (c *conversation) answer(err error) error {
	if err == nil || answerOf(err) != nil {
		return err
	}
	if reply := c.milter.Silence(err).Reply; reply != nil {
		return reply
	}
	return nil
}

// answerOf returns err when it is the answer of a milter.
func answerOf(err error) error {
	if status := (*mail.Status)(nil); errors.As(err, &status) {
		return status
	}
	return nil
}

// Name is that of the milter.
func (c *conversation) Name() string { return c.milter.Name() }

// Scan tells the milter of header and body, and returns what it asks for. A milter that could not be asked,
// now or earlier in the session, is silent.
func (c *conversation) Scan(ctx context.Context, m *filter.Mail) (result filter.Result, err error) {
	err = c.ask(ctx, func(ctx context.Context, s *milter.Session) (err error) {
		result, err = s.Message(ctx, m)
		return err
	})
	if err != nil && ctx.Err() == nil {
		return c.milter.Silence(err), nil
	}
	return result, err
}

// hears tells whether milters hear of s step by step. Mail of clients that are ours is that of users, and
// a queue that we trust (LMTP) is not to blame for what it was given: its messages they see whole.
func (i incoming) hears(s *smtpd.Session) bool { return len(i.milters) > 0 && !i.each && !s.Trusted }

// CheckClient asks the rules, where they speak this early, and the milters about an address.
func (i incoming) CheckClient(ctx context.Context, s *smtpd.Session) error {
	if i.early {
		if err := i.policy.CheckClient(ctx, s.Origin); err != nil {
			return err
		}
	}
	if !i.hears(s) {
		return nil
	}
	h := new(hearing)
	for _, m := range i.milters {
		h.conversations = append(h.conversations, &conversation{milter: m})
	}
	s.State = h
	return h.begin(ctx, i.named(ctx, s.Origin))
}

// named returns o with the name of its address, confirmed forward and back, if there is one.
func (i incoming) named(ctx context.Context, o mail.Origin) mail.Origin {
	if o.Name != "" || !o.IP.IsValid() {
		return o
	}
	ctx, cancel := context.WithTimeout(ctx, nameTime)
	defer cancel()
	if name, err := i.names.Iprev(ctx, o.IP); err == nil {
		o.Name = name
	}
	return o
}

// CheckHelo asks about what a client calls itself.
func (i incoming) CheckHelo(ctx context.Context, s *smtpd.Session) error {
	if i.early {
		if err := i.policy.CheckHelo(ctx, s.Origin); err != nil {
			return err
		}
	}
	return hearingOf(s).helo(ctx, s.Origin)
}

// CheckSender asks the milters about a message that begins.
func (i incoming) CheckSender(ctx context.Context, s *smtpd.Session, env mail.Envelope) error {
	return hearingOf(s).mail(ctx, &env)
}

// CheckRecipient asks the policy about one recipient, and the milters about one that it takes.
func (i incoming) CheckRecipient(ctx context.Context, s *smtpd.Session, env mail.Envelope, to mail.Recipient) (smtpd.Fate, error) {
	d, err := i.policy.CheckRecipient(ctx, inbound.Request{Client: s.Origin, From: env.From, To: to.Address, Each: i.each})
	if err == nil {
		err = hearingOf(s).recipient(ctx, to)
	}
	return smtpd.Fate(d), err
}

// engines returns the milters of stage session that judge a message of s.
func (i incoming) engines(s *smtpd.Session) []filter.Engine {
	if i.hears(s) {
		return hearingOf(s).engines()
	}
	all := make([]filter.Engine, len(i.milters))
	for n, m := range i.milters {
		all[n] = m
	}
	return all
}
