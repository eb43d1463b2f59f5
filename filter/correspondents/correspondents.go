// Package correspondents remembers whom each account writes to: people you write to are welcome, and who
// suddenly writes to many strangers is conspicuous.
//
// Addresses are kept as hashes, bound to the account, with the day of the latest message; of one account
// a bounded number, the latest. What is noted counts in this process at once and is written by
// [Book.Run], so that sending mail does not wait for it; a crash may lose the last second. What cannot be
// read is not known. Keys are told in docs/formats/correspondents.md.
package correspondents

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"posthaste/kv"
	"posthaste/mail"
)

// Bounds of what is remembered.
const (
	MaxPerAccount = 20_000 // addresses of one account
	buckets       = 64
	maxCached     = 100_000 // addresses in memory, of all accounts
	maxPending    = 100_000 // addresses that wait to be written; more are lost
	grain         = 24 * time.Hour
	flushEvery    = time.Second
	retryEvery    = 10 * time.Second
)

// A Book is what all accounts know. Make it with New; its methods may be called at the same time.
type Book struct {
	kv   kv.Store
	log  *slog.Logger
	wake chan struct{}

	mu      sync.Mutex        // guards what follows
	cached  map[key]time.Time // some of what is stored
	pending map[key]time.Time // not written yet
}

// A key is an address that an account wrote to.
type key struct {
	account mail.AccountID
	address uint64 // a hash
}

func keyOf(account mail.AccountID, a mail.Address) key {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(account)))
	h.Write([]byte(strings.ToLower(a.String())))
	return key{account, binary.BigEndian.Uint64(h.Sum(nil))}
}

// New returns a Book that is kept in store. Call Run to have it written.
func New(store kv.Store, log *slog.Logger) *Book {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Book{kv: store, log: log, wake: make(chan struct{}, 1), cached: map[key]time.Time{}, pending: map[key]time.Time{}}
}

// Knows tells whether account wrote to address before. What cannot be read is not known.
func (b *Book) Knows(ctx context.Context, account mail.AccountID, address mail.Address) bool {
	if account == 0 {
		return false
	}
	n, err := b.Strangers(ctx, account, []mail.Address{address})
	if err != nil && ctx.Err() == nil {
		b.log.Warn("correspondents cannot be read", "account", account, "err", err)
	}
	return err == nil && n == 0
}

// Strangers returns how many of addresses account never wrote to.
func (b *Book) Strangers(ctx context.Context, account mail.AccountID, addresses []mail.Address) (int, error) {
	missing := b.missing(account, addresses)
	if len(missing) == 0 {
		return 0, nil
	}
	found := map[key]time.Time{}
	err := b.kv.View(ctx, partitionOf(account), func(r kv.Reader) error {
		clear(found)
		for k := range missing {
			value, err := r.Get(k.stored())
			if err == nil && len(value) == 8 {
				found[k] = time.Unix(int64(binary.BigEndian.Uint64(value)), 0)
			} else if err != nil && !errors.Is(err, kv.ErrNotFound) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("correspondents: read: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, last := range found {
		b.cache(k, last)
	}
	return len(missing) - len(found), nil
}

// missing returns what memory does not know, each once.
func (b *Book) missing(account mail.AccountID, addresses []mail.Address) map[key]struct{} {
	missing := map[key]struct{}{}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range addresses {
		k := keyOf(account, a)
		_, cached := b.cached[k]
		_, pending := b.pending[k]
		if !cached && !pending {
			missing[k] = struct{}{}
		}
	}
	return missing
}

// Note remembers that account wrote to addresses at now.
func (b *Book) Note(account mail.AccountID, addresses []mail.Address, now time.Time) {
	if account == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range addresses {
		k := keyOf(account, a)
		if now.Sub(b.cached[k]) < grain || len(b.pending) >= maxPending {
			continue
		}
		b.pending[k] = now
		b.cache(k, now)
	}
	if len(b.pending) > 0 {
		select {
		case b.wake <- struct{}{}:
		default:
		}
	}
}

// cache keeps k in memory; others make room, any, for they are stored. b.mu is held.
func (b *Book) cache(k key, last time.Time) {
	if _, ok := b.cached[k]; !ok && len(b.cached) >= maxCached {
		n := maxCached / 8
		for other := range b.cached {
			if n--; n < 0 {
				break
			}
			delete(b.cached, other)
		}
	}
	b.cached[k] = last
}

// Run writes what is noted, until ctx ends; then it writes the rest.
func (b *Book) Run(ctx context.Context) error {
	var flush <-chan time.Time // nil while nothing waits
	for {
		select {
		case <-ctx.Done():
			return b.flush(context.WithoutCancel(ctx))
		case <-b.wake:
			if flush == nil {
				flush = time.After(flushEvery)
			}
		case <-flush:
			flush = nil
			if err := b.flush(ctx); err != nil && ctx.Err() == nil {
				b.log.Warn("correspondents are not written", "err", err)
				flush = time.After(retryEvery)
			}
		}
	}
}

// flush writes what waits, account by account.
func (b *Book) flush(ctx context.Context) error {
	b.mu.Lock()
	pending := maps.Clone(b.pending)
	b.mu.Unlock()
	accounts := map[mail.AccountID]map[key]time.Time{}
	for k, last := range pending {
		if accounts[k.account] == nil {
			accounts[k.account] = map[key]time.Time{}
		}
		accounts[k.account][k] = last
	}
	for account, keys := range accounts {
		if err := b.write(ctx, account, keys); err != nil {
			return err
		}
		b.mu.Lock()
		for k, last := range keys {
			if b.pending[k].Equal(last) {
				delete(b.pending, k)
			}
		}
		b.mu.Unlock()
	}
	return nil
}

func partitionOf(account mail.AccountID) kv.Partition {
	return kv.Partition(fmt.Sprintf("correspondents/%d", uint64(account)%buckets))
}

func prefixOf(account mail.AccountID) []byte {
	return binary.BigEndian.AppendUint64([]byte("a/"), uint64(account))
}

func countKey(account mail.AccountID) []byte {
	return binary.BigEndian.AppendUint64([]byte("n/"), uint64(account))
}

func (k key) stored() []byte { return binary.BigEndian.AppendUint64(prefixOf(k.account), k.address) }

// write stores what one account wrote to.
func (b *Book) write(ctx context.Context, account mail.AccountID, keys map[key]time.Time) error {
	_, err := b.kv.Update(ctx, partitionOf(account), func(t kv.Txn) error {
		t.Quiet()
		count := uint64(0)
		if value, err := t.Get(countKey(account)); err == nil && len(value) == 8 {
			count = binary.BigEndian.Uint64(value)
		}
		for k, last := range keys {
			if _, err := t.Get(k.stored()); errors.Is(err, kv.ErrNotFound) {
				count++
			}
			t.Put(k.stored(), binary.BigEndian.AppendUint64(nil, uint64(last.Unix())))
		}
		if count > MaxPerAccount {
			var err error
			if count, err = trim(t, account); err != nil {
				return err
			}
		}
		t.Put(countKey(account), binary.BigEndian.AppendUint64(nil, count))
		return nil
	})
	if err != nil {
		return fmt.Errorf("correspondents: write: %w", err)
	}
	return nil
}

// trim deletes what an account wrote to longest ago, down to three quarters of the bound, and returns
// how many are left.
func trim(t kv.Txn, account mail.AccountID) (left uint64, err error) {
	type aged struct{ key, value string }
	var all []aged
	prefix := prefixOf(account)
	seq, errf := t.Scan(prefix, kv.PrefixEnd(prefix), false)
	for k, value := range seq {
		all = append(all, aged{string(k), string(value)})
	}
	if err := errf(); err != nil {
		return 0, err
	}
	slices.SortFunc(all, func(x, y aged) int { return strings.Compare(y.value, x.value) }) // big-endian: the latest first
	keep := min(len(all), MaxPerAccount*3/4)
	for _, a := range all[keep:] {
		t.Delete([]byte(a.key))
	}
	return uint64(keep), nil
}

// Forget erases what account knows.
func (b *Book) Forget(ctx context.Context, account mail.AccountID) error {
	b.mu.Lock()
	ours := func(k key, _ time.Time) bool { return k.account == account }
	maps.DeleteFunc(b.cached, ours)
	maps.DeleteFunc(b.pending, ours)
	b.mu.Unlock()
	_, err := b.kv.Update(ctx, partitionOf(account), func(t kv.Txn) error {
		t.Quiet()
		prefix := prefixOf(account)
		t.DeleteRange(prefix, kv.PrefixEnd(prefix))
		t.Delete(countKey(account))
		return nil
	})
	return err
}
