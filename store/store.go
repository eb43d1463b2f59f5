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
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"sync"
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
	Blobs      blob.Store    // for large content; without it content too large for a body is refused
	Log        *slog.Logger  // default: slog.Default
	CacheBytes int64         // of rows kept in memory over all accounts (default 256 MiB)
	CacheAge   time.Duration // how long rows that nobody asked for are kept (default 10 minutes)
	Retention  time.Duration // how long destroyed content can still be fetched (default 1 hour)

	// Refiled hears, once it is durable, that a reader put emails from one mailbox into another of
	// which one is for junk. It must not block. Nil: nobody hears.
	Refiled func(Refiled)
}

const (
	defaultCacheBytes = 256 << 20
	defaultCacheAge   = 10 * time.Minute
	defaultRetention  = time.Hour
)

// Store is all accounts on one kv.Store. Its methods may be called at the same time.
type Store struct {
	cfg       Config
	codec     *codec
	now       func() time.Time
	snapshots chan *Account // accounts whose log has grown, for Run

	mu        sync.Mutex // guards what follows
	accounts  map[mail.AccountID]*Account
	cacheSize int64 // bytes of rows in memory
}

// New returns a Store on cfg.KV.
func New(cfg Config) (*Store, error) {
	if cfg.KV == nil {
		return nil, errors.New("store: Config.KV is needed")
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	cfg.CacheBytes = cmp.Or(cfg.CacheBytes, defaultCacheBytes)
	cfg.CacheAge = cmp.Or(cfg.CacheAge, defaultCacheAge)
	cfg.Retention = cmp.Or(cfg.Retention, defaultRetention)
	codec, err := newCodec()
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return &Store{
		cfg:       cfg,
		codec:     codec,
		now:       time.Now,
		snapshots: make(chan *Account, snapshotBacklog),
		accounts:  make(map[mail.AccountID]*Account),
	}, nil
}

// Close frees what the store holds in memory. It does not close Config.KV. No call may run.
func (s *Store) Close() error {
	s.codec.close()
	return nil
}

// Account returns the shared handle of an account. It does no I/O: whether the account exists shows
// in the first call that needs it.
func (s *Store) Account(id mail.AccountID) *Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[id]
	if a == nil {
		a = &Account{store: s, id: id, partition: partitionOf(id)}
		s.accounts[id] = a
	}
	return a
}
