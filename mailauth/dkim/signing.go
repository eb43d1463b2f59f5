package dkim

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"posthaste/kv"
)

// maxSigners bounds the domains whose Signer is kept in memory, also those that have none.
const maxSigners = 10_000

// signers keeps Signers until the store tells that the keys of their domain changed.
type signers struct {
	mu      sync.Mutex // guards domains
	domains map[string]*cached
}

// cached is the Signer of a domain, nil where it has no keys that sign.
type cached struct {
	signer *Signer
	stale  atomic.Bool // set by the store when the keys changed
	cancel func()      // ends the watch
}

func (s *signers) get(domain string) (*cached, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.domains[domain]
	if ok && c.stale.Load() {
		s.drop(domain, c)
		return nil, false
	}
	return c, ok
}

func (s *signers) put(domain string, c *cached) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.domains[domain]; ok {
		s.drop(domain, old)
	}
	for other, old := range s.domains { // any of them: a busy one is soon back
		if len(s.domains) < maxSigners {
			break
		}
		s.drop(other, old)
	}
	s.domains[domain] = c
}

// drop runs with mu held. Nothing of ours takes mu in a watch, so that cancel cannot wait for it.
func (s *signers) drop(domain string, c *cached) {
	c.cancel()
	delete(s.domains, domain)
}

func (s *signers) forget(domain string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.domains[domain]; ok {
		s.drop(domain, c)
	}
}

// Signing returns the Signer of exactly that domain, or nil where no key of it signs. An error means that
// its keys cannot be read now, not that it has none.
func (s *KeyStore) Signing(ctx context.Context, domain string) (*Signer, error) {
	p, domain, err := partition(domain)
	if err != nil {
		return nil, nil // it can have no keys
	}
	if c, ok := s.signers.get(domain); ok {
		return c.signer, nil
	}
	c := new(cached)
	c.cancel = s.cfg.Store.Watch(p, func(v kv.Version) { c.stale.Store(true) }) // before the keys are read
	all, err := s.read(ctx, p)
	if err == nil {
		c.signer, err = s.signer(domain, all)
	}
	if err != nil {
		c.cancel()
		return nil, fmt.Errorf("dkim: keys of %s: %w", domain, err)
	}
	s.signers.put(domain, c)
	return c.signer, nil
}

// signer returns the Signer with the active keys among all. RSA comes first, for readers that stop there.
func (s *KeyStore) signer(domain string, all []stored) (*Signer, error) {
	slices.SortStableFunc(all, func(a, b stored) int { return -cmp.Compare(a.Algorithm, b.Algorithm) })
	signer := &Signer{Domain: domain, Expire: s.cfg.Expire}
	for i := range all {
		if all[i].State != Active {
			continue
		}
		private, err := all[i].private()
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", all[i].Selector, err)
		}
		signer.Keys = append(signer.Keys, SigningKey{all[i].Selector, private})
	}
	if len(signer.Keys) == 0 {
		return nil, nil
	}
	return signer, nil
}

// Sign returns the signature fields of domain for a message, to be put before its header; none where no key
// of the domain signs. An error means that its keys cannot be read or used now: the message is to wait.
func (s *KeyStore) Sign(ctx context.Context, domain string, content []byte) ([]byte, error) {
	signer, err := s.Signing(ctx, domain)
	if signer == nil || err != nil {
		return nil, err
	}
	return signer.Sign(content, s.cfg.Clock())
}

// Has tells whether a key of exactly that domain signs.
func (s *KeyStore) Has(ctx context.Context, domain string) (bool, error) {
	signer, err := s.Signing(ctx, domain)
	return signer != nil, err
}
