// Package outflow limits what an account sends: a stolen password is used to send much, to strangers, of
// whom many do not exist.
//
// [Outflow.Check] counts a message and says whether it is to be held in the queue: past a limit of
// messages, recipients or first-time recipients in an hour or a day, far above what the account sends as
// a rule, or while too many of its recipients fail. What is held does not count, so that an account sends
// as much as it may and is never blocked; somebody releases the rest, or deletes it. The first message of
// a burst that is held is told to its owner and the administrator, by a [Notifier] that does not go
// through the queue where the mail is stuck.
//
// Decisions are functions of counts and time. Counts are of one node, in memory, bounded, and written to
// the store within seconds: a crash forgets the last of them. Keys are told in docs/formats/outflow.md.
package outflow

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"posthaste/filter/correspondents"
	"posthaste/kv"
	"posthaste/mail"
)

// Bounds and times.
const (
	maxAccounts = 20_000           // in memory
	burstGap    = 6 * time.Hour    // without a message held, after which the next is another burst
	flushEvery  = 10 * time.Second // how often counts are written
	buckets     = 16
)

// A Sender is an account that sends a message, and from where.
type Sender struct {
	Account mail.AccountID
	Address mail.Address
	IP      netip.Addr // of the client; invalid for one on this host
}

// A Notice tells that mail of an account is held.
type Notice struct {
	Sender Sender
	ID     mail.QueueID // of the first message held
	Reason string
	Time   time.Time
}

// A Notifier tells the owner of an account and the administrator, by another way than the queue.
type Notifier interface {
	Notify(ctx context.Context, n Notice) error
}

// Overrides knows limits of single accounts.
type Overrides interface {
	// Limits returns what holds for an account in the place of def.
	Limits(ctx context.Context, address mail.Address, def Limits) (Limits, error)
}

// Config says what an Outflow works with.
type Config struct {
	Limits    Limits
	Overrides Overrides      // nil: there are none
	Exempt    []netip.Prefix // clients without limits
	Book      *correspondents.Book
	KV        kv.Store
	Notifier  Notifier // nil: nobody is told
	Log       *slog.Logger
}

// An Outflow watches what accounts send. Its methods may be called at the same time.
type Outflow struct {
	overrides Overrides
	exempt    []netip.Prefix
	book      *correspondents.Book
	kv        kv.Store
	notifier  Notifier
	log       *slog.Logger

	mu       sync.Mutex // guards what follows
	limits   Limits
	accounts map[mail.AccountID]*account
}

// An account is what is known of one in memory.
type account struct {
	usage
	dirty bool      // the store does not have it
	used  time.Time // last
}

// New returns an Outflow. Call Run to have counts written.
func New(cfg Config) *Outflow {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Outflow{overrides: cfg.Overrides, exempt: cfg.Exempt, book: cfg.Book, kv: cfg.KV, notifier: cfg.Notifier, log: cfg.Log,
		limits: cfg.Limits, accounts: map[mail.AccountID]*account{}}
}

// Configure changes the limits from now on.
func (o *Outflow) Configure(l Limits) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.limits = l
}

// Check counts a message and returns why it is to be held, or nothing. What cannot be found out holds no
// mail.
func (o *Outflow) Check(ctx context.Context, who Sender, to []mail.Address, now time.Time) (hold string) {
	if who.Account == 0 || !who.IP.IsValid() || contains(o.exempt, who.IP) {
		return ""
	}
	strangers, err := o.book.Strangers(ctx, who.Account, to)
	if err != nil {
		o.log.Warn("outflow: first-time recipients are not counted", "account", who.Account, "err", err)
	}
	limits := o.limitsOf(ctx, who)
	a := o.load(ctx, who.Account)
	o.mu.Lock()
	defer o.mu.Unlock()
	m := amounts{messages: 1, recipients: len(to), first: strangers}
	a.used = now
	if hold = limits.judge(&a.usage, m, now); hold == "" {
		a.usage.add(m, now)
		a.dirty = true
	}
	o.keep(who.Account, a)
	return hold
}

func (o *Outflow) limitsOf(ctx context.Context, who Sender) Limits {
	o.mu.Lock()
	limits := o.limits
	o.mu.Unlock()
	if o.overrides == nil {
		return limits
	}
	own, err := o.overrides.Limits(ctx, who.Address, limits)
	if err != nil {
		o.log.Warn("outflow: the limits of an account cannot be found out, those of all hold", "account", who.Account, "err", err)
		return limits
	}
	return own
}

// Sent notes whom a message went to that the queue has taken and that is not held.
func (o *Outflow) Sent(who Sender, to []mail.Address, now time.Time) {
	o.book.Note(who.Account, to, now)
}

// Held tells that the message id was held. The first of a burst is told to people.
func (o *Outflow) Held(ctx context.Context, who Sender, id mail.QueueID, reason string, now time.Time) {
	a := o.load(ctx, who.Account)
	o.mu.Lock()
	first := now.Sub(a.held) >= burstGap
	a.held, a.dirty, a.used = now, true, now
	o.keep(who.Account, a)
	o.mu.Unlock()
	if !first {
		return
	}
	o.log.Warn("mail of an account is held: it sends more than it may", "account", who.Account, "address", who.Address.String(),
		"qid", string(id), "reason", reason)
	if o.notifier == nil {
		return
	}
	if err := o.notifier.Notify(ctx, Notice{who, id, reason, now}); err != nil {
		o.log.Error("nobody could be told that mail of an account is held", "account", who.Account, "err", err)
	}
}

// Outcome counts what became of a recipient of an account's mail: it got the mail, or never will.
func (o *Outflow) Outcome(ctx context.Context, id mail.AccountID, ok bool, now time.Time) {
	if id == 0 {
		return
	}
	a := o.load(ctx, id)
	m := amounts{outcomes: 1}
	if !ok {
		m.failures = 1
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	a.usage.add(m, now)
	a.dirty, a.used = true, now
	o.keep(id, a)
}

// keep has a in memory; those not used for longest make room. o.mu is held.
func (o *Outflow) keep(id mail.AccountID, a *account) {
	if o.accounts[id] == nil && len(o.accounts) >= maxAccounts {
		o.makeRoom()
	}
	o.accounts[id] = a
}

// makeRoom forgets the quarter of the accounts that were not used for longest. o.mu is held.
func (o *Outflow) makeRoom() {
	type aged struct {
		id mail.AccountID
		at time.Time
	}
	all := make([]aged, 0, len(o.accounts))
	for id, a := range o.accounts {
		all = append(all, aged{id, a.used})
	}
	slices.SortFunc(all, func(x, y aged) int { return x.at.Compare(y.at) })
	for _, a := range all[:len(all)/4] {
		delete(o.accounts, a.id)
	}
}

func contains(networks []netip.Prefix, ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(ip) })
}
