// Package directory knows who is here: the domains we take mail for, the accounts in them, their
// aliases, and what accounts log in with.
//
// [Directory.Resolve] answers, for one address and in one step, where its mail goes. It is asked for
// each RCPT and each delivery, so its answers are kept in memory and dropped by the very commit
// that changes one of the partitions they came from.
//
// An address is claimed first, then the account is made, then the address is made active. Each step
// may be repeated: an address whose making was cut short resolves to nobody, and is finished by
// making it again. No key is everybody's: addresses are spread over buckets by hash, and account
// IDs are drawn at random and proved unused by the partition of the account itself.
//
// Domains compare as lower case A-labels, local-parts without regard to case. The directory does no
// hashing of passwords and no delivering: see packages auth and deliver/local.
//
// Partitions and keys (values in docs/formats/directory.md):
//
//	domain/<name>      d           what the domain is
//	                   first       the account that stands in for postmaster
//	address/<bucket>   <domain> NUL <local-part>   account or alias
//	login/<account>    a           facts of the account, kept for ever, so that no ID is used twice
//	                   c/password  what proves the password
//	login/0            k/<name>    secrets shared by all nodes
package directory

import (
	"context"
	"errors"
	"sync/atomic"

	"posthaste/kv"
)

// Bounds of what one record may hold.
const (
	MaxDomain  = 253  // bytes of a domain name (RFC 1035 section 2.3.4)
	MaxLocal   = 64   // bytes of a local-part (RFC 5321 section 4.5.3.1.1)
	MaxTargets = 1000 // targets of one alias
	MaxName    = 200  // bytes of an account's name for people
)

// Conditions that callers act on. The errors that wrap them name the thing and the remedy.
var (
	ErrNoDomain  = errors.New("no such domain")
	ErrNoAccount = errors.New("no such account")
	ErrNoAlias   = errors.New("no such alias")
	ErrExists    = errors.New("exists already")
	ErrNotEmpty  = errors.New("domain still has addresses")
	ErrInvalid   = errors.New("not valid")
)

// Config says how addresses are read.
type Config struct {
	// Separator ends the local-part proper and begins the detail of a sub-address (RFC 5233).
	// Zero means '+'.
	Separator byte
	// DefaultDomain completes logins and addresses without a domain, such as RCPT TO:<postmaster>.
	DefaultDomain string
}

// A Directory is the domains, accounts and aliases in one store. Its methods may be called at the
// same time.
type Directory struct {
	store         kv.Store
	separator     byte
	defaultDomain string
	cache         cache
}

// New returns the directory in store. Close it before the store.
func New(store kv.Store, cfg Config) *Directory {
	d := &Directory{store: store, separator: cfg.Separator, defaultDomain: cfg.DefaultDomain}
	if d.separator == 0 {
		d.separator = '+'
	}
	d.cache.open(store)
	return d
}

// Close stops watching the store.
func (d *Directory) Close() { d.cache.close() }

// maxRepeats bounds how often a step whose outcome is unknown is done again.
const maxRepeats = 4

// update runs one step in p, again while its outcome is unknown, and then drops what was remembered
// of p: whoever changed the directory sees the change at once, also before a Watch tells of it.
func (d *Directory) update(ctx context.Context, p kv.Partition, gen *atomic.Uint64, fn func(kv.Txn) error) error {
	var err error
	for range maxRepeats {
		if _, err = d.store.Update(ctx, p, fn); !errors.Is(err, kv.ErrUnknown) {
			break
		}
	}
	if gen != nil {
		gen.Add(1)
	}
	return err
}
