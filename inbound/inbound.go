// Package inbound decides about mail that comes from other hosts.
//
// A [Policy] says at RCPT whom a client may send to: nobody relays through us, and who does not exist
// or has no room is refused at once. When the content is there it runs the [Check]s, writes what they
// found into Authentication-Results (RFC 8601) and the trace, adds Received, and takes the message
// over.
//
// The fast path: recipients that are ours are delivered at once, without a queue entry. Those that did
// not commit, and those of domains that we are a backup for, are queued before the client hears 250;
// if that fails too it hears 451 and comes again. The queue ID, made first, names every delivery, so
// that whatever is repeated is stored once.
package inbound

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"posthaste/deliver/local"
	"posthaste/filter"
	"posthaste/filter/spam"
	"posthaste/mail"
	"posthaste/table"
	"posthaste/trace"
)

// A Queue takes what cannot be delivered at once, as *queue.Queue does.
type Queue interface {
	NewID() mail.QueueID
	Put(ctx context.Context, env mail.Envelope, content mail.Content) (mail.QueueID, error)
	// PutHeld is Put for mail that waits until an operator releases it.
	PutHeld(ctx context.Context, env mail.Envelope, content mail.Content, reason string) (mail.QueueID, error)
	// Holds tells whether the queue would hold a message with this envelope by rules of its own.
	Holds(ctx context.Context, env *mail.Envelope) (bool, error)
}

// Config is what a Policy needs. Hostname, Directory, Local and Queue must be set.
type Config struct {
	Hostname  string // our name in Received and Authentication-Results
	Domain    string // completes addresses without one
	Directory local.Directory
	Local     *local.Agent
	Queue     Queue
	Checks    []Check // in the order of their results

	Rules    Rules         // nil: none
	Names    IprevResolver // names of clients for Rules; nil: not looked up
	Rewriter Rewriter      // nil: addresses stay as they are

	Trusted    []netip.Prefix // clients that may send to anybody
	Relays     Relays         // for whom else we relay; nil: the relay domains of Directory alone
	Recipients []table.Table  // known recipients of relay domains
	Separator  byte           // between user and tag of a recipient in them; 0: none
	Verifier   *Verifier      // asks about those that no table has; nil: nobody asks
	Ways       Ways           // which of ours are delivered here; nil: all
	NullClient bool           // everything goes to a hub: nobody but Trusted may send, also not to our domains

	Filtering Filtering // what judges content; the zero one judges nothing

	Readers map[mail.Address]Reader // by address, in lower case; each reads what is taken for it

	Trace trace.Recorder // default: none
	Log   *slog.Logger   // default: none
}

// A Policy decides. It may be used at the same time.
type Policy struct {
	host      string
	directory local.Directory
	local     *local.Agent
	queue     Queue
	checks    []Check
	trace     trace.Recorder
	log       *slog.Logger

	domain     string
	rules      Rules
	names      IprevResolver
	rewriter   Rewriter
	trusted    []netip.Prefix
	relays     Relays
	recipients []table.Table
	separator  byte
	verifier   *Verifier
	ways       Ways
	nullClient bool
	readers    map[mail.Address]Reader

	filtering Filtering
	spam      *spam.Rules // of filtering
}

// New returns a Policy.
func New(cfg Config) *Policy {
	p := &Policy{
		host: cfg.Hostname, directory: cfg.Directory, local: cfg.Local, queue: cfg.Queue,
		checks: cfg.Checks, trace: cfg.Trace, log: cfg.Log,
		domain: cfg.Domain, rules: cfg.Rules, names: cfg.Names, rewriter: cfg.Rewriter, trusted: cfg.Trusted,
		relays: cfg.Relays, recipients: cfg.Recipients, separator: cfg.Separator, verifier: cfg.Verifier,
		ways: cfg.Ways, nullClient: cfg.NullClient, readers: cfg.Readers,
		filtering: cfg.Filtering, spam: cfg.Filtering.Rules,
	}
	if p.trace == nil {
		p.trace = trace.Discard
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	return p
}

// A Taking is how a message is taken over.
type Taking struct {
	Session string // of the client, for the trace
	Each    bool   // answer for each recipient (LMTP) and queue nothing that failed
	Early   bool   // the client spoke before it was greeted

	Decisions []Decision // of CheckRecipient, in the order of the recipients; none: all ordinary

	Engines []filter.Engine // asked about this message beside those of Filtering: who heard its session
}

// Accept takes over a message whose recipients passed CheckRecipient: it is durable, in mailboxes or
// in the queue, when the error is nil. On error nothing is promised; a *mail.Status is the reply, any
// other error means 451. Each recipient's own answer is in outcomes when how.Each is set, nil for
// taken; the error then is about all.
func (p *Policy) Accept(ctx context.Context, how Taking, env mail.Envelope, content mail.Content) (id mail.QueueID, outcomes []error, err error) {
	env.ID = p.queue.NewID()
	asked := len(env.Recipients)
	if env.Received.IsZero() {
		env.Received = time.Now()
	}
	m := &Message{Envelope: &env, Content: content.Bytes(), host: p.host, relayed: how.Each, early: how.Early}
	if err := m.readHeader(); err != nil {
		p.logFailure(m, err)
		return "", nil, err
	}
	if err := p.examine(ctx, how, m); err != nil {
		p.logFailure(m, err)
		return "", nil, err
	}
	if err := p.weigh(ctx, how, m); err != nil {
		p.logFailure(m, err)
		return "", nil, err
	}
	how.Decisions = m.edit(how.Decisions)
	if err := p.rewrite(ctx, &env); err != nil {
		p.logFailure(m, err)
		return "", nil, err
	}
	outcomes, err = p.takeOver(ctx, how, m)
	if err != nil {
		p.logFailure(m, err)
		return "", nil, err
	}
	p.read(ctx, m)
	return env.ID, outcomes[:min(len(outcomes), asked)], nil
}

// takeOver makes m durable for all recipients, or for each says why not. What is to be held comes first,
// under IDs of its own: should anything after it fail, the client comes again and an operator sees it
// twice.
func (p *Policy) takeOver(ctx context.Context, how Taking, m *Message) ([]error, error) {
	sorted, err := p.sort(ctx, how, m)
	if err != nil {
		return nil, err
	}
	prefix := m.received(p.host).Append(append(m.results(p.host), p.verdictFields(m)...))
	if err := p.keepApart(ctx, m, prefix, sorted.kept); err != nil {
		return nil, err
	}
	if err := p.hold(ctx, m, prefix, sorted.held, how.Decisions); err != nil {
		return nil, err
	}
	answers := make([]*mail.Status, len(m.Envelope.Recipients))
	p.drop(how, m, sorted.dropped)
	for _, i := range sorted.done() {
		answers[i] = mail.StatusOf(nil)
	}
	if len(sorted.ours) > 0 {
		p.deliver(ctx, how, m, prefix, sorted.ours, answers)
	}
	if how.Each {
		return p.takeEach(ctx, m, prefix, sorted.others, answers)
	}
	if s := refusal(answers); s != nil {
		return nil, s
	}
	later := sorted.others
	for _, i := range sorted.ours {
		if !answers[i].OK() {
			later = append(later, i)
		}
	}
	return nil, p.enqueue(ctx, m, prefix, later)
}

// deliver is the fast path. It sets the answers of the given recipients.
func (p *Policy) deliver(ctx context.Context, how Taking, m *Message, prefix []byte, ours []int, answers []*mail.Status) {
	env := *m.Envelope
	env.Recipients = choose(env.Recipients, ours)
	got := p.local.Deliver(ctx, local.Message{
		Envelope: env, Prefix: prefix, Content: mail.Bytes(m.Content), MessageID: m.messageID, Fresh: true, Waiting: !how.Each,
	})
	for n, i := range ours {
		answers[i] = got[n]
		to := m.Envelope.Recipients[i].Address
		p.log.LogAttrs(ctx, slog.LevelInfo, "inbound: outcome", slog.String("qid", string(env.ID)),
			slog.String("from", env.From.String()), slog.String("to", to.String()), slog.String("status", got[n].Error()))
	}
}

// takeEach answers for each recipient: what is ours was or was not delivered, the rest is queued.
func (p *Policy) takeEach(ctx context.Context, m *Message, prefix []byte, others []int, answers []*mail.Status) ([]error, error) {
	outcomes := make([]error, len(answers))
	queued := p.enqueue(ctx, m, prefix, others)
	for i, s := range answers {
		switch {
		case s == nil:
			outcomes[i] = queued
		case !s.OK():
			outcomes[i] = s
		}
	}
	return outcomes, nil
}

// enqueue puts m into the queue for some recipients. The ID is the same, so that what was delivered in
// part is not delivered again.
func (p *Policy) enqueue(ctx context.Context, m *Message, prefix []byte, recipients []int) error {
	if len(recipients) == 0 {
		return nil
	}
	env := *m.Envelope
	env.Recipients = choose(env.Recipients, recipients)
	whole := append(prefix[:len(prefix):len(prefix)], m.Content...)
	if _, err := p.queue.Put(ctx, env, mail.Bytes(whole)); err != nil {
		return fmt.Errorf("inbound: queue %s: %w", env.ID, err)
	}
	return nil
}

// refusal returns the answer when every recipient failed for good: the client can still be told.
func refusal(answers []*mail.Status) *mail.Status {
	for _, s := range answers {
		if s == nil || !s.Permanent() {
			return nil
		}
	}
	return answers[0]
}

func choose(all []mail.Recipient, some []int) []mail.Recipient {
	if len(some) == len(all) {
		return all
	}
	chosen := make([]mail.Recipient, len(some))
	for n, i := range some {
		chosen[n] = all[i]
	}
	return chosen
}

// logFailure tells the operator of an error that is ours; the client hears no more than 451. What is
// taken or refused is told by the session.
func (p *Policy) logFailure(m *Message, err error) {
	var s *mail.Status
	if !errors.As(err, &s) {
		p.log.Error("inbound: cannot take a message", "qid", string(m.Envelope.ID), "err", err)
	}
}
