// Package httptable asks an HTTP service for values of keys: GET of a URL that holds the key.
//
// 200 gives the value, its lines joined by commas; 404 and 204 mean that the key is not there; any
// other answer is an error, a redirection too.
package httptable

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"posthaste/table/query"
)

// A Config says whom to ask.
type Config struct {
	URL            string         // with placeholders
	User, Password string         // Basic authentication; without User, Password is a Bearer token
	Roots          *x509.CertPool // nil: those of the system
	Parallel       int            // most connections
	MaxBytes       int            // most bytes of a value
}

// A Table asks one service.
type Table struct {
	url    query.Query
	c      Config
	client *http.Client
}

// New returns a Table without contacting the service.
func New(c Config) (*Table, error) {
	q, err := query.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("url %w", err)
	}
	if !q.Asks() {
		return nil, errors.New("url names neither %s nor %u nor %d, so every key would have the same value")
	}
	sample, _ := q.Expand("u@d", escape)
	u, err := url.Parse(sample)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("url must be http://host/… or https://host/…")
	}
	if other, _ := q.Expand("v@e", escape); !sameHost(other, u) {
		return nil, errors.New("url has a placeholder in its host: a key must not choose whom we ask")
	}
	transport := &http.Transport{
		MaxConnsPerHost: c.Parallel, MaxIdleConnsPerHost: c.Parallel,
		TLSClientConfig: &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
	}
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Table{url: q, c: c, client: &http.Client{Transport: transport, CheckRedirect: noRedirect}}, nil
}

func sameHost(other string, u *url.URL) bool {
	o, err := url.Parse(other)
	return err == nil && o.Host == u.Host
}

// escape makes a value safe in a path and in a query alike.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// Close gives up the connections.
func (t *Table) Close() error {
	t.client.CloseIdleConnections()
	return nil
}

// Lookup implements the contract of package table.
func (t *Table) Lookup(ctx context.Context, key string) (string, bool, error) {
	target, ok := t.url.Expand(key, escape)
	if !ok {
		return "", false, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return "", false, err
	}
	switch {
	case t.c.User != "":
		req.SetBasicAuth(t.c.User, t.c.Password)
	case t.c.Password != "":
		req.Header.Set("Authorization", "Bearer "+t.c.Password)
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return "", false, err
	}
	defer resp.Body.Close()
	return t.answer(resp)
}

func (t *Table) answer(resp *http.Response) (string, bool, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(t.c.MaxBytes)+1))
	switch {
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusNoContent:
		return "", false, nil
	case resp.StatusCode != http.StatusOK:
		return "", false, fmt.Errorf("the service answered %s", resp.Status)
	case err != nil:
		return "", false, err
	case len(body) > t.c.MaxBytes:
		return "", false, fmt.Errorf("the service answered with more than %d bytes", t.c.MaxBytes)
	}
	var lines []string
	for line := range strings.Lines(string(body)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, ","), len(lines) > 0, nil
}
