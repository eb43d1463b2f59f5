// Package local delivers mail to our own accounts, and to the users, programs and files of this machine.
//
// An [Agent] follows aliases from each recipient to the accounts behind it, adds the header lines that
// belong to a delivery, and stores the message in each account, every account in a commit of its own.
// Each delivery carries an ID made from the queue ID and the final address, so that a repeat, after a
// crash or a partial failure, stores nothing twice. What an alias sends to other hosts leaves as new
// mail through [Forwarder], with the sender kept and an origin that makes a repeat a no-op.
//
// Mailboxes of Unix users, programs and files are the helper's work ([helper.Runner]), which does what
// it lists and refuses all else. A program and an mbox cannot tell a repeat: where a recipient leads to
// several targets, the [Ledger] remembers which of these were served.
//
// A recipient is answered for when all its targets are settled. While one is to be tried again, so is
// the recipient; those that have the message get it no second time. Where some targets have it and the
// others failed for good, the recipient was served, and the sender hears of each failure in a report
// of its own ([Returner]). What leaves through a list with an owner has that for its sender, and what
// else goes to other hosts for senders of other hosts gets a return path of ours where SRS is set.
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
	"posthaste/helper"
	"posthaste/kv"
	"posthaste/mail"
	"posthaste/srs"
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

// A Returner is a Forwarder that can tell the sender of env about its one recipient, which failed with
// why. To tell of one recipient of one parent again is a no-op. *queue.Queue is one.
type Returner interface {
	PutFailed(ctx context.Context, parent mail.QueueID, why *mail.Status, env mail.Envelope, content mail.Content) (mail.QueueID, error)
}

// Config is what an Agent needs. Store, Directory and Forward must be set.
type Config struct {
	Store     *store.Store
	Directory Directory
	Forward   Forwarder     // where it is a Returner too, failures among several targets are told one by one
	Runner    helper.Runner // does programs, files and Unix users; default: they are refused
	Ledger    *Ledger       // default: after a partial failure programs and mboxes may get a message twice
	SRS       *srs.Rewriter // makes return paths for senders of other hosts; default: they stay
	Separator byte          // between user and detail of an address, for programs; 0: none

	Trace trace.Recorder // default: none
	Log   *slog.Logger   // default: none
}

// An Agent delivers to accounts. It may be used at the same time.
type Agent struct {
	store     *store.Store
	directory Directory
	forward   Forwarder
	returner  Returner // or nil
	runner    helper.Runner
	ledger    *Ledger
	srs       *srs.Rewriter
	separator byte
	trace     trace.Recorder
	log       *slog.Logger
}

// New returns an Agent.
func New(cfg Config) *Agent {
	a := &Agent{
		store: cfg.Store, directory: cfg.Directory, forward: cfg.Forward, runner: cfg.Runner, ledger: cfg.Ledger,
		srs: cfg.SRS, separator: cfg.Separator, trace: cfg.Trace, log: cfg.Log,
	}
	a.returner, _ = cfg.Forward.(Returner)
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
	Waiting   bool   // a client waits for the answers, and what is temporary goes into the queue: programs are left to that
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
		d.several = d.several || len(list) > 1
	}
	d.run(ctx)
	for i, r := range m.Envelope.Recipients {
		if answers[i] == nil {
			answers[i] = d.settle(ctx, r, targets[i])
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
	several  bool // some recipient leads to more than one target, so a target may be served before its recipient is
}

// share replaces each target by the one that another recipient led to before.
func (d *delivery) share(list []*target) []*target {
	for i, t := range list {
		key := t.key()
		if known := d.known[key]; known != nil {
			known.junk = known.junk && t.junk
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
		if t.place.Kind == directory.KindAccount {
			n++
		}
	}
	return n
}

func (d *delivery) serve(ctx context.Context, t *target) {
	switch t.place.Kind {
	case directory.KindAccount:
		d.store(ctx, t)
	case directory.KindRemote:
		t.status = d.send(ctx, t)
	case directory.KindUnix, directory.KindProgram, directory.KindFile:
		t.status = d.hand(ctx, t)
	case directory.KindDiscard:
		t.status = mail.NewStatus(250, "2.0.0", fmt.Sprintf("%s throws its mail away", t.address))
	default:
		t.status = t.place.Status
	}
}

// store adds the message to the account of t.
func (d *delivery) store(ctx context.Context, t *target) {
	env := &d.message.Envelope
	id := ""
	if env.ID != "" {
		id = string(env.ID) + " " + key(t.address)
	}
	filing := store.Delivery{ID: id, Fresh: d.message.Fresh, Prefix: d.prefix(t), Message: d.prepared, Received: env.Received}
	if t.junk {
		filing.Role, filing.Keywords = store.RoleJunk, []string{"$Junk"}
	}
	got, err := d.agent.store.Account(t.place.Account).Deliver(ctx, filing)
	if err != nil {
		t.status = d.failed(t, err)
		return
	}
	t.status = mail.NewStatus(250, "2.1.5", fmt.Sprintf("delivered to the mailbox of %s", t.address))
	t.uid, t.repeated = got.UID, got.Repeated
	t.junk = t.junk && got.Mailbox != store.Inbox
}

// prefix returns the lines that stand before the content in the mailbox of t (RFC 5321 section 4.4).
func (d *delivery) prefix(t *target) []byte {
	from := t.from(d.message.Envelope.From).String()
	b := make([]byte, 0, len(d.message.Prefix)+len(from)+256)
	b = append(b, "Return-Path: <"...)
	b = append(b, from...)
	b = append(b, ">\r\n"...)
	b = appendTrail(b, t)
	return append(b, d.message.Prefix...)
}

// send puts the message into the queue for a target at another host. Reports about the forwarded copy
// go to who sent it, straight or through a return path of ours. What it asked to hear of success is answered by us, as
// "expanded" (RFC 3461 section 5.2.7.1).
func (d *delivery) send(ctx context.Context, t *target) *mail.Status {
	env := d.message.Envelope
	parent := env.ID
	env.ID = ""
	var err error
	if env.From, err = d.sender(ctx, t); err != nil {
		return d.failed(t, err)
	}
	notify := t.notify
	if notify != 0 {
		if notify &^= mail.NotifySuccess; notify == 0 {
			notify = mail.NotifyNever
		}
	}
	env.Recipients = []mail.Recipient{{Address: t.address, Notify: notify, ORcpt: t.orcpt}}
	content := append(d.prefixless(t), d.message.Content.Bytes()...)
	id, err := d.agent.forward.PutDerived(ctx, parent, "forward", t.address, env, mail.Bytes(content))
	if err != nil {
		return d.failed(t, err)
	}
	t.sentAs = id
	return mail.NewStatus(251, "2.1.5", fmt.Sprintf("forwarded to %s", t.address))
}

// sender returns the sender of what t sends to another host.
func (d *delivery) sender(ctx context.Context, t *target) (mail.ReversePath, error) {
	from := t.from(d.message.Envelope.From)
	if d.agent.srs == nil || from.Null() {
		return from, nil
	}
	found, err := d.agent.directory.Resolve(ctx, from.Address)
	if err != nil || found.Kind.Ours() {
		return from, err
	}
	return d.agent.srs.Forward(from, time.Now()), nil
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

// tell leaves one event for a recipient.
func (d *delivery) tell(to mail.Address, s *mail.Status, targets []*target) {
	text := s.Text
	switch {
	case s.OK() && len(targets) == 1:
		text = targets[0].text(to)
	case s.OK():
		text = fmt.Sprintf("%s led to %d addresses, and %s", to, len(targets), served(targets))
	}
	d.agent.trace.Record(trace.Event{
		ID: d.message.Envelope.ID, Step: trace.Deliver, OK: s.OK(), Answered: s.Error(), Text: text,
		From: d.message.Envelope.From.Path(), To: []mail.Address{to}, MessageID: d.message.MessageID, Took: time.Since(d.began),
	})
}
