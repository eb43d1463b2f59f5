package admin

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"posthaste/directory"
	"posthaste/mailauth/dkim"
)

// A DKIMRequest names a domain, and what is to become of its keys.
type DKIMRequest struct {
	Domain    string `json:"domain,omitempty"`
	Selector  string `json:"selector,omitempty"`
	Algorithm string `json:"algorithm,omitempty"` // "rsa", "ed25519" or "both", the default
	Force     bool   `json:"force,omitempty"`     // sign although the record was not seen
}

// A DKIMKey is a key with the record to publish, which is no secret.
type DKIMKey struct {
	dkim.Key
	Name    string   `json:"name"`    // where the record stands
	Type    string   `json:"type"`    // "TXT"
	Strings []string `json:"strings"` // the record, cut as the DNS holds it
	Zone    string   `json:"zone"`    // the record as a zone file has it
}

func showKey(k dkim.Key) DKIMKey {
	return DKIMKey{Key: k, Name: k.Name(), Type: "TXT", Strings: k.Strings(), Zone: k.Zone()}
}

// A DKIMCheck is a key beside what the DNS has.
type DKIMCheck struct {
	dkim.Check
	Name string `json:"name"`
	OK   bool   `json:"ok"` // nothing is to be done
}

// AddDKIM makes keys for a domain of ours. They sign once their records are published, or at once with Force.
func (a *Admin) AddDKIM(ctx context.Context, r DKIMRequest) iter.Seq2[DKIMKey, error] {
	return a.dkimKeys(r, func() ([]dkim.Key, error) {
		algorithms, err := dkim.ParseAlgorithms(r.Algorithm)
		if err != nil {
			return nil, err
		}
		if err := a.mayHaveKeys(ctx, r.Domain); err != nil {
			return nil, err
		}
		return a.cfg.DKIM.Add(ctx, r.Domain, dkim.AddOptions{Selector: r.Selector, Algorithms: algorithms, Active: r.Force})
	})
}

// FirstDKIM makes keys for a domain that has none, which sign at once: until their records are published,
// receivers take its mail for unsigned, as it was before. It is for domains that are added.
func (a *Admin) FirstDKIM(ctx context.Context, domain string) error {
	if a.cfg.DKIM == nil {
		return nil
	}
	keys, err := a.cfg.DKIM.Keys(ctx, domain)
	if err == nil && len(keys) == 0 {
		_, err = a.cfg.DKIM.Add(ctx, domain, dkim.AddOptions{Active: true})
	}
	if errors.Is(err, dkim.ErrDomain) {
		return nil // too long to have keys
	}
	return err
}

// mayHaveKeys refuses what is no domain of ours, none below one, and not our host: a typing error, most likely.
func (a *Admin) mayHaveKeys(ctx context.Context, name string) error {
	domain, err := directory.DomainName(name)
	if err != nil || domain == a.cfg.Hostname {
		return err
	}
	for parent := domain; parent != ""; _, parent, _ = strings.Cut(parent, ".") {
		_, err := a.cfg.Directory.Domain(ctx, parent)
		if err == nil || !errors.Is(err, directory.ErrNoDomain) {
			return err
		}
	}
	return fmt.Errorf("%s is not ours: posthaste domain add %s", domain, domain)
}

// DKIMKeys yields the keys of a domain, or of all.
func (a *Admin) DKIMKeys(ctx context.Context, r DKIMRequest) iter.Seq2[DKIMKey, error] {
	return a.dkimKeys(r, func() ([]dkim.Key, error) {
		if r.Domain != "" {
			keys, err := a.cfg.DKIM.Keys(ctx, r.Domain)
			if err == nil && len(keys) == 0 {
				err = fmt.Errorf("%s has no keys: posthaste dkim add %s makes some", r.Domain, r.Domain)
			}
			return keys, err
		}
		domains, err := a.cfg.DKIM.Domains(ctx)
		var all []dkim.Key
		for _, domain := range domains {
			keys, readErr := a.cfg.DKIM.Keys(ctx, domain)
			all, err = append(all, keys...), errors.Join(err, readErr)
		}
		return all, err
	})
}

// RotateDKIM makes the keys that will replace those of a domain.
func (a *Admin) RotateDKIM(ctx context.Context, r DKIMRequest) iter.Seq2[DKIMKey, error] {
	return a.dkimKeys(r, func() ([]dkim.Key, error) { return a.cfg.DKIM.Rotate(ctx, r.Domain) })
}

// ActivateDKIM makes a key sign. It yields that key and those that it replaced.
func (a *Admin) ActivateDKIM(ctx context.Context, r DKIMRequest) iter.Seq2[DKIMKey, error] {
	return a.dkimKeys(r, func() ([]dkim.Key, error) {
		keys, err := a.cfg.DKIM.Activate(ctx, r.Domain, r.Selector, r.Force)
		if errors.Is(err, dkim.ErrNotPublished) {
			err = fmt.Errorf("%w: posthaste dkim check %s tells what to do; --force makes the key sign nevertheless", err, r.Domain)
		}
		return keys, err
	})
}

// DeleteDKIM removes a key and returns those that the domain keeps.
func (a *Admin) DeleteDKIM(ctx context.Context, r DKIMRequest) iter.Seq2[DKIMKey, error] {
	return a.dkimKeys(r, func() ([]dkim.Key, error) {
		if err := a.cfg.DKIM.Delete(ctx, r.Domain, r.Selector); err != nil {
			return nil, err
		}
		return a.cfg.DKIM.Keys(ctx, r.Domain)
	})
}

// CheckDKIM asks the DNS for the keys of a domain and tells what to do about each.
func (a *Admin) CheckDKIM(ctx context.Context, r DKIMRequest) iter.Seq2[DKIMCheck, error] {
	return func(yield func(DKIMCheck, error) bool) {
		if a.cfg.DKIM == nil {
			yield(DKIMCheck{}, errNoDKIM)
			return
		}
		checks, err := a.cfg.DKIM.Check(ctx, r.Domain)
		if err == nil && len(checks) == 0 {
			err = fmt.Errorf("%s has no keys: posthaste dkim add %s makes some", r.Domain, r.Domain)
		}
		for _, c := range checks {
			if !yield(DKIMCheck{Check: c, Name: c.Name(), OK: c.OK()}, nil) {
				return
			}
		}
		if err != nil {
			yield(DKIMCheck{}, err)
		}
	}
}

var errNoDKIM = errors.New("this node keeps no DKIM keys")

// explainDKIM says what to do about keys that are not there.
func explainDKIM(domain string, err error) error {
	switch {
	case errors.Is(err, dkim.ErrNoKey):
		return fmt.Errorf("%w: posthaste dkim list %s shows those of the domain", err, domain)
	case errors.Is(err, dkim.ErrNoActive):
		return fmt.Errorf("%w for %s: posthaste dkim add %s makes keys, posthaste dkim activate lets one sign", err, domain, domain)
	}
	return err
}

// dkimKeys yields what do returns, in the words of the command line where it fails.
func (a *Admin) dkimKeys(r DKIMRequest, do func() ([]dkim.Key, error)) iter.Seq2[DKIMKey, error] {
	return func(yield func(DKIMKey, error) bool) {
		if a.cfg.DKIM == nil {
			yield(DKIMKey{}, errNoDKIM)
			return
		}
		keys, err := do()
		err = explainDKIM(r.Domain, err)
		for _, k := range keys {
			if !yield(showKey(k), nil) {
				return
			}
		}
		if err != nil {
			yield(DKIMKey{}, errors.New(strings.TrimPrefix(err.Error(), "dkim: ")))
		}
	}
}
