package auth

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"

	"posthaste/directory"
)

// SCRAMSHA256 is the one SCRAM mechanism that keys are derived for (RFC 7677).
const SCRAMSHA256 = "SCRAM-SHA-256"

// scramIterations slows down who guesses from stolen keys, and every client. RFC 7677 asks for 4096
// or more; Cyrus SASL, as a client, refuses more than 65536.
const (
	scramIterations = 50_000
	scramSalt       = 16
)

// ScramCredentials is what a server needs for one SCRAM exchange. Those of an unknown login look
// like any others, and no proof fits them.
type ScramCredentials struct {
	directory.SCRAMKeys
	Identity Identity // zero for an unknown login
}

// SCRAM returns the keys of SCRAM-SHA-256 for login. For an unknown login, and for an account
// without such keys, they are made up, always the same for the same login. Errors are temporary.
func (a *Auth) SCRAM(ctx context.Context, login string) (ScramCredentials, error) {
	account, credentials, err := a.lookup(ctx, login)
	if err != nil {
		return ScramCredentials{}, err
	}
	fake, err := a.fake(ctx, login)
	if err != nil {
		return ScramCredentials{}, err
	}
	for _, keys := range credentials.SCRAM {
		if keys.Mechanism == SCRAMSHA256 {
			id := Identity{Account: account.ID, Login: login, Address: account.Address}
			return ScramCredentials{SCRAMKeys: keys, Identity: id}, nil
		}
	}
	return ScramCredentials{SCRAMKeys: fake}, nil
}

// fakeKeys makes keys for logins that do not exist.
type fakeKeys struct {
	mu     sync.Mutex // guards secret, read once
	secret []byte
}

// fake returns keys for a login that has none. They depend on a secret that all nodes share, so
// that asking twice, or another node, shows nothing.
func (a *Auth) fake(ctx context.Context, login string) (directory.SCRAMKeys, error) {
	a.fakes.mu.Lock()
	secret := a.fakes.secret
	a.fakes.mu.Unlock()
	if secret == nil {
		var err error
		if secret, err = a.directory.Secret(ctx, "scram"); err != nil {
			return directory.SCRAMKeys{}, err
		}
		a.fakes.mu.Lock()
		a.fakes.secret = secret
		a.fakes.mu.Unlock()
	}
	derive := func(what string) []byte { return mac(secret, what+"\x00"+strings.ToLower(login)) }
	return directory.SCRAMKeys{
		Mechanism:  SCRAMSHA256,
		Salt:       derive("salt")[:scramSalt],
		Iterations: scramIterations,
		StoredKey:  derive("stored key"),
		ServerKey:  derive("server key"),
	}, nil
}

// newSCRAMKeys derives the keys that RFC 5802 section 3 has a server keep.
func newSCRAMKeys(password string) (directory.SCRAMKeys, error) {
	salt := make([]byte, scramSalt)
	rand.Read(salt)
	salted, err := pbkdf2.Key(sha256.New, prepare(password), salt, scramIterations, sha256.Size)
	if err != nil {
		return directory.SCRAMKeys{}, fmt.Errorf("auth: derive SCRAM keys: %w", err)
	}
	storedKey := sha256.Sum256(mac(salted, "Client Key"))
	return directory.SCRAMKeys{
		Mechanism:  SCRAMSHA256,
		Salt:       salt,
		Iterations: scramIterations,
		StoredKey:  storedKey[:],
		ServerKey:  mac(salted, "Server Key"),
	}, nil
}

func mac(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}
