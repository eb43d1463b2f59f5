package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/xdg-go/stringprep"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"

	"posthaste/kv"
)

// The cost of an argon2id hash: OWASP's second choice, which halves the memory of its first for the
// same strength. Salt and key are as RFC 9106 section 3.1 says.
const (
	argonMemory  = 19 << 10 // KiB
	argonTime    = 2
	argonThreads = 1
	argonSalt    = 16
	argonKey     = 32
)

// Bounds of what a stored hash may ask of us.
const (
	maxArgonMemory  = 256 << 10 // KiB
	maxArgonTime    = 16
	maxArgonThreads = 8
	maxHashText     = 512
)

// maxWaiting bounds the callers that wait for their turn to hash.
const maxWaiting = 1024

// unknownHash is verified for logins that do not exist. Its key is no hash of anything.
var unknownHash = formatArgon(argonParams{argonMemory, argonTime, argonThreads, make([]byte, argonSalt), make([]byte, argonKey)})

// hashing bounds the hashes computed at the same time.
type hashing struct {
	running chan struct{}
	waiting chan struct{}
}

func newHashing(n int) hashing {
	return hashing{running: make(chan struct{}, n), waiting: make(chan struct{}, n+maxWaiting)}
}

// do runs fn when it is its turn.
func (h hashing) do(ctx context.Context, fn func() error) error {
	select {
	case h.waiting <- struct{}{}:
		defer func() { <-h.waiting }()
	default:
		return ErrBusy
	}
	select {
	case h.running <- struct{}{}:
		defer func() { <-h.running }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return fn()
}

// newHash returns the argon2id hash of password in PHC form, with a fresh salt.
func newHash(password string) string {
	p := argonParams{memory: argonMemory, time: argonTime, threads: argonThreads, salt: make([]byte, argonSalt)}
	rand.Read(p.salt)
	p.key = p.derive(password, argonKey)
	return formatArgon(p)
}

// verify tells whether password fits hash. When its turn comes it asks known first: of many who
// came at once with the same password, the first to hash spares the others the work.
func (h hashing) verify(ctx context.Context, hash, password string, known func() bool) (ok bool, err error) {
	err = h.do(ctx, func() error {
		if known() {
			ok = true
			return nil
		}
		ok, err = verifyHash(hash, password)
		return err
	})
	return ok, err
}

func verifyHash(hash, password string) (bool, error) {
	if isArgon2id(hash) {
		p, err := parseArgon(hash)
		if err != nil {
			return false, err
		}
		return subtle.ConstantTimeCompare(p.derive(password, len(p.key)), p.key) == 1, nil
	}
	// bcrypt of other systems took the bytes as they came, and no more than 72 of them.
	err := bcrypt.CompareHashAndPassword([]byte(hash), []byte(password))
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, bcrypt.ErrMismatchedHashAndPassword):
		return false, nil
	}
	return false, fmt.Errorf("auth: stored hash: %w: %w", kv.ErrCorrupt, err)
}

func isArgon2id(hash string) bool { return strings.HasPrefix(hash, "$argon2id$") }

type argonParams struct {
	memory  uint32 // KiB
	time    uint32
	threads uint8
	salt    []byte
	key     []byte
}

func (p argonParams) derive(password string, n int) []byte {
	return argon2.IDKey([]byte(prepare(password)), p.salt, p.time, p.memory, p.threads, uint32(n))
}

func formatArgon(p argonParams) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.time, p.threads,
		base64.RawStdEncoding.EncodeToString(p.salt), base64.RawStdEncoding.EncodeToString(p.key))
}

// parseArgon reads the PHC form, within our bounds.
func parseArgon(text string) (argonParams, error) {
	bad := fmt.Errorf("auth: stored argon2id hash: %w", kv.ErrCorrupt)
	fields := strings.Split(text, "$")
	if len(text) > maxHashText || len(fields) != 6 {
		return argonParams{}, bad
	}
	var p argonParams
	var version int
	if n, err := fmt.Sscanf(fields[2], "v=%d", &version); n != 1 || err != nil || version != argon2.Version {
		return p, bad
	}
	if n, err := fmt.Sscanf(fields[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads); n != 3 || err != nil {
		return p, bad
	}
	if p.memory < 8 || p.memory > maxArgonMemory || p.time < 1 || p.time > maxArgonTime || p.threads < 1 || p.threads > maxArgonThreads {
		return p, bad
	}
	var err1, err2 error
	p.salt, err1 = base64.RawStdEncoding.DecodeString(fields[4])
	p.key, err2 = base64.RawStdEncoding.DecodeString(fields[5])
	if err1 != nil || err2 != nil || len(p.salt) < 8 || len(p.key) < 16 {
		return p, bad
	}
	return p, nil
}

// prepare returns the form in which passwords are compared: SASLprep (RFC 4013), as RFC 4616 and RFC
// 5802 ask. What SASLprep refuses, such as emoji, which came after it, stands for itself: SCRAM
// clients do the same.
func prepare(password string) string {
	if prepared, err := stringprep.SASLprep.Prepare(password); err == nil {
		return prepared
	}
	return password
}

// checkPassword returns ErrPassword for a password that may not be set.
func checkPassword(password string) error {
	switch {
	case !utf8.ValidString(password) || strings.ContainsRune(password, 0):
		return fmt.Errorf("%w: it is not UTF-8 text", ErrPassword)
	case utf8.RuneCountInString(password) < MinPassword:
		return fmt.Errorf("%w: it is shorter than %d characters", ErrPassword, MinPassword)
	case len(password) > MaxPassword:
		return fmt.Errorf("%w: it is longer than %d bytes", ErrPassword, MaxPassword)
	}
	return nil
}
