// Package store keeps the mail of accounts: mailboxes, emails, keywords, threads, quota, and the log
// of every change to them.
//
// An [Account] is one kv partition, "account/<id>". Its version is its MODSEQ: each commit that a
// client can see raises it by one and writes one log entry that names exactly what changed. The log is
// the truth; packed chunks of rows are snapshots of it that bound how much must be replayed, rewritten
// in the background by [Store.Run]. Keys and values are in docs/formats/store.md.
//
// An email (RFC 8621) is in one or more mailboxes by memberships. Keywords belong to the email; UID,
// \Deleted and the save date belong to the membership, so the classic copy, flag deleted, expunge
// never harms the copy. A [View] is an immutable picture of one mailbox at one durable version, shared
// by all sessions. Nothing that is not durable is ever seen.
//
// Every method that changes something returns nil only after the change would survive a power cut.
// What belongs to a destroyed email can still be fetched for a retention time, because sessions may
// hold views that show it.
//
// Lock order: Store.mu, then Account.mu. No lock is held during I/O except Account.loading, which
// makes one goroutine load what several want.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"posthaste/blob"
	"posthaste/kv"
	"posthaste/mail"
)

// Conditions that callers act on.
var (
	// ErrNoAccount is the answer for an account that was not created, or was erased.
	ErrNoAccount = errors.New("no such account")
	// ErrNoMailbox is the answer for a name or an ID without mailbox.
	ErrNoMailbox = errors.New("no such mailbox")
	// ErrMailboxExists is the answer to creating or renaming to a name that is taken.
	ErrMailboxExists = errors.New("mailbox exists")
	// ErrMailboxName is the answer to a name that no mailbox can have.
	ErrMailboxName = errors.New("not a possible mailbox name")
	// ErrMailboxInUse is the answer to deleting or moving what must stay: INBOX, or a name without
	// mailbox that only holds others (RFC 9051 section 6.3.5).
	ErrMailboxInUse = errors.New("mailbox cannot be removed")
	// ErrQuota is the answer when the quota does not allow what was asked; the text says used and limit.
	ErrQuota = errors.New("quota exceeded")
	// ErrKeyword is the answer to a keyword that cannot be stored: bad characters, too long, or one
	// more than an account can have ([MaxKeywords]).
	ErrKeyword = errors.New("keyword cannot be stored")
	// ErrNoEmail is the answer for an email that is not, or no longer, stored.
	ErrNoEmail = errors.New("no such email")
	// ErrLimit is the answer when a bound of this package would be passed.
	ErrLimit = errors.New("limit reached")
)

// Config is what a Store is made from. KV is needed; the rest has defaults.
type Config struct {
	KV         kv.Store
	Blobs      blob.Store    // for large content; without it content over the limit of a body is refused
	Log        *slog.Logger  // default: slog.Default
	CacheBytes int64         // of rows kept in memory over all accounts (default 256 MiB)
	CacheAge   time.Duration // how long rows that nobody asked for are kept (default 10 minutes)
	Retention  time.Duration // how long destroyed content can still be fetched (default 1 hour)
}

// Store is all accounts on one kv.Store. Its methods may be called at the same time.
type Store struct {
	cfg Config
}

// New returns a Store on cfg.KV.
func New(cfg Config) (*Store, error) {
	if cfg.KV == nil {
		return nil, fmt.Errorf("store: Config.KV is needed")
	}
	return &Store{cfg: cfg}, nil
}

// Run does the housekeeping until ctx ends: it rewrites chunks whose log has grown, removes content
// past its retention, trims logs and delivery IDs, and drops rows nobody uses from memory.
func (s *Store) Run(ctx context.Context) error { return errors.ErrUnsupported }

// Close frees what the store holds in memory. It does not close Config.KV.
func (s *Store) Close() error { return nil }

// Create makes the account with INBOX and the mailboxes of RFC 6154 that people expect (Drafts, Sent,
// Junk, Trash, Archive), all subscribed. quota is in bytes, 0 for none. If the account exists it
// changes nothing.
func (s *Store) Create(ctx context.Context, id mail.AccountID, quota int64) error {
	return errors.ErrUnsupported
}

// Erase removes the account and all its mail. Erasing what is not there is no error.
func (s *Store) Erase(ctx context.Context, id mail.AccountID) error { return errors.ErrUnsupported }

// Account returns the shared handle of an account. It does no I/O: whether the account exists shows
// in the first call that needs it.
func (s *Store) Account(id mail.AccountID) *Account { return &Account{id: id} }

// An Account is one account's mail. Its methods may be called at the same time.
type Account struct {
	id mail.AccountID
}

// ID returns the account's ID.
func (a *Account) ID() mail.AccountID { return a.id }

// Watch calls f after any durable change of the account, until cancel. f must not block and must not
// call the store; several changes may be told by one call.
func (a *Account) Watch(f func()) (cancel func()) { return func() {} }

// Usage is how much of a quota is used.
type Usage struct {
	Used   int64 // bytes of all emails
	Limit  int64 // bytes, 0 for no limit
	Emails int64
}

// Quota returns how much the account holds and may hold.
func (a *Account) Quota(ctx context.Context) (Usage, error) { return Usage{}, errors.ErrUnsupported }

// SetQuota changes the limit, 0 for none. What is stored stays, also where it is more.
func (a *Account) SetQuota(ctx context.Context, limit int64) error { return errors.ErrUnsupported }
