package dkim

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"posthaste/kv"
	"posthaste/mailauth/internal/sig"
)

// Bounds of what is kept.
const (
	MaxKeys   = 20 // of one domain
	maxDomain = kv.MaxPartition - len(partitionPrefix)
)

const partitionPrefix = "dkim/"

// Why an operation on keys is refused.
var (
	ErrNoKey        = errors.New("dkim: there is no such key")
	ErrExists       = errors.New("dkim: there is a key of that selector already")
	ErrTooMany      = fmt.Errorf("dkim: a domain has at most %d keys", MaxKeys)
	ErrDomain       = errors.New("dkim: not a domain that can have keys")
	ErrSelector     = errors.New("dkim: not a selector")
	ErrNoActive     = errors.New("dkim: no key signs")
	ErrRotating     = errors.New("dkim: keys that were made before wait to be published")
	ErrNotPublished = errors.New("dkim: the record is not published")
)

// stored is the value of a key in the store; see docs/formats/dkim.md.
type stored struct {
	Selector  string    `json:"selector"`
	Algorithm Algorithm `json:"algorithm"`
	State     State     `json:"state"` // never Retired: time makes that
	Created   time.Time `json:"created"`
	Activated time.Time `json:"activated,omitzero"`
	Retires   time.Time `json:"retires,omitzero"`
	Replaces  []string  `json:"replaces,omitempty"`
	Record    string    `json:"record"`
	PKCS8     []byte    `json:"pkcs8"`
}

// makeKeys makes a key of each kind, still without selector. It takes long, so it is no part of a transaction.
func makeKeys(algorithms []Algorithm, now time.Time) (made []stored, err error) {
	for _, a := range algorithms {
		private, err := makePrivate(a)
		if err != nil {
			return nil, fmt.Errorf("dkim: make a key: %w", err)
		}
		s := stored{Algorithm: a, State: New, Created: now.UTC()}
		if s.PKCS8, err = x509.MarshalPKCS8PrivateKey(private); err != nil {
			return nil, fmt.Errorf("dkim: make a key: %w", err)
		}
		if s.Record, err = record(private.Public()); err != nil {
			return nil, fmt.Errorf("dkim: make a key: %w", err)
		}
		made = append(made, s)
	}
	return made, nil
}

// private returns the key to sign with.
func (s *stored) private() (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(s.PKCS8)
	if err != nil {
		return nil, errors.New("its private half cannot be read") // err may hold pieces of it
	}
	signer, ok := key.(crypto.Signer)
	if !ok || sig.Algorithm(signer.Public()) == "" {
		return nil, errors.New("it is of an unknown kind")
	}
	return signer, nil
}

// key returns what may be told of s.
func (s *stored) key(domain string, now time.Time) Key {
	k := Key{Domain: domain, Selector: s.Selector, Algorithm: s.Algorithm, State: s.State, Created: s.Created,
		Activated: s.Activated, Retires: s.Retires, Replaces: s.Replaces, Record: s.Record}
	if s.State == Retiring && !now.Before(s.Retires) {
		k.State = Retired
	}
	return k
}

func (s *stored) write(tx kv.Txn) error {
	value, err := json.Marshal(s)
	if err == nil {
		tx.Put(storedKey(s.Selector), value)
	}
	return err
}

func storedKey(selector string) []byte { return []byte("k/" + selector) }

func readStored(r kv.Reader, selector string) (s stored, err error) {
	value, err := r.Get(storedKey(selector))
	if errors.Is(err, kv.ErrNotFound) {
		return s, fmt.Errorf("%w: %s", ErrNoKey, selector)
	}
	if err == nil {
		err = json.Unmarshal(value, &s)
	}
	return s, err
}

// readAll returns the keys of a partition in the order of their selectors.
func readAll(r kv.Reader) ([]stored, error) {
	var all []stored
	prefix := storedKey("")
	seq, errf := r.Scan(prefix, kv.PrefixEnd(prefix), false)
	for key, value := range seq {
		var s stored
		if err := json.Unmarshal(value, &s); err != nil {
			return nil, fmt.Errorf("dkim: %w: key %s", kv.ErrCorrupt, key[len(prefix):])
		}
		all = append(all, s)
	}
	return all, errf()
}

// partition returns where the keys of a domain lie, and the domain in lower case and A-labels.
func partition(domain string) (kv.Partition, string, error) {
	name, ok := sig.Domain(domain)
	if !ok || len(name) > maxDomain {
		return "", "", fmt.Errorf("%w: %s", ErrDomain, sig.Word(domain))
	}
	return kv.Partition(partitionPrefix + name), name, nil
}
