// Package clamd asks clamd, the daemon of ClamAV, about messages: command INSTREAM of clamd(8).
//
// An [Engine] sends each message over a connection of its own, whole, as it came: clamd takes mail apart
// itself. It holds no more connections than allowed, gives up when the context does, and reads no more
// than a line of an answer. It keeps no session open between messages: what a connection costs is small
// beside a scan (BenchmarkScan and BenchmarkPing measure both), and a restarted clamd then needs no care.
//
// Whatever is no clear answer is an error. What that means is for filter.Guard to say, and so is leaving
// a clamd alone that has gone.
package clamd

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"strings"

	"posthaste/filter"
	"posthaste/filter/virus"
)

// Defaults of a Config.
const (
	DefaultMaxSize     = 25 << 20 // bytes; StreamMaxLength of Debian's clamd.conf is 25 MB
	DefaultConnections = 10       // as MaxThreads of clamd.conf
)

// A Config says where clamd is and what its answers mean.
type Config struct {
	Address     string // "/run/clamav/clamd.ctl" or "host:port"
	MaxSize     int64  // bytes; larger messages are not sent. 0 is DefaultMaxSize
	Connections int    // at a time; 0 is DefaultConnections
	Policy      virus.Policy
	// Dial connects; nil is net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// An Engine is a filter.Engine that asks clamd. Make it with New.
type Engine struct {
	network, address string
	maxSize          int64
	policy           virus.Policy
	slots            chan struct{}
	dial             func(ctx context.Context, network, address string) (net.Conn, error)
}

// New returns an Engine. It does not connect.
func New(c Config) (*Engine, error) {
	network, address, err := Address(c.Address)
	if err != nil {
		return nil, err
	}
	e := &Engine{network: network, address: address, policy: c.Policy, dial: c.Dial}
	e.maxSize = cmp.Or(c.MaxSize, DefaultMaxSize)
	e.slots = make(chan struct{}, max(cmp.Or(c.Connections, DefaultConnections), 1))
	if e.dial == nil {
		e.dial = new(net.Dialer).DialContext
	}
	return e, nil
}

// Address takes apart where clamd listens: the absolute path of a socket, or host:port.
func Address(s string) (network, address string, err error) {
	if strings.HasPrefix(s, "/") {
		return "unix", s, nil
	}
	if host, port, err := net.SplitHostPort(s); err != nil || host == "" || port == "" {
		return "", "", fmt.Errorf("clamd: %q is neither the absolute path of a socket nor host:port", s)
	}
	return "tcp", s, nil
}

// Name returns "clamd".
func (e *Engine) Name() string { return "clamd" }

// Scan asks clamd about the content of m.
func (e *Engine) Scan(ctx context.Context, m *filter.Mail) (filter.Result, error) {
	if int64(len(m.Content)) > e.maxSize {
		return e.policy.NotScanned(e.Name(), fmt.Sprintf("%d bytes are more than the %d that are sent to it", len(m.Content), e.maxSize)), nil
	}
	line, err := e.ask(ctx, "INSTREAM", m.Content)
	if err != nil {
		return filter.Result{}, err
	}
	a, err := parseAnswer(line)
	switch {
	case err != nil:
		return filter.Result{}, err
	case a.unscanned != "":
		return e.policy.NotScanned(e.Name(), a.unscanned), nil
	case a.virus != "":
		return e.policy.Infected(e.Name(), a.virus), nil
	}
	return filter.Result{}, nil
}

// Ping asks whether clamd is there.
func (e *Engine) Ping(ctx context.Context) error {
	line, err := e.ask(ctx, "PING", nil)
	if err == nil && line != "PONG" {
		err = fmt.Errorf("clamd: %q in answer to PING", virus.CleanName(line))
	}
	return err
}

// Version returns the versions of clamd and its signatures, as "ClamAV 1.4.6/27500/…".
func (e *Engine) Version(ctx context.Context) (string, error) {
	line, err := e.ask(ctx, "VERSION", nil)
	return virus.CleanName(line), err
}
