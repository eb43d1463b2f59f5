// Package icap asks a server of ICAP (RFC 3507) about messages: c-icap, and the gateways of many makers of
// virus scanners.
//
// An [Engine] wraps a message as if it were the answer to an HTTP request (RESPMOD) or the content of one
// (REQMOD), sends the begin of it as a preview where the server wants that, and the rest when asked. It
// counts as clean what the server lets pass: 204, or 200 with the same content. It counts as a virus when
// the server names one (X-Infection-Found, X-Virus-ID, X-Violations-Found) or gives something else in its
// place. Whatever is neither is an error, for filter.Guard to judge.
//
// Each message has a connection of its own, the number at a time is bounded, and so is what is read. What
// the server says about itself (OPTIONS) is asked once and kept for as long as it allows.
package icap

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"posthaste/filter"
	"posthaste/filter/virus"
)

// Defaults of a Config.
const (
	DefaultMaxSize     = 50 << 20 // bytes
	DefaultConnections = 10
	defaultPort        = "1344" // RFC 3507 section 4.2
)

// A Config says where the server is and what its answers mean.
type Config struct {
	URL         string // "icap://host:1344/avscan"
	Method      string // RESPMOD or REQMOD; empty is RESPMOD
	MaxSize     int64  // bytes; larger messages are not sent. 0 is DefaultMaxSize
	Connections int    // at a time; 0 is DefaultConnections
	Policy      virus.Policy
	// Dial connects; nil is net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// An Engine is a filter.Engine that asks one service of an ICAP server. Make it with New.
type Engine struct {
	url     *url.URL
	address string
	method  string
	maxSize int64
	policy  virus.Policy
	slots   chan struct{}
	dial    func(ctx context.Context, network, address string) (net.Conn, error)

	mu      sync.Mutex // guards what follows
	options options
	expires time.Time // of options; zero: not asked yet
}

// New returns an Engine. It does not connect.
func New(c Config) (*Engine, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "icap" || u.Hostname() == "" || u.User != nil || u.Fragment != "" || strings.ContainsAny(c.URL, " \r\n") {
		return nil, fmt.Errorf("icap: %q is no URL such as icap://127.0.0.1:1344/avscan", c.URL)
	}
	e := &Engine{url: u, policy: c.Policy, dial: c.Dial}
	e.address = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), defaultPort))
	if e.method = cmp.Or(c.Method, "RESPMOD"); e.method != "RESPMOD" && e.method != "REQMOD" {
		return nil, fmt.Errorf("icap: %q is no method: want RESPMOD or REQMOD", c.Method)
	}
	e.maxSize = cmp.Or(c.MaxSize, DefaultMaxSize)
	e.slots = make(chan struct{}, max(cmp.Or(c.Connections, DefaultConnections), 1))
	if e.dial == nil {
		e.dial = new(net.Dialer).DialContext
	}
	return e, nil
}

// Name returns "icap".
func (e *Engine) Name() string { return "icap" }

// Scan asks the server about the content of m.
func (e *Engine) Scan(ctx context.Context, m *filter.Mail) (filter.Result, error) {
	if int64(len(m.Content)) > e.maxSize {
		return e.policy.NotScanned(e.Name(), fmt.Sprintf("%d bytes are more than the %d that are sent to it", len(m.Content), e.maxSize)), nil
	}
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	case <-ctx.Done():
		return filter.Result{}, fmt.Errorf("icap: all connections are in use: %w", ctx.Err())
	}
	o, err := e.capabilities(ctx)
	if err != nil {
		return filter.Result{}, err
	}
	a, err := e.modify(ctx, m, o)
	if err != nil {
		return filter.Result{}, err
	}
	if len(a.names) > 0 {
		return e.policy.Infected(e.Name(), a.names...), nil
	}
	return filter.Result{}, nil
}

// Ping asks the server for its options, whatever is kept of them.
func (e *Engine) Ping(ctx context.Context) error {
	_, err := e.askOptions(ctx)
	return err
}

// capabilities returns the options of the server, asked for again once they have expired.
func (e *Engine) capabilities(ctx context.Context) (options, error) {
	e.mu.Lock()
	o, fresh := e.options, time.Now().Before(e.expires)
	e.mu.Unlock()
	if fresh {
		return o, nil
	}
	return e.askOptions(ctx)
}

func (e *Engine) askOptions(ctx context.Context) (options, error) {
	c, err := e.connect(ctx)
	if err != nil {
		return options{}, err
	}
	defer c.close()
	if err := c.write("OPTIONS " + e.url.String() + " ICAP/1.0\r\nHost: " + e.url.Host + "\r\nConnection: close\r\nEncapsulated: null-body=0\r\n\r\n"); err != nil {
		return options{}, failed(ctx, "OPTIONS", err)
	}
	r, err := c.response()
	if err != nil {
		return options{}, failed(ctx, "OPTIONS", err)
	}
	if r.code != 200 {
		return options{}, fmt.Errorf("icap: %s answers OPTIONS with %d %s", e.url, r.code, virus.CleanName(r.text))
	}
	o := parseOptions(r.header)
	if len(o.methods) > 0 && !o.offers(e.method) {
		return options{}, fmt.Errorf("icap: %s does not offer %s but %s", e.url, e.method, strings.Join(o.methods, ", "))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.options, e.expires = o, time.Now().Add(o.ttl)
	return o, nil
}
