package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"posthaste/kv"
	"posthaste/mail"
)

// rulesPartition holds the hold rules: a key per name, JSON as value (docs/formats/holdrules.md).
const rulesPartition kv.Partition = "queue/rules"

// Bounds of hold rules: every new message is compared with all of them.
const (
	MaxRules    = 1000
	maxRuleText = 500 // bytes of a name or a pattern
)

// A HoldRule puts new mail on hold that has all it names. Patterns are globs, in any case.
type HoldRule struct {
	Name      string    `json:"name"`
	Sender    string    `json:"sender,omitempty"`    // glob of the reverse-path; "<>" is the null one
	Recipient string    `json:"recipient,omitempty"` // glob of a recipient's address, or of its domain when it has no @
	Client    string    `json:"client,omitempty"`    // network or address of the client, or a glob of its confirmed name or login
	Created   time.Time `json:"created"`
}

// ErrNoRule is the answer where there is no hold rule of that name.
var ErrNoRule = errors.New("queue: no such hold rule")

// check tells what is wrong with r.
func (r *HoldRule) check() error {
	switch {
	case r.Name == "" || len(r.Name) > maxRuleText:
		return fmt.Errorf("queue: a hold rule needs a name of at most %d bytes", maxRuleText)
	case r.Sender == "" && r.Recipient == "" && r.Client == "":
		return fmt.Errorf("queue: hold rule %q would hold all mail: give a sender, recipient or client; * is all", r.Name)
	case max(len(r.Sender), len(r.Recipient), len(r.Client)) > maxRuleText:
		return fmt.Errorf("queue: hold rule %q: a pattern has more than %d bytes", r.Name, maxRuleText)
	}
	r.Sender, r.Recipient, r.Client = strings.ToLower(r.Sender), strings.ToLower(r.Recipient), strings.ToLower(r.Client)
	return nil
}

// matches tells whether r is about recipient number i of e.
func (r *HoldRule) matches(e *Entry, i int) bool {
	from := strings.ToLower(e.Envelope.From.String())
	if r.Sender != "" && !glob(r.Sender, from) && !glob(r.Sender, "<"+from+">") {
		return false
	}
	to := e.Recipients[i].Address
	if r.Recipient != "" && !glob(r.Recipient, strings.ToLower(to.String())) &&
		(strings.Contains(r.Recipient, "@") || !glob(r.Recipient, strings.ToLower(to.Domain))) {
		return false
	}
	return r.Client == "" || r.isClient(e)
}

func (r *HoldRule) isClient(e *Entry) bool {
	o := &e.Envelope.Origin
	if network, err := netip.ParsePrefix(r.Client); err == nil {
		return network.Contains(o.IP.Unmap())
	}
	if ip, err := netip.ParseAddr(r.Client); err == nil {
		return ip == o.IP.Unmap()
	}
	return o.Name != "" && glob(r.Client, strings.ToLower(o.Name)) || o.Login != "" && glob(r.Client, strings.ToLower(o.Login))
}

// A rulebook is the hold rules in memory, read again once they have changed.
type rulebook struct {
	watched sync.Once
	fresh   atomic.Bool
	rules   atomic.Pointer[[]HoldRule]
}

// load returns the rules as they are now.
func (b *rulebook) load(ctx context.Context, store kv.Store) ([]HoldRule, error) {
	b.watched.Do(func() { // for as long as the store lives
		store.Watch(rulesPartition, func(kv.Version) { b.fresh.Store(false) })
	})
	if rules := b.rules.Load(); rules != nil && b.fresh.Load() {
		return *rules, nil
	}
	b.fresh.Store(true) // before it is read: what changes meanwhile is read again
	rules, err := readRules(ctx, store)
	if err != nil {
		b.fresh.Store(false)
		return nil, err
	}
	b.rules.Store(&rules)
	return rules, nil
}

func readRules(ctx context.Context, store kv.Store) (rules []HoldRule, err error) {
	err = store.View(ctx, rulesPartition, func(r kv.Reader) error {
		rules = nil
		keys, errf := r.Scan(nil, nil, false)
		for key, value := range keys {
			var rule HoldRule
			if err := json.Unmarshal(value, &rule); err != nil {
				return fmt.Errorf("%w: hold rule %q: %v", kv.ErrCorrupt, key, err)
			}
			rules = append(rules, rule)
		}
		return errf()
	})
	if err != nil {
		return nil, fmt.Errorf("queue: hold rules: %w", err)
	}
	return rules, nil
}

// holdByRule puts on hold what the rules name of e, which is new.
func (q *Queue) holdByRule(ctx context.Context, e *Entry) error {
	rules, err := q.rulebook.load(ctx, q.kv)
	if err != nil {
		return err
	}
	for n := range rules {
		for i := range e.Recipients {
			if r := &e.Recipients[i]; r.State == Incoming && rules[n].matches(e, i) {
				r.hold("rule " + rules[n].Name)
			}
		}
	}
	return nil
}

// Holds tells whether a rule would hold mail with this envelope for any of its recipients: such mail
// must go through the queue.
func (q *Queue) Holds(ctx context.Context, env *mail.Envelope) (bool, error) {
	rules, err := q.rulebook.load(ctx, q.kv)
	if err != nil || len(rules) == 0 {
		return false, err
	}
	e := newEntry(*env, time.Now())
	for n := range rules {
		for i := range e.Recipients {
			if rules[n].matches(e, i) {
				return true, nil
			}
		}
	}
	return false, nil
}

// AddRule makes new mail that r names wait for an operator. A rule of the same name is replaced. Mail
// that is in the queue stays as it is.
func (q *Queue) AddRule(ctx context.Context, r HoldRule) error {
	if err := r.check(); err != nil {
		return err
	}
	r.Created = time.Now().UTC()
	value, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("queue: hold rule %q: %w", r.Name, err)
	}
	return q.editRules(ctx, r.Name, func(tx kv.Txn) error {
		keys, errf := tx.Scan(nil, nil, false)
		count := 0
		for range keys {
			count++
		}
		if count >= MaxRules {
			return fmt.Errorf("there are %d of them, no more are kept: remove some", count)
		}
		tx.Put([]byte(r.Name), value)
		return errf()
	})
}

// RemoveRule ends a hold rule, or returns ErrNoRule. What it has put on hold stays there.
func (q *Queue) RemoveRule(ctx context.Context, name string) error {
	return q.editRules(ctx, name, func(tx kv.Txn) error {
		if _, err := tx.Get([]byte(name)); isMissing(err) {
			return ErrNoRule
		} else if err != nil {
			return err
		}
		tx.Delete([]byte(name))
		return nil
	})
}

func (q *Queue) editRules(ctx context.Context, name string, fn func(kv.Txn) error) error {
	_, err := q.kv.Update(ctx, rulesPartition, fn)
	q.rulebook.fresh.Store(false)
	if err != nil {
		return fmt.Errorf("queue: hold rule %q: %w", name, err)
	}
	return nil
}

// Rules returns the hold rules by name.
func (q *Queue) Rules(ctx context.Context) ([]HoldRule, error) { return readRules(ctx, q.kv) }
