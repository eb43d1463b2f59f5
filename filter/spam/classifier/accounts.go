package classifier

import (
	"container/list"
	"context"
	"fmt"

	"posthaste/mail"
)

// Bounds on the models of accounts that are held in memory. Those with lessons to be written stay.
const (
	maxTables   = 64    // with a table, of 128 KiB each
	maxAccounts = 4_096 // in all: most accounts have taught nothing
)

// Accounts are the models of those accounts that were looked at last.
type accounts struct {
	byID   map[mail.AccountID]*accountModel
	recent list.List // of all of them, the latest first
	tables list.List // of those with a table
}

type accountModel struct {
	id     mail.AccountID
	recent *list.Element
	table  *list.Element // nil without a table
	*model
}

func (a *accounts) init() { a.byID = make(map[mail.AccountID]*accountModel) }

// account returns the model of an account, up to date.
func (c *Classifier) account(ctx context.Context, id mail.AccountID) (*model, error) {
	c.mu.Lock()
	m := c.accounts.byID[id]
	if m == nil {
		m = &accountModel{id: id, model: newModel(c.cfg.KV, accountPartition(id), accountBits, false)}
		m.recent = c.accounts.recent.PushFront(m)
		c.accounts.byID[id] = m
		c.accounts.shrink(&c.accounts.recent, maxAccounts)
	}
	c.accounts.recent.MoveToFront(m.recent)
	c.mu.Unlock()
	err := m.refresh(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch held := c.accounts.byID[id] == m; {
	case held && m.table != nil:
		c.accounts.tables.MoveToFront(m.table)
	case held && m.large():
		m.table = c.accounts.tables.PushFront(m)
		c.accounts.shrink(&c.accounts.tables, maxTables)
	}
	return m.model, err
}

// shrink drops the model that was not looked at for longest where there are more than most.
func (a *accounts) shrink(of *list.List, most int) {
	if of.Len() <= most {
		return
	}
	last := of.Back()
	m := last.Value.(*accountModel)
	if m.waiting() {
		of.MoveToFront(last) // the next one goes in its place
		return
	}
	a.drop(m)
}

func (a *accounts) drop(m *accountModel) {
	m.cancel()
	a.recent.Remove(m.recent)
	if m.table != nil {
		a.tables.Remove(m.table)
	}
	delete(a.byID, m.id)
}

// large tells whether m has a table.
func (m *model) large() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.slots != nil
}

// waiting tells whether m holds what is not written.
func (m *model) waiting() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return !m.pending.empty() || m.sending != nil
}

// unwritten returns the models of accounts that hold what is not written.
func (c *Classifier) unwritten() (all []*model) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.accounts.byID {
		if m.waiting() {
			all = append(all, m.model)
		}
	}
	return all
}

// Erase removes what an account taught its own model, for good: for accounts that are deleted.
func (c *Classifier) Erase(ctx context.Context, id mail.AccountID) error {
	c.learning.Lock()
	defer c.learning.Unlock()
	c.mu.Lock()
	if m := c.accounts.byID[id]; m != nil {
		c.accounts.drop(m)
	}
	c.mu.Unlock()
	if err := c.cfg.KV.Drop(ctx, accountPartition(id)); err != nil {
		return fmt.Errorf("classifier: erase account %s: %w", id, err)
	}
	return nil
}
