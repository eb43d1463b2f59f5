package sig

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/net/idna"

	"posthaste/dns"
)

// Bounds of Keys.
const (
	maxCached    = 2000 // records kept parsed
	maxCacheable = 2048 // bytes of a record that is kept: 8192 bits of RSA take 1400
	maxRecords   = 8    // at one name that are looked into
	maxParallel  = 10   // lookups of one Fetch
)

// A Resolver asks for text records, as *dns.Resolver does.
type Resolver interface {
	TXT(ctx context.Context, name string) (dns.Answer[string], error)
}

// Keys finds keys. How long an answer is good is for the resolver to know; Keys remembers only what a
// record means, so that the same text is parsed once. It is safe for concurrent use.
type Keys struct {
	resolver Resolver

	mu     sync.Mutex // guards parsed
	parsed map[string]parsedKey
}

type parsedKey struct {
	key *Key
	err error
}

// NewKeys returns Keys that ask resolver.
func NewKeys(resolver Resolver) *Keys {
	return &Keys{resolver: resolver, parsed: map[string]parsedKey{}}
}

// A Lookup is a key that is wanted, and what came of it.
type Lookup struct {
	Name string // as "selector._domainkey.example.org"

	Key *Key
	Err error // see Temporary
}

// Temporary tells whether l failed in a way that a later attempt may not: whenever the DNS said other
// than that there is nothing.
func (l *Lookup) Temporary() bool {
	_, temporary := errors.AsType[*temporaryError](l.Err)
	return temporary
}

type temporaryError struct{ err error }

func (e *temporaryError) Error() string { return "the key cannot be looked up now: " + e.err.Error() }
func (e *temporaryError) Unwrap() error { return e.err }

// Fetch looks all of them up at the same time.
func (k *Keys) Fetch(ctx context.Context, lookups []Lookup) {
	if len(lookups) == 0 {
		return
	}
	var waiting sync.WaitGroup
	slots := make(chan struct{}, maxParallel)
	for i := range lookups[1:] {
		slots <- struct{}{}
		waiting.Go(func() {
			k.fetch(ctx, &lookups[i+1])
			<-slots
		})
	}
	k.fetch(ctx, &lookups[0])
	waiting.Wait()
}

func (k *Keys) fetch(ctx context.Context, l *Lookup) {
	answer, err := k.resolver.TXT(ctx, l.Name)
	switch {
	case errors.Is(err, dns.ErrNotFound):
		l.Err = ErrNoKey
		return
	case err != nil:
		l.Err = &temporaryError{err}
		return
	}
	// More than one record is a mistake (RFC 6376 section 3.6.2.2); the first that is a key is taken.
	for _, record := range answer.Records[:min(len(answer.Records), maxRecords)] {
		got := k.parse(record)
		if l.Key, l.Err = got.key, got.err; l.Err == nil {
			return
		}
	}
	if len(answer.Records) == 0 {
		l.Err = ErrNoKey
	}
}

func (k *Keys) parse(record string) parsedKey {
	k.mu.Lock()
	got, ok := k.parsed[record]
	k.mu.Unlock()
	if ok {
		return got
	}
	got.key, got.err = ParseKey(record)
	if len(record) > maxCacheable {
		return got
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for old := range k.parsed { // any of them: a busy one is soon back
		if len(k.parsed) < maxCached {
			break
		}
		delete(k.parsed, old)
	}
	k.parsed[strings.Clone(record)] = got
	return got
}

// Domain returns a domain of a signature in lower case and A-labels (RFC 8616 section 5), and whether it
// is one.
func Domain(s string) (string, bool) {
	for i := range len(s) {
		if s[i] >= 0x80 {
			ascii, err := idna.Lookup.ToASCII(s)
			return ascii, err == nil && dns.IsHostName(ascii)
		}
	}
	s = strings.ToLower(s)
	return s, dns.IsHostName(s) && !strings.HasSuffix(s, ".")
}

// KeyName returns where the key of a selector and a domain stands.
func KeyName(selector, domain string) string { return selector + "._domainkey." + domain }

// Within tells whether domain is parent or below it.
func Within(domain, parent string) bool {
	return domain == parent || strings.HasSuffix(domain, parent) && domain[len(domain)-len(parent)-1] == '.'
}

// Word returns s as it stands in a quoted sentence.
func Word(s string) string { return fmt.Sprintf("%q", short(s)) }
