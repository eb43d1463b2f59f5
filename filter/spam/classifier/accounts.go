package classifier

import (
	"container/list"
	"context"
	"fmt"

	"posthaste/mail"
)

// Bounds on the models of accounts that are held in memory.
const (
	maxTables   = 64    // with a table, of 128 KiB each
	maxAccounts = 4_096 // in all: most accounts have taught nothing
)

// Accounts are the models of those accounts that were looked at last.
type accounts struct {
	byID   map[mail.AccountID]*list.Element
	recent list.List // of *accountModel, the latest first
	tables int       // as of the last look
}

type accountModel struct {
	id mail.AccountID
	*model
}

func (a *accounts) init() { a.byID = make(map[mail.AccountID]*list.Element) }

// account returns the model of an account, up to date.
func (c *Classifier) account(ctx context.Context, id mail.AccountID) (*model, error) {
	c.mu.Lock()
	at := c.accounts.byID[id]
	if at == nil {
		at = c.accounts.recent.PushFront(&accountModel{id, newModel(c.cfg.KV, accountPartition(id), accountBits, false)})
		c.accounts.byID[id] = at
	}
	c.accounts.recent.MoveToFront(at)
	m := at.Value.(*accountModel).model
	c.accounts.shrink()
	c.mu.Unlock()
	return m, m.refresh(ctx)
}

// shrink drops the models that were not looked at for longest. Those with lessons to be written stay.
func (a *accounts) shrink() {
	tables := 0
	for at := a.recent.Front(); at != nil; {
		m, next := at.Value.(*accountModel), at.Next()
		m.mu.RLock()
		table, waiting := m.slots != nil, !m.pending.empty() || m.sending != nil
		m.mu.RUnlock()
		if table {
			tables++
		}
		if (table && tables > maxTables || len(a.byID) > maxAccounts && next == nil) && !waiting {
			m.cancel()
			a.recent.Remove(at)
			delete(a.byID, m.id)
		}
		at = next
	}
}

// loaded returns the models of accounts in memory.
func (c *Classifier) loaded() []*model {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*model, 0, len(c.accounts.byID))
	for at := c.accounts.recent.Front(); at != nil; at = at.Next() {
		all = append(all, at.Value.(*accountModel).model)
	}
	return all
}

// Erase removes what an account taught its own model, for good: for accounts that are deleted.
func (c *Classifier) Erase(ctx context.Context, id mail.AccountID) error {
	c.learning.Lock()
	defer c.learning.Unlock()
	c.mu.Lock()
	if at := c.accounts.byID[id]; at != nil {
		at.Value.(*accountModel).cancel()
		c.accounts.recent.Remove(at)
		delete(c.accounts.byID, id)
	}
	c.mu.Unlock()
	if err := c.cfg.KV.Drop(ctx, accountPartition(id)); err != nil {
		return fmt.Errorf("classifier: erase account %s: %w", id, err)
	}
	return nil
}
