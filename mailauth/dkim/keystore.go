package dkim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"posthaste/kv"
	"posthaste/mailauth/internal/sig"
)

// StoreConfig says what a KeyStore works with.
type StoreConfig struct {
	Store    kv.Store
	Resolver Resolver         // asked whether records are published
	Expire   time.Duration    // how long signatures are good (x=); 0: for ever
	Clock    func() time.Time // nil: time.Now
	Log      *slog.Logger     // nil: silence
}

// A KeyStore keeps the keys of our domains. It is safe for concurrent use, also by several nodes on one
// store.
type KeyStore struct {
	cfg     StoreConfig
	signers signers
}

// NewKeyStore returns the KeyStore in a store.
func NewKeyStore(cfg StoreConfig) *KeyStore {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &KeyStore{cfg: cfg, signers: signers{domains: map[string]*cached{}}}
}

// AddOptions say which keys to make.
type AddOptions struct {
	// Selector names the key; of several, each gets "-rsa" or "-ed25519" behind it. Default: the day.
	Selector   string
	Algorithms []Algorithm // default: both
	Active     bool        // they sign at once, which does no harm: what is unpublished counts as unsigned
}

// Add makes keys for a domain and returns them. An error that is a mistake of the caller is one of ErrDomain,
// ErrSelector, ErrExists and ErrTooMany.
func (s *KeyStore) Add(ctx context.Context, domain string, o AddOptions) ([]Key, error) {
	if len(o.Algorithms) == 0 {
		o.Algorithms = allAlgorithms
	}
	fresh, err := makeKeys(o.Algorithms, s.cfg.Clock())
	if err != nil {
		return nil, err
	}
	return s.change(ctx, domain, func(all []stored, now time.Time) ([]stored, error) {
		base := o.Selector
		if base == "" {
			base = freeBase(all, now)
		}
		made := slices.Clone(fresh)
		for i := range made {
			selector := base
			if o.Selector == "" || len(made) > 1 {
				selector += "-" + made[i].Algorithm.short()
			}
			made[i].Selector = strings.ToLower(selector)
			if o.Active {
				made[i].State, made[i].Activated = Active, now.UTC()
			}
		}
		return made, checkNew(all, made)
	})
}

// checkNew tells why keys cannot be added.
func checkNew(all, made []stored) error {
	for _, k := range made {
		if _, ok := sig.Domain(k.Selector); !ok || len(k.Selector) > 63 {
			return fmt.Errorf("%w: %s", ErrSelector, sig.Word(k.Selector))
		}
		if slices.ContainsFunc(all, func(old stored) bool { return old.Selector == k.Selector }) {
			return fmt.Errorf("%w: %s", ErrExists, k.Selector)
		}
	}
	if len(all)+len(made) > MaxKeys {
		return ErrTooMany
	}
	return nil
}

// freeBase returns a base for selectors that none has: "k20261130", then "k20261130b" and so on.
func freeBase(all []stored, now time.Time) string {
	day := now.UTC().Format("k20060102")
	taken := func(base string) bool {
		return slices.ContainsFunc(all, func(s stored) bool { return strings.HasPrefix(s.Selector, base+"-") })
	}
	base := day
	for letter := 'b'; taken(base) && letter <= 'z'; letter++ {
		base = day + string(letter)
	}
	return base
}

// Rotate makes a key for each kind that signs now. They wait to be published; when one begins to sign
// ([KeyStore.Activate]) those it replaces stop and stay listed for KeepRetiring. ErrRotating means that
// this has been begun already, ErrNoActive that there is nothing to replace.
func (s *KeyStore) Rotate(ctx context.Context, domain string) ([]Key, error) {
	fresh, err := makeKeys(allAlgorithms, s.cfg.Clock())
	if err != nil {
		return nil, err
	}
	return s.change(ctx, domain, func(all []stored, now time.Time) ([]stored, error) {
		replaces := map[Algorithm][]string{}
		for _, k := range all {
			switch {
			case k.State == New && len(k.Replaces) > 0:
				return nil, fmt.Errorf("%w: %s", ErrRotating, k.Selector)
			case k.State == Active:
				replaces[k.Algorithm] = append(replaces[k.Algorithm], k.Selector)
			}
		}
		if len(replaces) == 0 {
			return nil, ErrNoActive
		}
		base := freeBase(all, now)
		var made []stored
		for _, k := range fresh {
			if k.Replaces = replaces[k.Algorithm]; len(k.Replaces) > 0 {
				k.Selector = base + "-" + k.Algorithm.short()
				made = append(made, k)
			}
		}
		return made, checkNew(all, made)
	})
}

// change lets decide make keys and change those that it is given, and writes all of them. It returns the
// keys that were made or changed.
func (s *KeyStore) change(ctx context.Context, domain string, decide func([]stored, time.Time) ([]stored, error)) ([]Key, error) {
	p, domain, err := partition(domain)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Clock()
	var changed []stored
	_, err = s.cfg.Store.Update(ctx, p, func(tx kv.Txn) error {
		all, err := readAll(tx)
		if err != nil {
			return err
		}
		if changed, err = decide(all, now); err != nil {
			return err
		}
		for i := range changed {
			if err := changed[i].write(tx); err != nil {
				return err
			}
		}
		return nil
	})
	s.signers.forget(domain)
	if err != nil {
		return nil, err
	}
	return tell(changed, domain, now), nil
}

func tell(all []stored, domain string, now time.Time) []Key {
	keys := make([]Key, len(all))
	for i := range all {
		keys[i] = all[i].key(domain, now)
	}
	return keys
}

// Activate makes a key sign, and those that it replaces stop. Unless forced, its record must be published:
// the error is ErrNotPublished where it is not, and another where that cannot be told now. It returns the
// keys that changed, that key first.
func (s *KeyStore) Activate(ctx context.Context, domain, selector string, force bool) ([]Key, error) {
	selector = strings.ToLower(selector)
	if !force {
		if err := s.mustBePublished(ctx, domain, selector); err != nil {
			return nil, err
		}
	}
	return s.change(ctx, domain, func(all []stored, now time.Time) ([]stored, error) {
		i := slices.IndexFunc(all, func(k stored) bool { return k.Selector == selector })
		if i < 0 {
			return nil, fmt.Errorf("%w: %s", ErrNoKey, selector)
		}
		k := all[i]
		if k.State != Active {
			k.State, k.Activated, k.Retires = Active, now.UTC(), time.Time{}
		}
		changed := []stored{k}
		for _, old := range all {
			if old.State == Active && old.Selector != selector && slices.Contains(k.Replaces, old.Selector) {
				old.State, old.Retires = Retiring, now.Add(KeepRetiring).UTC()
				changed = append(changed, old)
			}
		}
		changed[0].Replaces = nil // that was done, once
		return changed, nil
	})
}

func (s *KeyStore) mustBePublished(ctx context.Context, domain, selector string) error {
	p, domain, err := partition(domain)
	if err != nil {
		return err
	}
	var k stored
	err = s.cfg.Store.View(ctx, p, func(r kv.Reader) (err error) {
		k, err = readStored(r, selector)
		return err
	})
	if err != nil {
		return err
	}
	c := s.check(ctx, k.key(domain, s.cfg.Clock()))
	switch c.Status {
	case Published:
		return nil
	case Unknown:
		return fmt.Errorf("dkim: whether %s is published: %s", c.Name(), c.Problem)
	}
	return fmt.Errorf("%w: %s is %s", ErrNotPublished, c.Name(), c.Status)
}

// Delete removes a key, also one that signs. ErrNoKey means that there is none.
func (s *KeyStore) Delete(ctx context.Context, domain, selector string) error {
	p, domain, err := partition(domain)
	if err != nil {
		return err
	}
	selector = strings.ToLower(selector)
	_, err = s.cfg.Store.Update(ctx, p, func(tx kv.Txn) error {
		if _, err := readStored(tx, selector); errors.Is(err, ErrNoKey) {
			return err
		}
		tx.Delete(storedKey(selector))
		return nil
	})
	s.signers.forget(domain)
	return err
}

// Keys returns the keys of a domain: those that sign first, then by age.
func (s *KeyStore) Keys(ctx context.Context, domain string) ([]Key, error) {
	p, domain, err := partition(domain)
	if err != nil {
		return nil, err
	}
	all, err := s.read(ctx, p)
	keys := tell(all, domain, s.cfg.Clock())
	slices.SortStableFunc(keys, func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.State.order(), b.State.order()), a.Created.Compare(b.Created), cmp.Compare(b.Selector, a.Selector))
	})
	return keys, err
}

func (s State) order() int { return slices.Index([]State{Active, New, Retiring, Retired}, s) }

func (s *KeyStore) read(ctx context.Context, p kv.Partition) (all []stored, err error) {
	err = s.cfg.Store.View(ctx, p, func(r kv.Reader) error {
		all, err = readAll(r)
		return err
	})
	return all, err
}

// Domains returns every domain that has had keys, in order.
func (s *KeyStore) Domains(ctx context.Context) (domains []string, err error) {
	err = s.cfg.Store.Partitions(ctx, partitionPrefix, func(p kv.Partition) error {
		domains = append(domains, strings.TrimPrefix(string(p), partitionPrefix))
		return nil
	})
	return domains, err
}
