package directory

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"posthaste/kv"
	"posthaste/mail"
)

// Credentials is what proves a password, never the password itself. Package auth makes them.
type Credentials struct {
	// Hash is in PHC or crypt form: "$argon2id$v=19$m=…" or an imported "$2b$…".
	Hash string `json:"hash"`
	// SCRAM holds the keys of RFC 5802 section 3 by mechanism. Imported passwords have none.
	SCRAM []SCRAMKeys `json:"scram,omitempty"`
	Set   time.Time   `json:"set"`
}

// SCRAMKeys is what a server keeps for one SCRAM mechanism.
type SCRAMKeys struct {
	Mechanism  string `json:"mechanism"` // "SCRAM-SHA-256"
	Salt       []byte `json:"salt"`
	Iterations int    `json:"iterations"`
	StoredKey  []byte `json:"storedKey"`
	ServerKey  []byte `json:"serverKey"`
}

var (
	credentialsPrefix = []byte("c/")
	passwordKey       = []byte("c/password") // application passwords will stand beside it
)

// Credentials returns what proves the password of an account. One that nobody can log in to has the
// zero Credentials.
func (d *Directory) Credentials(ctx context.Context, id mail.AccountID) (Credentials, error) {
	var c Credentials
	err := d.store.View(ctx, loginPartition(id), func(r kv.Reader) error { return getJSON(r, passwordKey, &c) })
	if errors.Is(err, kv.ErrNotFound) {
		return Credentials{}, nil
	}
	return c, err
}

// SetCredentials replaces what proves the password of an account.
func (d *Directory) SetCredentials(ctx context.Context, id mail.AccountID, c Credentials) error {
	_, err := d.change(ctx, id, func(txn kv.Txn, f *facts) {
		if !f.Leaving {
			putJSON(txn, passwordKey, c)
		}
	})
	return err
}

// UpgradeCredentials replaces credentials by others for the same password, unless the password was
// changed since oldHash was read.
func (d *Directory) UpgradeCredentials(ctx context.Context, id mail.AccountID, oldHash string, c Credentials) error {
	return d.update(ctx, loginPartition(id), nil, func(txn kv.Txn) error {
		var now Credentials
		err := getJSON(txn, passwordKey, &now)
		if errors.Is(err, kv.ErrNotFound) || err == nil && now.Hash != oldHash {
			return nil
		}
		if err != nil {
			return err
		}
		putJSON(txn, passwordKey, c)
		return nil
	})
}

// SecretBytes is the length of a Secret.
const SecretBytes = 32

// Secret returns random bytes that are the same on all nodes of the store and for ever, one for
// each name.
func (d *Directory) Secret(ctx context.Context, name string) ([]byte, error) {
	var secret []byte
	key := []byte("k/" + name)
	err := d.store.View(ctx, loginPartition(0), func(r kv.Reader) error {
		value, err := r.Get(key)
		secret = append([]byte(nil), value...)
		return err
	})
	if err == nil && len(secret) != SecretBytes {
		err = fmt.Errorf("directory: secret %q has %d bytes: %w", name, len(secret), kv.ErrCorrupt)
	}
	if !errors.Is(err, kv.ErrNotFound) {
		return secret, err
	}
	fresh := make([]byte, SecretBytes)
	rand.Read(fresh)
	err = d.update(ctx, loginPartition(0), nil, func(txn kv.Txn) error {
		value, err := txn.Get(key)
		secret = append([]byte(nil), value...)
		if errors.Is(err, kv.ErrNotFound) {
			secret = fresh
			txn.Put(key, fresh)
			err = nil
		}
		return err
	})
	return secret, err
}
