package table

import (
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	"posthaste/table/httptable"
	"posthaste/table/ldaptable"
	"posthaste/table/sqltable"
)

// A Definition is a table that "type:name" alone cannot describe: one that asks a server. Zero values
// mean the defaults named here.
type Definition struct {
	Name string // of letters, digits, "-", "_" and "."; it stands after "sql:", "ldap:", "http:"
	Type string // "sql", "ldap" or "http"

	// URL is the server: postgres://user@host/db, mysql://user@host/db (or mariadb:, also with
	// ?socket=/path), ldap://host, ldaps://host, ldapi:///path. For http it is the whole address with
	// placeholders: https://host/users/%s.
	URL string

	// Query is a SELECT, or an LDAP filter. Placeholders are %s (the key), %u (its local-part, or the
	// key where it has no domain), %d (its domain), %% (a percent sign). A key without what a
	// placeholder stands for is not found. In SQL they are bound as parameters, never spliced.
	Query string

	Base      string // LDAP: where the search begins; may hold placeholders
	Scope     string // LDAP: "sub" (the default), "one" or "base"
	Attribute string // LDAP: whose values are the result; several with spaces between

	User         string // LDAP: DN to bind as; HTTP: user of Basic authentication; SQL: instead of that in URL
	Password     string // for User; HTTP without User: a Bearer token; SQL: instead of that in URL
	PasswordFile string // holds Password instead; a newline at its end does not count

	StartTLS bool   // LDAP: encrypt ldap: before anything else
	CA       string // file of certificates in PEM to trust instead of the system's; LDAP and HTTP

	TTL         time.Duration // for which a value is remembered; 0: DefaultTTL; negative: not at all
	NegativeTTL time.Duration // for which "not found" is; 0: DefaultNegativeTTL; negative: not at all
	StaleTTL    time.Duration // for which, after TTL, a value still serves while the server fails; 0: not at all
	CacheBytes  int64         // most memory for what is remembered; 0: DefaultCacheBytes
	Timeout     time.Duration // patience for one lookup, waiting for its turn included; 0: DefaultTimeout
	Parallel    int           // most queries at a time; 0: DefaultParallel
}

// The defaults of a [Definition].
const (
	DefaultTTL         = time.Minute
	DefaultNegativeTTL = 10 * time.Second
	DefaultCacheBytes  = 8 << 20
	DefaultTimeout     = 5 * time.Second
	DefaultParallel    = 8
)

// maxValueBytes bounds a value that a server gives.
const maxValueBytes = 64 << 10

// maxParallel bounds Definition.Parallel.
const maxParallel = 1000

func (d Definition) withDefaults() Definition {
	d.TTL = durationOr(d.TTL, DefaultTTL)
	d.NegativeTTL = durationOr(d.NegativeTTL, DefaultNegativeTTL)
	d.StaleTTL = max(d.StaleTTL, 0)
	if d.Timeout <= 0 {
		d.Timeout = DefaultTimeout
	}
	if d.CacheBytes <= 0 {
		d.CacheBytes = DefaultCacheBytes
	}
	if d.Parallel <= 0 {
		d.Parallel = DefaultParallel
	}
	return d
}

func durationOr(d, or time.Duration) time.Duration {
	if d == 0 {
		return or
	}
	return max(d, 0)
}

// open makes the driver of d. Its errors never hold a password.
func (d Definition) open() (server, error) {
	if !isName(d.Name) {
		return nil, fmt.Errorf("the name %q is not one of letters, digits, \"-\", \"_\" and \".\"", d.Name)
	}
	d = d.withDefaults()
	if d.Parallel > maxParallel {
		return nil, fmt.Errorf("parallel is %d: at most %d", d.Parallel, maxParallel)
	}
	if err := d.readPassword(); err != nil {
		return nil, err
	}
	roots, err := d.roots()
	if err != nil {
		return nil, err
	}
	switch d.Type {
	case "sql":
		return driver(sqltable.New(sqltable.Config{URL: d.URL, Query: d.Query, User: d.User, Password: d.Password, Parallel: d.Parallel, MaxBytes: maxValueBytes}))
	case "ldap":
		return driver(ldaptable.New(ldaptable.Config{
			URL: d.URL, Filter: d.Query, Base: d.Base, Scope: d.Scope, Attributes: strings.Fields(d.Attribute), User: d.User, Password: d.Password,
			StartTLS: d.StartTLS, Roots: roots, Parallel: d.Parallel, MaxBytes: maxValueBytes,
		}))
	case "http":
		return driver(httptable.New(httptable.Config{URL: d.URL, User: d.User, Password: d.Password, Roots: roots, Parallel: d.Parallel, MaxBytes: maxValueBytes}))
	}
	return nil, fmt.Errorf("type is %q: it can be sql, ldap or http; inline, file, cidr and regexp need no definition", d.Type)
}

// driver keeps a nil pointer from becoming a server that is not nil.
func driver[T server](t T, err error) (server, error) {
	if err != nil {
		return nil, err
	}
	return t, nil
}

// maxPasswordBytes bounds a file that should hold a password.
const maxPasswordBytes = 4096

func (d *Definition) readPassword() error {
	if d.PasswordFile == "" {
		return nil
	}
	text, err := os.ReadFile(d.PasswordFile)
	if err != nil {
		return err
	}
	if len(text) > maxPasswordBytes {
		return fmt.Errorf("%s is too long for a password", d.PasswordFile)
	}
	d.Password = strings.TrimRight(string(text), "\r\n")
	return nil
}

// roots reads CA. Nil means those of the system.
func (d Definition) roots() (*x509.CertPool, error) {
	if d.CA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(d.CA)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", d.CA)
	}
	return roots, nil
}

func isName(s string) bool {
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r)) {
			return false
		}
	}
	return s != ""
}
