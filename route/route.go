// Package route decides by which transport a recipient is reached.
//
// A [Router] is a function of the envelope, the tables and the number of the attempt; it talks to
// nobody but the tables. What its answer means, which hosts and which program, is for node to know.
//
// The first of these that answers decides:
//
//  1. the transport that an operator chose for the entry (queue reroute);
//  2. the null client's hub, when there is one: nothing is delivered here then;
//  3. the transport tables, by the recipient's address, then by its domain, the domains above it, and "*";
//  4. for domains of ours: local delivery;
//  5. for domains that we relay for, such as a backup MX: the relay plan;
//  6. the sender tables, by the sender's address, then by its domain ("<>" is the null sender);
//  7. the default plan.
//
// A table that cannot be asked is a temporary error: mail waits rather than take a wrong way.
package route

import (
	"context"
	"fmt"

	"posthaste/explain"
	"posthaste/mail"
	"posthaste/table"
)

// A Place says whose the recipient's domain is.
type Place int

// The places.
const (
	Elsewhere Place = iota // another host's
	Ours                   // delivered here
	Relayed                // another host's for which we take mail, as a backup MX does
)

// A Query is what a Router is asked.
type Query struct {
	Sender  mail.ReversePath
	To      mail.Address
	Place   Place
	Attempt int    // the number of the coming attempt, counted from 1
	Reroute string // the plan that an operator chose, or empty
}

// Config is what a Router goes by. Its zero value sends everything to the mail exchangers.
type Config struct {
	Transports []table.Table // recipient's address or domain → plan
	Senders    []table.Table // sender's address or domain → plan
	NullClient Plan          // nil: this is none
	Relay      Plan          // for domains that we relay for; nil: mx
	Default    Plan          // nil: mx
	Separator  byte          // between user and detail of an address; 0: none
}

// A Router finds transports. It may be used at the same time.
type Router struct{ cfg Config }

// New returns a Router.
func New(cfg Config) *Router {
	exchangers := Plan{{Transport: Transport{Kind: MX}, From: 1}}
	if cfg.Default == nil {
		cfg.Default = exchangers
	}
	if cfg.Relay == nil {
		cfg.Relay = exchangers
	}
	return &Router{cfg: cfg}
}

// NullClient tells whether everything goes to one hub and nothing is delivered here.
func (r *Router) NullClient() bool { return r.cfg.NullClient != nil }

// Find returns the transport for q. Its error is temporary.
func (r *Router) Find(ctx context.Context, q Query) (Transport, error) {
	plan, why, err := r.plan(ctx, q)
	if err != nil {
		return Transport{}, err
	}
	t := plan.At(max(q.Attempt, 1))
	if len(plan) > 1 {
		why = fmt.Sprintf("%s (%s at attempt %d)", why, plan, max(q.Attempt, 1))
	}
	explain.Note(ctx, "route", "%s goes by %s: %s", q.To, t, why)
	return t, nil
}

// Explicit tells whether a transport table, or the null client's hub, takes mail for an address of ours
// away from local delivery. Its error is temporary.
func (r *Router) Explicit(ctx context.Context, to mail.Address) (bool, error) {
	if r.cfg.NullClient != nil {
		return true, nil
	}
	plan, _, err := r.byRecipient(ctx, to)
	return plan != nil && plan.At(1).Kind != Local, err
}

func (r *Router) plan(ctx context.Context, q Query) (Plan, string, error) {
	if q.Reroute != "" {
		plan, err := Parse(q.Reroute)
		return plan, "an operator chose it", err
	}
	if r.cfg.NullClient != nil {
		return r.cfg.NullClient, "this is a null client, its hub takes everything", nil
	}
	if plan, why, err := r.byRecipient(ctx, q.To); plan != nil || err != nil {
		return plan, why, err
	}
	switch q.Place {
	case Ours:
		return Plan{{Transport: Transport{Kind: Local}, From: 1}}, q.To.Domain + " is a domain of ours", nil
	case Relayed:
		return r.cfg.Relay, "we relay for " + q.To.Domain, nil
	}
	if plan, why, err := r.bySender(ctx, q.Sender); plan != nil || err != nil {
		return plan, why, err
	}
	return r.cfg.Default, "the default, no table says otherwise", nil
}

func (r *Router) byRecipient(ctx context.Context, to mail.Address) (Plan, string, error) {
	for _, t := range r.cfg.Transports {
		text, key, found, err := table.Address(ctx, t, to, r.cfg.Separator)
		if err == nil && !found && !table.WholeKeys(t) {
			text, key, found, err = table.Domain(ctx, t, to.Domain)
		}
		if err != nil {
			return nil, "", fmt.Errorf("route: transport of %s: %w", to, err)
		}
		if found {
			return parsed(text, "transport", key)
		}
	}
	return nil, "", nil
}

func (r *Router) bySender(ctx context.Context, from mail.ReversePath) (Plan, string, error) {
	for _, t := range r.cfg.Senders {
		text, key, found, err := r.ofSender(ctx, t, from)
		if err != nil {
			return nil, "", fmt.Errorf("route: transport of sender <%s>: %w", from, err)
		}
		if found {
			return parsed(text, "sender", key)
		}
	}
	return nil, "", nil
}

func (r *Router) ofSender(ctx context.Context, t table.Table, from mail.ReversePath) (text, key string, found bool, err error) {
	if from.IsZero() {
		text, found, err = t.Lookup(ctx, "<>")
		return text, "<>", found, err
	}
	text, key, found, err = table.Address(ctx, t, from.Address, r.cfg.Separator)
	if err == nil && !found && !table.WholeKeys(t) {
		text, key, found, err = table.Domain(ctx, t, from.Domain)
	}
	return text, key, found, err
}

// parsed reads a plan out of a table. A plan that cannot be read is the operator's mistake, so mail
// waits for its correction.
func parsed(text, which, key string) (Plan, string, error) {
	plan, err := Parse(text)
	if err != nil {
		return nil, "", fmt.Errorf("%s table, key %q: %w", which, key, err)
	}
	return plan, fmt.Sprintf("the %s table says so for %s", which, key), nil
}
