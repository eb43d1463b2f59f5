// Package ldaptable asks an LDAP directory for values of keys (RFC 4511).
//
// Values of keys are escaped as RFC 4515 and RFC 4514 ask. The values of all attributes and entries
// found are joined by commas. Referrals are not followed.
package ldaptable

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"posthaste/table/query"
)

// A Config says whom and what to ask.
type Config struct {
	URL            string // ldap:, ldaps: or ldapi:
	Filter         string // with placeholders
	Base           string // with placeholders, or without
	Scope          string // "sub", "one", "base"; empty is "sub"
	Attributes     []string
	User, Password string // to bind as; no User: anonymously
	StartTLS       bool
	Roots          *x509.CertPool // nil: those of the system
	Parallel       int            // most connections
	MaxBytes       int            // most bytes of a value
}

// maxEntries bounds how many entries a search may find.
const maxEntries = 1000

// dialTime bounds connecting where the lookup itself has more time.
const dialTime = 10 * time.Second

// A Table asks one search. It connects when it is asked, and again after a failure.
type Table struct {
	c            Config
	filter, base query.Query
	scope        int
	host         string
	idle         chan *ldap.Conn
}

// New returns a Table without contacting the server.
func New(c Config) (*Table, error) {
	t := &Table{c: c, idle: make(chan *ldap.Conn, c.Parallel)}
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "ldap" && u.Scheme != "ldaps" && u.Scheme != "ldapi" {
		return nil, errors.New("url must be ldap://host, ldaps://host or ldapi:///path")
	}
	t.host = u.Hostname()
	if t.filter, err = query.Parse(c.Filter); err != nil {
		return nil, fmt.Errorf("query %w", err)
	}
	sample, _ := t.filter.Expand("u@d", ldap.EscapeFilter)
	if _, err := ldap.CompileFilter(sample); err != nil {
		return nil, fmt.Errorf("query is no LDAP filter such as (mail=%%s): %w", err)
	}
	if t.base, err = query.Parse(c.Base); err != nil {
		return nil, fmt.Errorf("base %w", err)
	}
	if !t.filter.Asks() && !t.base.Asks() {
		return nil, errors.New("query names neither %s nor %u nor %d, so every key would have the same value")
	}
	if len(c.Attributes) == 0 {
		return nil, errors.New("attribute is missing, whose values are the result")
	}
	var known bool
	scopes := map[string]int{"": ldap.ScopeWholeSubtree, "sub": ldap.ScopeWholeSubtree, "one": ldap.ScopeSingleLevel, "base": ldap.ScopeBaseObject}
	if t.scope, known = scopes[c.Scope]; !known {
		return nil, fmt.Errorf("scope is %q: it can be sub, one or base", c.Scope)
	}
	return t, nil
}

// Close gives up the idle connections.
func (t *Table) Close() error {
	for {
		select {
		case conn := <-t.idle:
			conn.Close()
		default:
			return nil
		}
	}
}

// Lookup implements the contract of package table.
func (t *Table) Lookup(ctx context.Context, key string) (string, bool, error) {
	filter, ok := t.filter.Expand(key, ldap.EscapeFilter)
	base, also := t.base.Expand(key, ldap.EscapeDN)
	if !ok || !also {
		return "", false, nil
	}
	search := ldap.NewSearchRequest(base, t.scope, ldap.NeverDerefAliases, maxEntries, secondsLeft(ctx), false, filter, t.c.Attributes, nil)
	result, err := t.search(ctx, search)
	if ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) && t.base.Asks() {
		return "", false, nil // the base depends on the key, so that this is an answer
	}
	if err != nil {
		return "", false, err
	}
	return t.join(result)
}

func (t *Table) join(result *ldap.SearchResult) (string, bool, error) {
	var all []string
	size := 0
	for _, entry := range result.Entries {
		for _, name := range t.c.Attributes {
			for _, value := range entry.GetEqualFoldAttributeValues(name) {
				if value == "" {
					continue
				}
				if size += len(value) + 1; size > t.c.MaxBytes {
					return "", false, errors.New("the result is too long for a value, the filter matches too much")
				}
				all = append(all, value)
			}
		}
	}
	return strings.Join(all, ","), len(all) > 0, nil
}

// search asks on an idle connection, or where that turns out to be dead or there is none, on a new one.
func (t *Table) search(ctx context.Context, search *ldap.SearchRequest) (*ldap.SearchResult, error) {
	select {
	case conn := <-t.idle:
		result, err := t.searchOn(ctx, conn, search)
		if err == nil || !conn.IsClosing() || ctx.Err() != nil {
			return result, err
		}
	default:
	}
	conn, err := t.dial(ctx)
	if err != nil {
		return nil, err
	}
	return t.searchOn(ctx, conn, search)
}

// searchOn asks on conn and keeps it for the next where it still works, else closes it.
func (t *Table) searchOn(ctx context.Context, conn *ldap.Conn, search *ldap.SearchRequest) (*ldap.SearchResult, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	result, err := conn.Search(search)
	alive := stop() && !conn.IsClosing() && !ldap.IsErrorAnyOf(err, ldap.ErrorNetwork, ldap.LDAPResultUnavailable, ldap.LDAPResultBusy, ldap.LDAPResultTimeout)
	if !alive {
		conn.Close()
		return result, errors.Join(err, ctx.Err())
	}
	select {
	case t.idle <- conn:
	default:
		conn.Close()
	}
	return result, err
}

func (t *Table) dial(ctx context.Context) (*ldap.Conn, error) {
	dialer := &net.Dialer{Timeout: dialTime}
	if deadline, ok := ctx.Deadline(); ok {
		dialer.Deadline = deadline
	}
	conf := &tls.Config{ServerName: t.host, RootCAs: t.c.Roots, MinVersion: tls.VersionTLS12}
	conn, err := ldap.DialURL(t.c.URL, ldap.DialWithDialer(dialer), ldap.DialWithTLSConfig(conf))
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err = t.greet(conn, conf)
	if !stop() {
		err = errors.Join(err, ctx.Err())
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// greet encrypts and binds.
func (t *Table) greet(conn *ldap.Conn, conf *tls.Config) error {
	if t.c.StartTLS {
		if err := conn.StartTLS(conf); err != nil {
			return fmt.Errorf("STARTTLS: %w", err)
		}
	}
	if t.c.User == "" {
		return nil
	}
	if err := conn.Bind(t.c.User, t.c.Password); err != nil {
		return fmt.Errorf("bind as %s: %w", t.c.User, err)
	}
	return nil
}

// secondsLeft is the time that the server may take, at least a second.
func secondsLeft(ctx context.Context) int {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	return max(1, int(time.Until(deadline)/time.Second))
}
