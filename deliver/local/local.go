// Package local delivers mail to our own accounts.
//
// An [Agent] follows aliases from each recipient to the accounts behind it, adds the header lines that
// belong to a delivery, and stores the message in each account, every account in a commit of its own.
// Each delivery carries an ID made from the queue ID and the final address, so that a repeat, after a
// crash or a partial failure, stores nothing twice. What an alias sends to other hosts leaves as new
// mail through [Forwarder], with the sender kept and an origin that makes a repeat a no-op.
//
// Addresses like user+tag go to INBOX of user; Delivered-To keeps the tag for filters to see.
//
// Loops end here: an address that stands in a Delivered-To field of the message has seen it before,
// and content with more than [MaxReceived] Received fields goes in circles (RFC 5321 section 6.3).
//
// The package decides nothing about retries or reports: it returns an answer per recipient.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"posthaste/blob"
	"posthaste/directory"
	"posthaste/kv"
	"posthaste/mail"
	"posthaste/store"
	"posthaste/trace"
)

// Bounds of one delivery.
const (
	MaxReceived = 100  // Received fields; more is a loop
	maxDepth    = 10   // aliases in a row
	maxTargets  = 1000 // addresses that one recipient leads to, the steps between included
	maxParallel = 8    // accounts written at the same time
)

// A Directory tells where an address leads, in one step, as *directory.Directory does.
type Directory interface {
	Resolve(ctx context.Context, address mail.Address) (directory.Target, error)
}

// A Forwarder takes new mail that a delivery makes, as *queue.Queue does.
type Forwarder interface {
	PutDerived(ctx context.Context, parent mail.QueueID, action string, recipient mail.Address,
		env mail.Envelope, content mail.Content) (mail.QueueID, error)
}

// Config is what an Agent needs. Store, Directory and Forward must be set.
type Config struct {
	Store     *store.Store
	Directory Directory
	Forward   Forwarder
	Trace     trace.Recorder // default: none
	Log       *slog.Logger   // default: none
}

// An Agent delivers to accounts. It may be used at the same time.
type Agent struct {
	store     *store.Store
	directory Directory
	forward   Forwarder
	trace     trace.Recorder
	log       *slog.Logger
}

// New returns an Agent.
func New(cfg Config) *Agent {
	a := &Agent{store: cfg.Store, directory: cfg.Directory, forward: cfg.Forward, trace: cfg.Trace, log: cfg.Log}
	if a.trace == nil {
		a.trace = trace.Discard
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	return a
}

// A Message is what is to be delivered.
type Message struct {
	Envelope mail.Envelope // with its queue ID; Recipients are those to deliver to
	Prefix   []byte        // header lines to stand before Content, each ending in CRLF
	Content  mail.Content

	MessageID string // for the trace, where it is known
	Fresh     bool   // the queue ID was made for this attempt, so no other can have delivered under it
}

// Deliver stores m for its recipients and returns an answer for each, in their order. What did not
// commit is temporary or permanent; to repeat what did is harmless.
func (a *Agent) Deliver(ctx context.Context, m Message) []*mail.Status {
	d := delivery{agent: a, message: m, began: time.Now(), known: map[string]*target{}}
	answers := make([]*mail.Status, len(m.Envelope.Recipients))
	trail := readTrail(m.Content.Bytes())
	targets := make([][]*target, len(answers))
	for i, r := range m.Envelope.Recipients {
		list, status := a.expand(ctx, r, trail)
		if status != nil {
			answers[i] = status
			continue
		}
		targets[i] = d.share(list)
	}
	d.run(ctx)
	for i := range answers {
		if answers[i] == nil {
			answers[i] = worst(targets[i])
		}
		d.tell(m.Envelope.Recipients[i].Address, answers[i], targets[i])
	}
	return answers
}

// A delivery is one call of Deliver.
type delivery struct {
	agent    *Agent
	message  Message
	began    time.Time
	prepared *store.Message
	known    map[string]*target // by key; several recipients may lead to one
	order    []*target
}

// share replaces each target by the one that another recipient led to before.
func (d *delivery) share(list []*target) []*target {
	for i, t := range list {
		key := key(t.address)
		if known := d.known[key]; known != nil {
			list[i] = known
			continue
		}
		d.known[key] = t
		d.order = append(d.order, t)
	}
	return list
}

// run serves all targets, several at the same time.
func (d *delivery) run(ctx context.Context) {
	if len(d.order) == 0 {
		return
	}
	if n := d.accounts(); n > 0 {
		prepared, err := d.agent.store.PrepareFor(ctx, d.message.Content.Bytes(), n)
		if err != nil {
			for _, t := range d.order {
				t.status = d.failed(t, err)
			}
			return
		}
		d.prepared = prepared
	}
	if len(d.order) == 1 {
		d.serve(ctx, d.order[0])
		return
	}
	var g errgroup.Group
	g.SetLimit(maxParallel)
	for _, t := range d.order {
		g.Go(func() error { d.serve(ctx, t); return nil })
	}
	g.Wait()
}

// accounts counts the targets that are mailboxes here.
func (d *delivery) accounts() (n int) {
	for _, t := range d.order {
		if t.account != 0 {
			n++
		}
	}
	return n
}

func (d *delivery) serve(ctx context.Context, t *target) {
	if t.account == 0 {
		t.status = d.send(ctx, t)
		return
	}
	env := &d.message.Envelope
	id := ""
	if env.ID != "" {
		id = string(env.ID) + " " + key(t.address)
	}
	got, err := d.agent.store.Account(t.account).Deliver(ctx, store.Delivery{
		ID:       id,
		Fresh:    d.message.Fresh,
		Prefix:   d.prefix(t),
		Message:  d.prepared,
		Received: env.Received,
	})
	if err != nil {
		t.status = d.failed(t, err)
		return
	}
	t.status = mail.NewStatus(250, "2.1.5", fmt.Sprintf("delivered to the mailbox of %s", t.address))
	t.uid, t.repeated = got.UID, got.Repeated
}

// prefix returns the lines that stand before the content in the mailbox of t (RFC 5321 section 4.4).
func (d *delivery) prefix(t *target) []byte {
	from := d.message.Envelope.From.String()
	b := make([]byte, 0, len(d.message.Prefix)+len(from)+256)
	b = append(b, "Return-Path: <"...)
	b = append(b, from...)
	b = append(b, ">\r\n"...)
	b = appendTrail(b, t)
	return append(b, d.message.Prefix...)
}

// send puts the message into the queue for a target at another host. The sender stays: reports about
// the forwarded copy go to who sent it. What it asked to hear of success is answered by us, as
// "expanded" (RFC 3461 section 5.2.7.1).
func (d *delivery) send(ctx context.Context, t *target) *mail.Status {
	env := d.message.Envelope
	parent := env.ID
	env.ID = ""
	notify := t.notify
	if notify != 0 {
		if notify &^= mail.NotifySuccess; notify == 0 {
			notify = mail.NotifyNever
		}
	}
	env.Recipients = []mail.Recipient{{Address: t.address, Notify: notify, ORcpt: t.orcpt}}
	content := appendTrail(nil, t)
	content = append(content, d.message.Prefix...)
	content = append(content, d.message.Content.Bytes()...)
	id, err := d.agent.forward.PutDerived(ctx, parent, "forward", t.address, env, mail.Bytes(content))
	if err != nil {
		return d.failed(t, err)
	}
	t.sentAs = id
	return mail.NewStatus(251, "2.1.5", fmt.Sprintf("forwarded to %s", t.address))
}

// failed returns the answer to a failure of our own. Strangers are told no more than they need.
func (d *delivery) failed(t *target, err error) *mail.Status {
	switch {
	case errors.Is(err, store.ErrQuota):
		return mail.NewStatus(552, "5.2.2", fmt.Sprintf("the mailbox of %s is full", t.address))
	case errors.Is(err, store.ErrLimit):
		return mail.NewStatus(552, "5.2.2", fmt.Sprintf("the mailbox of %s holds as many messages as it can", t.address))
	case errors.Is(err, kv.ErrFull), errors.Is(err, blob.ErrFull):
		return mail.NewStatus(452, "4.3.1", "no space left to store the message, try again later")
	}
	var s *mail.Status
	if !errors.As(err, &s) {
		d.agent.log.Error("local: cannot deliver", "qid", d.message.Envelope.ID, "to", t.address, "err", err)
	}
	return mail.StatusOf(err)
}

// worst returns the answer to a recipient from those of all targets it led to: a temporary one if
// any, because a repeat helps; then a permanent one, then an expansion, then success.
func worst(targets []*target) *mail.Status {
	rank := func(s *mail.Status) int {
		switch {
		case s.Temporary():
			return 3
		case s.Permanent():
			return 2
		case s.Code == 251:
			return 1
		}
		return 0
	}
	answer := targets[0].status
	for _, t := range targets[1:] {
		if rank(t.status) > rank(answer) {
			answer = t.status
		}
	}
	return answer
}

// tell leaves one event for a recipient.
func (d *delivery) tell(to mail.Address, s *mail.Status, targets []*target) {
	text := s.Text
	switch {
	case s.OK() && len(targets) == 1:
		text = targets[0].text(to)
	case s.OK():
		text = fmt.Sprintf("%s led to %d addresses, and all were served", to, len(targets))
	}
	d.agent.trace.Record(trace.Event{
		ID: d.message.Envelope.ID, Step: trace.Deliver, OK: s.OK(), Answered: s.Error(), Text: text,
		From: d.message.Envelope.From.Path(), To: []mail.Address{to}, MessageID: d.message.MessageID, Took: time.Since(d.began),
	})
}
