package directory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"posthaste/kv"
	"posthaste/mail"
)

// A Domain is one we take mail for.
type Domain struct {
	Name    string    `json:"name"` // lower case A-labels
	Relay   bool      `json:"relay,omitempty"`
	Created time.Time `json:"created"`
}

// DomainOptions says what kind of domain it is.
type DomainOptions struct {
	// Relay means that we are a backup for the domain: its mail is taken and handed on to its
	// better MX hosts. It has no accounts here.
	Relay bool
}

var (
	domainKey = []byte("d")
	firstKey  = []byte("first")
)

// AddDomain makes us responsible for a domain. Doing it again is no error; ErrExists says that the
// domain is there with other options.
func (d *Directory) AddDomain(ctx context.Context, name string, opts DomainOptions) (Domain, error) {
	name, err := DomainName(name)
	if err != nil {
		return Domain{}, err
	}
	domain := Domain{Name: name, Relay: opts.Relay, Created: time.Now().UTC().Truncate(time.Second)}
	err = d.update(ctx, domainPartition(name), d.cache.domain(name), func(txn kv.Txn) error {
		var old Domain
		err := getJSON(txn, domainKey, &old)
		switch {
		case errors.Is(err, kv.ErrNotFound):
			putJSON(txn, domainKey, domain)
			return nil
		case err != nil:
			return err
		case old.Relay != opts.Relay:
			return fmt.Errorf("directory: domain %s %w, with relay = %t", name, ErrExists, old.Relay)
		}
		domain = old
		return nil
	})
	return domain, err
}

// Domain returns one of our domains. ErrNoDomain says that it is somebody else's.
func (d *Directory) Domain(ctx context.Context, name string) (Domain, error) {
	name, err := DomainName(name)
	if err != nil {
		return Domain{}, err
	}
	var domain Domain
	err = d.store.View(ctx, domainPartition(name), func(r kv.Reader) error {
		return getJSON(r, domainKey, &domain)
	})
	if errors.Is(err, kv.ErrNotFound) {
		return Domain{}, noDomain(name)
	}
	return domain, err
}

func noDomain(name string) error {
	return fmt.Errorf("directory: %w: %s; posthaste domain add %s makes it", ErrNoDomain, name, name)
}

// Domains calls fn with every domain, in order, until fn returns an error.
func (d *Directory) Domains(ctx context.Context, fn func(Domain) error) error {
	return d.store.Partitions(ctx, domainPrefix, func(p kv.Partition) error {
		var domain Domain
		err := d.store.View(ctx, p, func(r kv.Reader) error { return getJSON(r, domainKey, &domain) })
		if errors.Is(err, kv.ErrNotFound) {
			return nil // deleted
		}
		if err != nil {
			return err
		}
		return fn(domain)
	})
}

// DeleteDomain ends our responsibility for a domain, which must have no accounts and no aliases any
// more (ErrNotEmpty).
func (d *Directory) DeleteDomain(ctx context.Context, name string) error {
	domain, err := d.Domain(ctx, name)
	if err != nil {
		return err
	}
	for r, err := range d.records(ctx, domain.Name) {
		if err != nil {
			return err
		}
		return fmt.Errorf("directory: delete domain %s: %w, such as %s, %s", domain.Name, ErrNotEmpty, r.Address, r.holder())
	}
	return d.update(ctx, domainPartition(domain.Name), d.cache.domain(domain.Name), func(txn kv.Txn) error {
		txn.Delete(domainKey)
		txn.Delete(firstKey)
		return nil
	})
}

// domainForAddress returns nil when addresses may be made in the domain.
func (d *Directory) domainForAddress(ctx context.Context, name string) error {
	domain, err := d.Domain(ctx, name)
	if err == nil && domain.Relay {
		return fmt.Errorf("directory: domain %s is only relayed, so it has no addresses here: %w", name, ErrInvalid)
	}
	return err
}

// setFirst makes id the account that stands in for postmaster when there is none, or when the
// present one is old. Most accounts are not the first of their domain: then nothing is written.
func (d *Directory) setFirst(ctx context.Context, name string, old, id mail.AccountID) error {
	var first mail.AccountID
	p := domainPartition(name)
	err := d.store.View(ctx, p, func(r kv.Reader) (err error) {
		first, err = firstOf(r)
		return err
	})
	if err != nil || first != old {
		return err
	}
	return d.update(ctx, p, d.cache.domain(name), func(txn kv.Txn) error {
		now, err := firstOf(txn)
		if err != nil || now != old {
			return err
		}
		if id == 0 {
			txn.Delete(firstKey)
			return nil
		}
		txn.Put(firstKey, []byte(id.String()))
		return nil
	})
}

// firstOf returns the first account of a domain, or 0.
func firstOf(r kv.Reader) (mail.AccountID, error) {
	value, err := r.Get(firstKey)
	if errors.Is(err, kv.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	id, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("directory: first account %q: %w", value, kv.ErrCorrupt)
	}
	return mail.AccountID(id), nil
}

const (
	domainPrefix = "domain/"
	// maxPartitionName leaves room for domainPrefix in the 200 bytes of a partition's name.
	maxPartitionName = 190
)

// domainPartition returns where a domain lies. A name too long for a partition stands as its hash,
// after a character that no name begins with.
func domainPartition(name string) kv.Partition {
	if len(name) <= maxPartitionName && !strings.ContainsFunc(name, unprintable) {
		return kv.Partition(domainPrefix + name)
	}
	sum := sha256.Sum256([]byte(name))
	return kv.Partition(domainPrefix + "#" + hex.EncodeToString(sum[:]))
}

func unprintable(r rune) bool { return r <= ' ' || r > '~' }
