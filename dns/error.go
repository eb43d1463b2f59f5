package dns

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrNotFound is what ErrNoName and ErrNoData have in common: an answer that says there is nothing.
var ErrNotFound = errors.New("not found")

// The facts behind ErrNotFound.
var (
	ErrNoName error = notFound("the name does not exist")             // NXDOMAIN, or no valid name at all
	ErrNoData error = notFound("the name has no record of this type") // NODATA, RFC 2308 section 2.2
)

type notFound string

func (n notFound) Error() string        { return string(n) }
func (n notFound) Is(target error) bool { return target == ErrNotFound }

// An Error is why a lookup found nothing. It wraps ErrNoName or ErrNoData, or else a cause that is
// temporary by nature: a timeout, a server's refusal, a malformed reply.
type Error struct {
	Name     string
	Type     string // "MX"
	Err      error
	TTL      time.Duration // how long the resolver keeps saying so
	Security Security      // of the absence; Bogus when Err is a BogusError
}

// Error returns "dns: MX of north.test: the name does not exist".
func (e *Error) Error() string { return fmt.Sprintf("dns: %s of %q: %v", e.Type, e.Name, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// failed is why each server gave no answer.
type failed []error

func (f failed) Error() string {
	texts := make([]string, len(f))
	for i, err := range f {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (f failed) Unwrap() []error { return f }

// worse returns the error that says less: unknown before absent, and a name without data before no
// name, because one type is enough to exist.
func worse(a, b error) error {
	switch {
	case !errors.Is(a, ErrNotFound):
		return a
	case !errors.Is(b, ErrNotFound):
		return b
	case errors.Is(a, ErrNoData):
		return a
	}
	return b
}
