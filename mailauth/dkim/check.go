package dkim

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"time"

	"posthaste/dns"
	"posthaste/mailauth/internal/sig"
)

// A Status is what the DNS has for a key of ours.
type Status string

// The statuses.
const (
	Published Status = "published" // the key, usable
	Missing   Status = "missing"   // nothing
	Different Status = "different" // another key, or one that is not usable as it stands there
	Unknown   Status = "unknown"   // the DNS gives no answer
)

// A Check is a key beside what the DNS has.
type Check struct {
	Key
	Status  Status `json:"status"`
	Problem string `json:"problem,omitempty"` // what is wrong with what was found
	Advice  string `json:"advice"`            // what to do, a sentence
}

// OK tells whether all is well: nothing has to be published.
func (c Check) OK() bool { return c.Status == Published || c.State == Retired }

// Check asks the DNS for every key of a domain.
func (s *KeyStore) Check(ctx context.Context, domain string) ([]Check, error) {
	keys, err := s.Keys(ctx, domain)
	if err != nil {
		return nil, err
	}
	checks := make([]Check, len(keys))
	for i, k := range keys {
		checks[i] = s.check(ctx, k)
	}
	return checks, nil
}

func (s *KeyStore) check(ctx context.Context, k Key) Check {
	c := Check{Key: k}
	answer, err := s.cfg.Resolver.TXT(ctx, k.Name())
	switch {
	case errors.Is(err, dns.ErrNotFound):
		c.Status = Missing
	case err != nil:
		c.Status, c.Problem = Unknown, err.Error()
	default:
		c.Status, c.Problem = compare(answer.Records, k.Record)
	}
	c.Advice = c.advice()
	return c
}

// compare tells whether the records at a name are the one that should be there.
func compare(found []string, want string) (Status, string) {
	ours, err := sig.ParseKey(want)
	switch {
	case err != nil:
		return Unknown, err.Error()
	case len(found) == 0:
		return Missing, ""
	case len(found) > 1:
		return Different, fmt.Sprintf("%d records stand at one name: receivers take any of them", len(found))
	}
	theirs, err := sig.ParseKey(found[0])
	if err != nil {
		return Different, err.Error()
	}
	if equal, ok := ours.Public.(interface{ Equal(crypto.PublicKey) bool }); !ok || !equal.Equal(theirs.Public) {
		return Different, "the record holds another key"
	}
	if err := theirs.Usable(sig.Algorithm(ours.Public)); err != nil {
		return Different, err.Error()
	}
	if theirs.Testing {
		return Different, "the record says that the domain only tests (t=y): receivers take mail for unsigned"
	}
	return Published, ""
}

// advice is what to do about a key that is as c says.
func (c Check) advice() string {
	publish := fmt.Sprintf("publish its record: posthaste dkim dns %s prints it", c.Domain)
	if c.Status == Different {
		publish = fmt.Sprintf("replace the record at %s: posthaste dkim dns %s prints what belongs there", c.Name(), c.Domain)
	}
	switch {
	case c.Status == Unknown:
		return "ask again later: the DNS gives no answer"
	case c.State == Active && c.Status == Published:
		return "all is well"
	case c.State == Active:
		return publish + "; until then receivers take mail for unsigned"
	case c.State == New && c.Status == Published:
		return fmt.Sprintf("nothing: it signs soon; posthaste dkim activate %s %s makes it sign now", c.Domain, c.Selector)
	case c.State == New:
		return publish + "; it signs once it is seen there"
	case c.State == Retiring && c.Status == Published:
		return "leave the record until " + c.Retires.UTC().Format(time.DateOnly) + ", for mail on its way"
	case c.State == Retiring:
		return publish + ", for mail on its way until " + c.Retires.UTC().Format(time.DateOnly)
	case c.Status == Published:
		return fmt.Sprintf("remove the record, then: posthaste dkim delete %s %s", c.Domain, c.Selector)
	}
	return fmt.Sprintf("posthaste dkim delete %s %s", c.Domain, c.Selector)
}

// sweepEvery is how often Run looks for records that were published.
const sweepEvery = 15 * time.Minute

// Run makes keys sign once their records are published, until ctx ends.
func (s *KeyStore) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("DKIM keys that wait were not looked at", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Sweep makes every key sign that is New and published.
func (s *KeyStore) Sweep(ctx context.Context) error {
	domains, err := s.Domains(ctx)
	for _, domain := range domains {
		keys, readErr := s.Keys(ctx, domain)
		err = errors.Join(err, readErr)
		for _, k := range keys {
			if k.State == New {
				s.tryActivate(ctx, k)
			}
		}
	}
	return err
}

func (s *KeyStore) tryActivate(ctx context.Context, k Key) {
	_, err := s.Activate(ctx, k.Domain, k.Selector, false)
	switch {
	case err == nil:
		s.cfg.Log.Info("DKIM key signs now: its record was seen", "domain", k.Domain, "selector", k.Selector)
	case !errors.Is(err, ErrNotPublished):
		s.cfg.Log.Info("DKIM key waits", "domain", k.Domain, "selector", k.Selector, "reason", err)
	}
}
