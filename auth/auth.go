// Package auth proves who a client is.
//
// [Auth.Password] checks a password against a slow hash (argon2id, or an imported bcrypt), and
// [Auth.SCRAM] hands out the keys for a proof without the password; package sasl speaks to clients.
// An unknown login takes the time of a known one and gets keys that look like any others, so that
// nobody can find out who is here.
//
// Hashing is bounded: a few hashes at a time, a few callers waiting. A success is remembered for
// some minutes under a key of this process, bound to the stored hash, so that it is worth nothing
// after any change of the credentials, whichever node made it, nor to who can read the memory.
//
// An error that is not [ErrCredentials] says nothing about the password: the client shall try again
// later. Servers limit guessing with package ban, since they know where a client comes from.
package auth

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"runtime"
	"time"

	"posthaste/directory"
	"posthaste/mail"
)

// MinPassword is the least number of characters of a new password; MaxPassword bounds what is
// hashed, in bytes.
const (
	MinPassword = 8
	MaxPassword = 1024
)

var (
	// ErrCredentials means that login and password do not fit, without saying which is wrong.
	ErrCredentials = errors.New("auth: wrong login or password")
	// ErrPassword means that a new password cannot be taken; the error that wraps it says why.
	ErrPassword = errors.New("auth: password cannot be used")
	// ErrBusy means that too many logins wait to be checked. It is temporary.
	ErrBusy = errors.New("auth: too many logins at once, try again later")
)

// An Identity is who proved itself.
type Identity struct {
	Account mail.AccountID
	Login   string       // as the client wrote it
	Address mail.Address // primary address of the account
}

// A Directory finds accounts and keeps their credentials: *directory.Directory.
type Directory interface {
	AccountByLogin(ctx context.Context, login string) (directory.Account, error)
	Credentials(ctx context.Context, id mail.AccountID) (directory.Credentials, error)
	SetCredentials(ctx context.Context, id mail.AccountID, c directory.Credentials) error
	UpgradeCredentials(ctx context.Context, id mail.AccountID, oldHash string, c directory.Credentials) error
	Secret(ctx context.Context, name string) ([]byte, error)
}

// Config says what an Auth works with.
type Config struct {
	Directory Directory
	// Hashes is how many passwords are hashed at a time, each taking 19 MiB and one core. Zero
	// means one per core.
	Hashes int
	// Certificate returns the certificate that a TLS connection to us was opened with, or nil; it
	// is what the channel binding tls-server-end-point binds to. May be nil.
	Certificate func(*tls.ConnectionState) *x509.Certificate
}

// An Auth checks credentials. Its methods may be called at the same time.
type Auth struct {
	directory   Directory
	certificate func(*tls.ConnectionState) *x509.Certificate
	hashing     hashing
	remembered  memory
	fakes       fakeKeys
}

// New returns an Auth.
func New(cfg Config) *Auth {
	if cfg.Hashes <= 0 {
		cfg.Hashes = runtime.GOMAXPROCS(0)
	}
	a := &Auth{directory: cfg.Directory, certificate: cfg.Certificate, hashing: newHashing(cfg.Hashes)}
	rand.Read(a.remembered.key[:])
	return a
}

// Certificate returns the certificate that a TLS connection to us was opened with, or nil.
func (a *Auth) Certificate(state *tls.ConnectionState) *x509.Certificate {
	if a.certificate == nil {
		return nil
	}
	return a.certificate(state)
}

// Password returns whose login and password these are, or ErrCredentials. Any other error is
// temporary.
func (a *Auth) Password(ctx context.Context, login, password string) (Identity, error) {
	if len(password) > MaxPassword {
		return Identity{}, ErrCredentials
	}
	account, credentials, err := a.lookup(ctx, login)
	if err != nil {
		return Identity{}, err
	}
	hash := credentials.Hash
	if hash == "" {
		hash = unknownHash // it costs the same, and nothing fits it
	}
	if !a.remembered.has(hash, password, time.Now()) {
		ok, err := a.hashing.verify(ctx, hash, password, func() bool { return a.remembered.has(hash, password, time.Now()) })
		if err != nil {
			return Identity{}, err
		}
		if !ok || credentials.Hash == "" {
			return Identity{}, ErrCredentials
		}
		a.remembered.add(hash, password, time.Now())
		if err := a.upgrade(ctx, account.ID, hash, password); err != nil {
			return Identity{}, err
		}
	}
	return Identity{Account: account.ID, Login: login, Address: account.Address}, nil
}

// lookup returns the account that login names and its credentials: zero ones when there is no such
// account, or nobody can log in to it.
func (a *Auth) lookup(ctx context.Context, login string) (directory.Account, directory.Credentials, error) {
	account, err := a.directory.AccountByLogin(ctx, login)
	if errors.Is(err, directory.ErrNoAccount) || err == nil && (account.Disabled || account.Leaving) {
		return directory.Account{}, directory.Credentials{}, nil
	}
	if err != nil {
		return directory.Account{}, directory.Credentials{}, err
	}
	credentials, err := a.directory.Credentials(ctx, account.ID)
	return account, credentials, err
}

// upgrade gives an account with an imported hash, whose password we just saw, credentials of ours.
func (a *Auth) upgrade(ctx context.Context, id mail.AccountID, hash, password string) error {
	if isArgon2id(hash) {
		return nil
	}
	c, err := a.credentials(ctx, password)
	if err != nil {
		return err
	}
	return a.directory.UpgradeCredentials(ctx, id, hash, c)
}

// SetPassword replaces the password of an account. It returns ErrPassword for one that is too short
// or too long.
func (a *Auth) SetPassword(ctx context.Context, id mail.AccountID, password string) error {
	c, err := a.NewCredentials(ctx, password)
	if err != nil {
		return err
	}
	return a.directory.SetCredentials(ctx, id, c)
}

// NewCredentials returns what proves password, for directory.AddAccount. It returns ErrPassword for
// one that is too short or too long.
func (a *Auth) NewCredentials(ctx context.Context, password string) (directory.Credentials, error) {
	if err := checkPassword(password); err != nil {
		return directory.Credentials{}, err
	}
	return a.credentials(ctx, password)
}

// credentials derives everything we keep of a password.
func (a *Auth) credentials(ctx context.Context, password string) (directory.Credentials, error) {
	c := directory.Credentials{Set: time.Now().UTC().Truncate(time.Second)}
	err := a.hashing.do(ctx, func() error {
		keys, err := newSCRAMKeys(password)
		c.Hash, c.SCRAM = newHash(password), []directory.SCRAMKeys{keys}
		return err
	})
	return c, err
}
