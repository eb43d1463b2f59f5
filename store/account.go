package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"posthaste/kv"
	"posthaste/mail"
)

// An Account is one account's mail. Its methods may be called at the same time.
type Account struct {
	store     *Store
	id        mail.AccountID
	partition kv.Partition

	loading sync.Mutex // held by the one goroutine that reads what state lacks

	mu    sync.Mutex // guards what follows
	state *state     // at a durable version, or nil
	views map[MailboxID]*View
	size  int64 // bytes of state
	used  time.Time
	usage Usage       // after our last durable commit; others may have made more since
	asOf  mail.ModSeq // the version of usage; 0 for not known
	tail  int         // commits of ours since the last snapshot was asked for
}

// ID returns the account's ID.
func (a *Account) ID() mail.AccountID { return a.id }

// Watch calls f after any durable change of the account, until cancel. f must not block and must not
// call the store; several changes may be told by one call.
func (a *Account) Watch(f func()) (cancel func()) {
	return a.store.cfg.KV.Watch(a.partition, func(kv.Version) { f() })
}

// firstMailboxes are made with each account, by ascending ID. Inbox is the first.
var firstMailboxes = [...]struct {
	name string
	role Role
}{
	{inboxName, RoleInbox}, {"Drafts", RoleDrafts}, {"Sent", RoleSent}, {"Junk", RoleJunk}, {"Trash", RoleTrash}, {"Archive", RoleArchive},
}

// Create makes the account with INBOX and the mailboxes of RFC 6154 that people expect (Drafts, Sent,
// Junk, Trash, Archive), all subscribed. quota is in bytes, 0 for none. If the account exists it
// changes nothing.
func (s *Store) Create(ctx context.Context, id mail.AccountID, quota int64) error {
	_, err := s.cfg.KV.Update(ctx, partitionOf(id), func(txn kv.Txn) error {
		_, err := getHead(txn)
		if !errors.Is(err, ErrNoAccount) {
			return err
		}
		w := newWriter(s.Account(id), txn)
		w.head = head{usage: Usage{Limit: quota}, nextEmail: 1, nextMailbox: Inbox}
		for _, first := range firstMailboxes {
			w.newBox(boxRecord{Name: first.name, Role: first.role})
			w.subscribe(first.name, true)
		}
		progress{snapshot: mail.ModSeq(txn.Version()), floor: mail.ModSeq(txn.Next())}.put(txn)
		return w.commit()
	})
	if err != nil {
		return fmt.Errorf("store: create account %d: %w", id, err)
	}
	return nil
}

// eraseBatch is how many emails one commit of Erase removes.
const eraseBatch = 1000

// Erase removes the account and all its mail. Erasing what is not there is no error. The version of
// the account stays, so that nobody meets a MODSEQ twice.
func (s *Store) Erase(ctx context.Context, id mail.AccountID) error {
	p := partitionOf(id)
	for more := true; more; {
		_, err := s.cfg.KV.Update(ctx, p, func(txn kv.Txn) (err error) {
			if txn.Version() == 0 {
				more = false
				return nil
			}
			txn.Delete([]byte{keyHead}) // from now on there is no such account
			more, err = eraseEmails(txn, eraseBatch)
			if err == nil && !more {
				txn.DeleteRange([]byte{0}, []byte{0xff})
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("store: erase account %d: %w", id, err)
		}
	}
	s.Account(id).forget()
	return nil
}

// eraseEmails removes the facts and bodies of at most limit emails and reports whether there are more.
func eraseEmails(txn kv.Txn, limit int) (more bool, err error) {
	var ids []EmailID
	seq, errf := txn.Scan([]byte{keyFacts}, []byte{keyFacts + 1}, false)
	for key := range seq {
		if len(ids) == limit {
			more = true
			break
		}
		ids = append(ids, EmailID(binary.BigEndian.Uint64(key[1:])))
	}
	if err := errf(); err != nil {
		return false, err
	}
	for _, id := range ids {
		if err := dropContent(txn, id); err != nil {
			return false, err
		}
	}
	return more, nil
}

// Usage is how much of a quota is used.
type Usage struct {
	Used   int64 // bytes of all emails
	Limit  int64 // bytes, 0 for no limit
	Emails int64
}

// Quota returns how much the account holds and may hold.
func (a *Account) Quota(ctx context.Context) (Usage, error) {
	var h head
	err := a.store.cfg.KV.View(ctx, a.partition, func(r kv.Reader) (err error) {
		h, err = getHead(r)
		return err
	})
	if err != nil {
		return Usage{}, fmt.Errorf("store: quota of account %d: %w", a.id, err)
	}
	return h.usage, nil
}

// HasRoom tells whether the quota allows any more mail. Where our last commit left room it answers from
// memory: a delivery enforces the quota anyway, and to ask the store waits for deliveries under way.
func (a *Account) HasRoom(ctx context.Context) (bool, error) {
	a.mu.Lock()
	usage, known := a.usage, a.asOf > 0
	a.mu.Unlock()
	if known && usage.hasRoom() {
		return true, nil
	}
	usage, err := a.Quota(ctx)
	return err == nil && usage.hasRoom(), err
}

func (u Usage) hasRoom() bool { return u.Limit == 0 || u.Used < u.Limit }

// SetQuota changes the limit, 0 for none. What is stored stays, also where it is more.
func (a *Account) SetQuota(ctx context.Context, limit int64) error {
	_, err := a.store.cfg.KV.Update(ctx, a.partition, func(txn kv.Txn) error {
		h, err := getHead(txn)
		if err != nil {
			return err
		}
		txn.Quiet()
		h.usage.Limit = max(limit, 0)
		h.put(txn)
		return nil
	})
	if err != nil {
		return fmt.Errorf("store: set quota of account %d: %w", a.id, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asOf = 0
	return nil
}

// Subscribe adds name to, or removes it from, the names the user wants to see. The name need not exist
// (RFC 9051 section 6.3.7).
func (a *Account) Subscribe(ctx context.Context, name string, on bool) error {
	name, err := cleanName(name)
	if err != nil {
		return err
	}
	_, err = a.update(ctx, func(w *writer) error {
		names, err := readSubscriptions(w.txn)
		if err != nil {
			return err
		}
		_, have := slices.BinarySearch(names, name)
		if on && !have && len(names) >= maxSubscriptions {
			return fmt.Errorf("store: %w: %d subscriptions", ErrLimit, maxSubscriptions)
		}
		if on != have {
			w.subscribe(name, on)
		}
		return nil
	})
	return err
}

// Subscriptions returns the subscribed names in order, existing or not.
func (a *Account) Subscriptions(ctx context.Context) ([]string, error) {
	s, err := a.at(ctx)
	if err != nil {
		return nil, err
	}
	return slices.Clone(s.subs), nil
}
