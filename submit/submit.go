// Package submit takes mail from our own users: it decides whether they may send it so, completes
// what their programs left out, and hands it to the queue (RFC 6409).
//
// [Submitter.CheckSender] is for the MAIL command, [Submitter.Submit] for the whole message. Nobody
// sends in another's name: the envelope sender and every address in From and Sender must belong to
// the account. Grooming (RFC 6409 section 8) adds Received, and Date, Message-ID and From where they
// are missing; removes Bcc and Return-Path; completes addresses without domain. All other fields and
// the body stay as they came, byte by byte, so signatures made by the user's program hold. Where the
// sender's domain has a [Disclaimer], that is added to the text of messages that are not signed.
//
// [Submitter.Relay] is for machines that may send to anybody, in any name; [Local] for users of the
// system. Local recipients that cannot get mail are refused by [Submitter.CheckRecipient]. After
// grooming, the rules of the site rewrite addresses; then the domain of the author signs, if it has keys.
//
// Submit returns success only after the queue has the message. Mail past what an account may send over
// time, which an [Outflow] knows, is held there. Keys that cannot be read make a message wait (451), never
// go out unsigned.
package submit

import (
	"context"
	"time"

	"posthaste/auth"
	"posthaste/filter/outflow"
	"posthaste/mail"
	"posthaste/message"
	"posthaste/trace"
)

// Defaults of Config.
const (
	DefaultMaxRecipients = 1000
	DefaultMaxHops       = 50 // RFC 5321 section 6.3 asks for 100 at least in relays; submitted mail has few
)

// Owners knows which addresses an account may send as; package directory does.
type Owners interface {
	Owns(ctx context.Context, account mail.AccountID, address mail.Address) (bool, error)
}

// A Queue takes over responsibility for messages.
type Queue interface {
	// NewID returns an ID that no message has.
	NewID() mail.QueueID
	// Put makes env and content durable under env.ID. It does not keep content.
	Put(ctx context.Context, env mail.Envelope, content mail.Content) (mail.QueueID, error)
	// PutHeld is Put for mail that waits until an operator releases it.
	PutHeld(ctx context.Context, env mail.Envelope, content mail.Content, reason string) (mail.QueueID, error)
}

// An Outflow watches how much accounts send, as *outflow.Outflow does.
type Outflow interface {
	// Check counts a message and returns why it is to be held, or nothing.
	Check(ctx context.Context, who outflow.Sender, to []mail.Address, now time.Time) (hold string)
	// Sent notes a message that the queue has taken.
	Sent(who outflow.Sender, to []mail.Address, now time.Time)
	// Held tells of a message that the queue has taken and holds.
	Held(ctx context.Context, who outflow.Sender, id mail.QueueID, reason string, now time.Time)
}

// Config says what a Submitter works with. Zero limits mean the defaults.
type Config struct {
	Hostname string // our name in Received and Message-ID
	Domain   string // completes addresses of accounts that have no domain themselves
	Owners   Owners
	Queue    Queue

	Directory Resolver   // for CheckRecipient; nil: all are taken
	Local     Recipients // likewise; nil: those that are ours are taken
	Rewriter  Rewriter   // nil: addresses stay as they are
	Signer    Signer     // nil: nothing is signed
	Filtering Filtering  // what judges mail before it is taken; the zero one judges nothing
	Outflow   Outflow    // nil: accounts send as much as they like

	Disclaimers []Disclaimer   // by domain of the sender
	Trace       trace.Recorder // of disclaimers that could not be added; nil: none

	MaxRecipients int
	MaxHops       int
	// ShowClient puts name and address of the user's computer into Received. They tell strangers
	// where a user is, so by default only the trace has them.
	ShowClient bool
}

// A Submitter takes mail from users. It may be used by many sessions at once.
type Submitter struct{ cfg Config }

// New returns a Submitter.
func New(cfg Config) *Submitter {
	if cfg.MaxRecipients <= 0 {
		cfg.MaxRecipients = DefaultMaxRecipients
	}
	if cfg.MaxHops <= 0 {
		cfg.MaxHops = DefaultMaxHops
	}
	return &Submitter{cfg: cfg}
}

// Submit checks and grooms a message of the account who and puts it into the queue, whose ID it
// returns. The error is a *mail.Status where the user can do something about it. Content is not
// changed and may be closed after Submit returns.
func (s *Submitter) Submit(ctx context.Context, who auth.Identity, env mail.Envelope, content mail.Content) (mail.QueueID, error) {
	env.From.Address = s.complete(who, env.From.Address)
	env.Recipients = s.completeRecipients(who, env.Recipients)
	if env.Received.IsZero() {
		env.Received = time.Now()
	}
	if env.ID == "" {
		env.ID = s.cfg.Queue.NewID()
	}
	env.Origin.Account, env.Origin.Login = who.Account, who.Login
	header := message.ParseHeader(content.Bytes())
	if err := s.check(ctx, who, env, header); err != nil {
		return "", err
	}
	env.TLSOptional = !env.RequireTLS && message.TLSOptional(header)
	return env.ID, s.putWithin(ctx, who, env, mail.Bytes(s.disclaim(env, s.groom(who, env, header, content.Bytes()))))
}

// putWithin queues a message of an account, on hold where it is past what the account may send.
func (s *Submitter) putWithin(ctx context.Context, who auth.Identity, env mail.Envelope, content mail.Content) error {
	if s.cfg.Outflow == nil {
		return s.put(ctx, env, content, "")
	}
	sender := outflow.Sender{Account: who.Account, Address: who.Address, IP: env.Origin.IP}
	to := make([]mail.Address, len(env.Recipients))
	for i, r := range env.Recipients {
		to[i] = r.Address
	}
	hold := s.cfg.Outflow.Check(ctx, sender, to, env.Received)
	if err := s.put(ctx, env, content, hold); err != nil {
		return err
	}
	if hold != "" {
		s.cfg.Outflow.Held(ctx, sender, env.ID, hold, env.Received)
	} else {
		s.cfg.Outflow.Sent(sender, to, env.Received)
	}
	return nil
}

// complete adds the domain of the account to an address without one (RFC 6409 section 8.4 has this
// for addresses in fields; programs leave it out in the envelope too).
func (s *Submitter) complete(who auth.Identity, a mail.Address) mail.Address {
	if a.Local == "" || a.Domain != "" {
		return a
	}
	a.Domain = s.cfg.Domain
	if who.Address.Domain != "" {
		a.Domain = who.Address.Domain
	}
	return a
}

func (s *Submitter) completeRecipients(who auth.Identity, recipients []mail.Recipient) []mail.Recipient {
	completed := make([]mail.Recipient, len(recipients))
	for i, r := range recipients {
		r.Address = s.complete(who, r.Address)
		completed[i] = r
	}
	return completed
}
