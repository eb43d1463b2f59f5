package directory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"posthaste/kv"
	"posthaste/mail"
)

// An Account owns mailboxes, and mail for its address.
type Account struct {
	ID       mail.AccountID `json:"id"`
	Address  mail.Address   `json:"address"`            // primary, and what it logs in with
	Name     string         `json:"name,omitempty"`     // of its owner, for people
	Quota    int64          `json:"quota,omitempty"`    // bytes; 0 is without limit
	Disabled bool           `json:"disabled,omitempty"` // takes mail, but nobody can log in
	Leaving  bool           `json:"leaving,omitempty"`  // DeleteAccount has begun and is not over
	Created  time.Time      `json:"created"`
}

// AccountOptions is what a new account may start with.
type AccountOptions struct {
	Name        string
	Quota       int64        // bytes; 0 is without limit
	Credentials *Credentials // nil: nobody can log in yet
}

// facts is what login/<account> keeps under "a". What is gone stays as a mark that the ID was used.
type facts struct {
	Account
	Gone time.Time `json:"gone,omitzero"`
}

var factsKey = []byte("a")

// Account IDs are drawn from the numbers of ten digits: short enough to be read aloud, and so many
// that a second draw is seldom needed.
const (
	minAccountID = 1_000_000_000
	maxAccountID = 9_999_999_999
	maxDraws     = 16
)

// errTaken means that an account ID was used before.
var errTaken = errors.New("account ID is taken")

// AddAccount makes an account that owns address. When the address has an account already it returns
// that account and ErrExists; an alias in the way is ErrExists too, and the error says who holds
// the address. After a crash half-way, doing it again makes the account.
func (d *Directory) AddAccount(ctx context.Context, address mail.Address, opts AccountOptions) (Account, error) {
	address, err := checkAddress(address)
	if err != nil {
		return Account{}, err
	}
	if address.Local == catchAll || len(opts.Name) > MaxName || opts.Quota < 0 {
		return Account{}, fmt.Errorf("directory: account %s (name %q, quota %d): %w", address, opts.Name, opts.Quota, ErrInvalid)
	}
	if err := d.domainForAddress(ctx, address.Domain); err != nil {
		return Account{}, err
	}
	for range maxDraws {
		id := mail.AccountID(minAccountID + rand.Int64N(maxAccountID-minAccountID+1))
		account, err := d.makeAccount(ctx, id, address, opts)
		if !errors.Is(err, errTaken) {
			return account, err
		}
	}
	return Account{}, fmt.Errorf("directory: account %s: no free account ID in %d draws", address, maxDraws)
}

// makeAccount claims address for id, makes the account, and makes the address active. A claim that
// another maker left, or is about to use, is taken over with an ID of our own: exactly one wins.
func (d *Directory) makeAccount(ctx context.Context, id mail.AccountID, address mail.Address, opts AccountOptions) (Account, error) {
	holder, err := d.claim(ctx, address, id)
	if err != nil {
		return d.heldBy(ctx, holder, err)
	}
	account := Account{ID: id, Address: address, Name: opts.Name, Quota: opts.Quota,
		Created: time.Now().UTC().Truncate(time.Second)}
	if err := d.putAccount(ctx, account, opts.Credentials); err != nil {
		return Account{}, err
	}
	err = d.activate(ctx, address, id)
	if errors.Is(err, ErrExists) { // the claim was taken over; nothing leads to our account
		_, buryErr := d.change(ctx, id, bury)
		err = errors.Join(err, buryErr)
	}
	if err != nil {
		return Account{}, err
	}
	return account, d.setFirst(ctx, address.Domain, 0, id)
}

// claim takes address for account id, unless somebody has it; then it returns who.
func (d *Directory) claim(ctx context.Context, address mail.Address, id mail.AccountID) (holder record, err error) {
	err = d.updateRecord(ctx, address, func(old *record) (*record, error) {
		if old != nil && (len(old.Targets) > 0 || old.State != claimed) {
			holder = *old
			return nil, held(address, *old)
		}
		return &record{Address: address, Account: id, State: claimed}, nil
	})
	return holder, err
}

func held(address mail.Address, by record) error {
	return fmt.Errorf("directory: address %s %w: held by %s", address, ErrExists, by.holder())
}

// heldBy returns err and the account that holds an address, if it is one. It does the last step of
// making that account, in case a crash left it undone.
func (d *Directory) heldBy(ctx context.Context, holder record, err error) (Account, error) {
	if !errors.Is(err, ErrExists) || holder.Account == 0 {
		return Account{}, err
	}
	account, readErr := d.Account(ctx, holder.Account)
	if readErr == nil && !account.Leaving {
		readErr = d.setFirst(ctx, account.Address.Domain, 0, account.ID)
	}
	if readErr != nil {
		return Account{}, readErr
	}
	return account, err
}

// putAccount writes the facts of a new account, or returns errTaken. To find its own facts there
// means that this is a repeat.
func (d *Directory) putAccount(ctx context.Context, account Account, c *Credentials) error {
	return d.update(ctx, loginPartition(account.ID), nil, func(txn kv.Txn) error {
		var old facts
		err := getJSON(txn, factsKey, &old)
		if err == nil && (!old.Gone.IsZero() || old.Account != account) {
			return errTaken
		}
		if err != nil && !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		putJSON(txn, factsKey, facts{Account: account})
		if c != nil {
			putJSON(txn, passwordKey, c)
		}
		return nil
	})
}

// activate lets mail in for a claimed address.
func (d *Directory) activate(ctx context.Context, address mail.Address, id mail.AccountID) error {
	return d.updateRecord(ctx, address, func(old *record) (*record, error) {
		if old == nil || old.Account != id {
			return nil, fmt.Errorf("directory: address %s %w: somebody else is making it", address, ErrExists)
		}
		old.State = active
		return old, nil
	})
}

// updateRecord changes what address is. fn gets the present record, or nil, and returns the one to
// put; a nil record without error deletes.
func (d *Directory) updateRecord(ctx context.Context, address mail.Address, fn func(old *record) (*record, error)) error {
	address = normal(address)
	bucket, key := bucketOf(address), addressKey(address)
	return d.update(ctx, bucketPartition(bucket), &d.cache.buckets[bucket], func(txn kv.Txn) error {
		old := new(record)
		err := getJSON(txn, key, old)
		if errors.Is(err, kv.ErrNotFound) {
			old, err = nil, nil
		}
		if err != nil {
			return err
		}
		now, err := fn(old)
		switch {
		case err != nil:
			return err
		case now != nil:
			putJSON(txn, key, now)
		case old != nil:
			txn.Delete(key)
		}
		return nil
	})
}

// Account returns the account with an ID, or ErrNoAccount.
func (d *Directory) Account(ctx context.Context, id mail.AccountID) (Account, error) {
	var f facts
	err := d.store.View(ctx, loginPartition(id), func(r kv.Reader) error { return getJSON(r, factsKey, &f) })
	if errors.Is(err, kv.ErrNotFound) || err == nil && !f.Gone.IsZero() {
		return Account{}, noAccount(id.String())
	}
	return f.Account, err
}

func noAccount(who string) error { return fmt.Errorf("directory: %w: %s", ErrNoAccount, who) }

// AccountByAddress returns the account that owns exactly this address, also while it is leaving.
// Aliases, sub-addresses and stand-ins do not count.
func (d *Directory) AccountByAddress(ctx context.Context, address mail.Address) (Account, error) {
	r, err := d.record(ctx, normal(address))
	if err != nil {
		return Account{}, err
	}
	if r.Account == 0 || r.State == claimed {
		return Account{}, noAccount(address.String())
	}
	return d.Account(ctx, r.Account)
}

// SetQuota sets how many bytes an account may keep; 0 is without limit.
func (d *Directory) SetQuota(ctx context.Context, id mail.AccountID, quota int64) error {
	if quota < 0 {
		return fmt.Errorf("directory: quota %d: %w", quota, ErrInvalid)
	}
	_, err := d.change(ctx, id, func(_ kv.Txn, f *facts) { f.Quota = quota })
	return err
}

// SetDisabled says whether logging in is refused.
func (d *Directory) SetDisabled(ctx context.Context, id mail.AccountID, disabled bool) error {
	_, err := d.change(ctx, id, func(_ kv.Txn, f *facts) { f.Disabled = disabled })
	return err
}

// change rewrites the facts of an account that is not gone.
func (d *Directory) change(ctx context.Context, id mail.AccountID, fn func(kv.Txn, *facts)) (Account, error) {
	var f facts
	err := d.update(ctx, loginPartition(id), nil, func(txn kv.Txn) error {
		f = facts{}
		if err := getJSON(txn, factsKey, &f); err != nil {
			return err
		}
		if !f.Gone.IsZero() {
			return kv.ErrNotFound
		}
		fn(txn, &f)
		putJSON(txn, factsKey, f)
		return nil
	})
	if errors.Is(err, kv.ErrNotFound) {
		return Account{}, noAccount(id.String())
	}
	return f.Account, err
}

// DeleteAccount ends an account: nobody can log in and no mail comes in any more, then erase
// removes what it keeps, then the address is free. After an error or a crash it is to be done
// again, which erase must bear. The ID is never used again. Aliases that lead to the address stay.
func (d *Directory) DeleteAccount(ctx context.Context, id mail.AccountID, erase func(context.Context, Account) error) (Account, error) {
	account, err := d.change(ctx, id, func(txn kv.Txn, f *facts) {
		f.Leaving = true
		txn.DeleteRange(credentialsPrefix, kv.PrefixEnd(credentialsPrefix))
	})
	if err != nil {
		return Account{}, err
	}
	if err := d.leave(ctx, account); err != nil {
		return account, err
	}
	if erase != nil {
		if err := erase(ctx, account); err != nil {
			return account, fmt.Errorf("directory: delete account %s: %w", account.Address, err)
		}
	}
	err = d.updateRecord(ctx, account.Address, func(old *record) (*record, error) {
		if old == nil || old.Account != id {
			return old, nil
		}
		return nil, nil
	})
	if err != nil {
		return account, err
	}
	_, err = d.change(ctx, id, bury)
	if errors.Is(err, ErrNoAccount) {
		err = nil // a repeat of the last step
	}
	return account, err
}

// bury leaves of an account only the mark that its ID was used.
func bury(txn kv.Txn, f *facts) {
	txn.DeleteRange(credentialsPrefix, kv.PrefixEnd(credentialsPrefix))
	*f = facts{Gone: time.Now().UTC().Truncate(time.Second)}
}

// leave stops mail for an account, and finds another one to stand in for postmaster.
func (d *Directory) leave(ctx context.Context, account Account) error {
	err := d.updateRecord(ctx, account.Address, func(old *record) (*record, error) {
		if old != nil && old.Account == account.ID {
			old.State = leaving
		}
		return old, nil
	})
	if err != nil {
		return err
	}
	var next mail.AccountID
	for r, err := range d.records(ctx, account.Address.Domain) {
		if err != nil {
			return err
		}
		if r.State == active {
			next = r.Account
			break
		}
	}
	return d.setFirst(ctx, account.Address.Domain, account.ID, next)
}

func loginPartition(id mail.AccountID) kv.Partition { return kv.Partition("login/" + id.String()) }
