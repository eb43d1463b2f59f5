package directory

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"posthaste/kv"
	"posthaste/mail"
)

// An AliasEntry sends mail for one address to others, here or elsewhere. One with the local-part
// "*" takes all mail of its domain that nobody else takes.
type AliasEntry struct {
	Address mail.Address   `json:"address"`
	Targets []mail.Address `json:"targets"`
	Moved   int            `json:"moved,omitempty"` // see SetMoved; 0 for a plain alias
}

// AddAlias makes an alias with 1 to MaxTargets targets. Doing it again is no error; ErrExists says
// that the address is held by an account, or by an alias with other targets.
func (d *Directory) AddAlias(ctx context.Context, address mail.Address, targets []mail.Address) error {
	return d.putAlias(ctx, AliasEntry{Address: address, Targets: targets}, false)
}

// SetAlias is like AddAlias, but replaces the targets of an alias that is there.
func (d *Directory) SetAlias(ctx context.Context, address mail.Address, targets []mail.Address) error {
	return d.putAlias(ctx, AliasEntry{Address: address, Targets: targets}, true)
}

// The reply codes for an address whose owner has moved (RFC 5321 section 3.4).
const (
	MovedForward = 251 // mail is taken and forwarded
	MovedRefuse  = 551 // mail is refused, and the reply tells the new address
)

// SetMoved notes that the owner of an address has another one now, in the place of any alias. code is
// MovedForward or MovedRefuse. DeleteAlias ends it.
func (d *Directory) SetMoved(ctx context.Context, address, to mail.Address, code int) error {
	if code != MovedForward && code != MovedRefuse || address.Local == catchAll {
		return fmt.Errorf("directory: %s moved to %s with reply %d: %w: want an address and 251 or 551", address, to, code, ErrInvalid)
	}
	return d.putAlias(ctx, AliasEntry{Address: address, Targets: []mail.Address{to}, Moved: code}, true)
}

func (d *Directory) putAlias(ctx context.Context, entry AliasEntry, replace bool) error {
	address, err := checkAddress(entry.Address)
	if err != nil {
		return err
	}
	targets, err := checkTargets(address, entry.Targets)
	if err != nil {
		return err
	}
	if err := d.domainForAddress(ctx, address.Domain); err != nil {
		return err
	}
	return d.updateRecord(ctx, address, func(old *record) (*record, error) {
		same := old != nil && old.Moved == entry.Moved && slices.Equal(old.Targets, targets)
		if old != nil && (old.Account != 0 || !replace && !same) {
			return nil, held(address, *old)
		}
		return &record{Address: address, Targets: targets, Moved: entry.Moved}, nil
	})
}

// checkTargets returns what address leads to in the form it is stored in, or ErrInvalid.
func checkTargets(address mail.Address, targets []mail.Address) ([]mail.Address, error) {
	if len(targets) == 0 || len(targets) > MaxTargets {
		return nil, fmt.Errorf("directory: alias %s with %d targets: %w: want 1 to %d", address, len(targets), ErrInvalid, MaxTargets)
	}
	checked := make([]mail.Address, len(targets))
	for i, target := range targets {
		var err error
		if checked[i], err = checkAddress(target); err != nil {
			return nil, err
		}
	}
	return checked, nil
}

// DeleteAlias removes an alias, or returns ErrNoAlias.
func (d *Directory) DeleteAlias(ctx context.Context, address mail.Address) error {
	found := false // also in an attempt whose outcome is unknown
	return d.updateRecord(ctx, address, func(old *record) (*record, error) {
		found = found || old != nil && len(old.Targets) > 0
		if !found || old != nil && len(old.Targets) == 0 {
			return nil, fmt.Errorf("directory: %w: %s", ErrNoAlias, address)
		}
		return nil, nil
	})
}

// Aliases yields the aliases of a domain, or of all domains when it is empty, by domain and
// local-part. An error ends it.
func (d *Directory) Aliases(ctx context.Context, domain string) iter.Seq2[AliasEntry, error] {
	return func(yield func(AliasEntry, error) bool) {
		for r, err := range d.records(ctx, domain) {
			if err == nil && len(r.Targets) == 0 {
				continue
			}
			if !yield(AliasEntry{r.Address, r.Targets, r.Moved}, err) {
				return
			}
		}
	}
}

// Accounts yields the accounts of a domain, or of all domains when it is empty, by domain and
// local-part. An error ends it.
func (d *Directory) Accounts(ctx context.Context, domain string) iter.Seq2[Account, error] {
	return func(yield func(Account, error) bool) {
		for r, err := range d.records(ctx, domain) {
			if err == nil && (r.Account == 0 || r.State == claimed) {
				continue
			}
			var account Account
			if err == nil {
				account, err = d.Account(ctx, r.Account)
			}
			if errors.Is(err, ErrNoAccount) {
				continue // deleted since
			}
			if !yield(account, err) {
				return
			}
		}
	}
}

// record returns what a normal address is; the zero record when it is nothing.
func (d *Directory) record(ctx context.Context, address mail.Address) (record, error) {
	var r record
	err := d.store.View(ctx, bucketPartition(bucketOf(address)), func(kr kv.Reader) error {
		return getJSON(kr, addressKey(address), &r)
	})
	if errors.Is(err, kv.ErrNotFound) {
		return record{}, nil
	}
	return r, err
}
