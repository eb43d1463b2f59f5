// Package remote delivers mail to other hosts: it is the SMTP client, and the LMTP client.
//
// [Agent.Route] asks the DNS where a domain takes its mail; [Agent.Deliver] hands one message to the
// hosts of that [Destination], best first, and returns a [mail.Status] per recipient. It decides
// nothing about retries or reports: that is the queue's part.
//
// What it guarantees: an outcome is a 2xx only after the host said so in reply to the end of the
// content. Where we cannot know (the connection was lost after the end of data) it is temporary, so a
// message may arrive twice, never zero times. A failure of the DNS is temporary always. A host that
// cannot be reached, greets with an error, refuses MAIL for now or breaks off before the end of data
// makes the next host's turn; an answer about a recipient or the content is an outcome.
//
// Encryption is opportunistic (RFC 7435) unless more is asked: STARTTLS where it is offered, whatever the
// certificate; plaintext, on a new connection, where the handshake fails. More is asked, in this order, by
// the Destination's own TLS, by the table of policies, by DANE and by MTA-STS: see [demand]. A host that
// does not meet what is asked is passed over, and the message waits: nothing is sent in plaintext instead,
// and nothing bounces for it at once.
//
// Content with 8-bit bytes in its header goes as it is to a host without SMTPUTF8, where the client did not
// declare it SMTPUTF8: such mail is old practice rather than RFC 6532, and 8BITMIME hosts take it.
//
// Standards: RFC 5321, 1652/6152 (8BITMIME), 1870 (SIZE), 2033 (LMTP), 2920 (PIPELINING), 3030
// (CHUNKING, BINARYMIME), 3207 (STARTTLS), 3461 (DSN), 4954 (AUTH), 6531 (SMTPUTF8), 7505 (null MX),
// 2852 (DELIVERBY), 6710 (MT-PRIORITY), 7672 (DANE), 8461 (MTA-STS), 8689 (REQUIRETLS), 9422 (LIMITS).
package remote

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"posthaste/deliver/remote/dane"
	"posthaste/deliver/remote/tlsrpt"
	"posthaste/dns"
	"posthaste/trace"
)

// Bounds of one delivery.
const (
	maxHosts        = 20  // MX hosts of a domain that are kept, best first
	maxAddresses    = 6   // addresses of one host that are tried, IPv6 and IPv4 in turn
	maxAttempts     = 12  // connections of one delivery
	maxRecipients   = 100 // in one transaction (RFC 5321 section 4.5.3.1.8)
	maxTransactions = 200 // on one connection
)

// Defaults of Config.
const (
	DefaultPort    = 25
	DefaultIdle    = 5 * time.Second // that a connection is kept for the next message
	DefaultMaxIdle = 100             // connections kept, all destinations together
)

// A Resolver is the part of *dns.Resolver that finds hosts.
type Resolver interface {
	MX(ctx context.Context, domain string) (dns.Answer[dns.MX], error)
	Host(ctx context.Context, host string) (dns.Answer[netip.Addr], error)
}

// A Validating resolver is one whose answers are proven by DNSSEC: dns.Resolver.Validating.
type Validating interface {
	Resolver
	dane.Resolver
}

// TLSReports is told how TLS went: *tlsrpt.Collector. It must not block.
type TLSReports interface{ Record(tlsrpt.Session) }

// A Dial opens a connection, as net.Dialer.DialContext does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Config is what an Agent needs. Hostname and Resolver must be set.
type Config struct {
	Hostname string   // our name in EHLO
	OwnNames []string // other names under which we stand in MX records

	// OwnAddresses are those that this node takes mail on. A domain whose best exchanger has one of them
	// is a loop; an unspecified address stands for all of this machine, port 0 for any.
	OwnAddresses []netip.AddrPort

	Resolver Resolver
	Port     int           // of hosts found by MX. Default: DefaultPort
	TLS      *tls.Config   // roots, client certificates, versions. Default: the system's roots, TLS 1.2+
	Dial     Dial          // default: the network
	Timeouts Timeouts      // zero fields take the values of DefaultTimeouts
	Idle     time.Duration // default: DefaultIdle; negative: keep no connection
	MaxIdle  int           // default: DefaultMaxIdle
	Log      *slog.Logger
	Trace    trace.Recorder

	// DialFrom opens a connection from an address of ours. Default: the network where Dial is unset,
	// else Dial, whatever the source.
	DialFrom func(ctx context.Context, source netip.Addr, network, address string) (net.Conn, error)

	DANE       Validating // nil: no DANE; it then takes the place of Resolver
	Policies   Policies   // TLS policies by domain; nil: none
	MTASTS     MTASTS     // nil: no MTA-STS
	TLSReports TLSReports // nil: nobody counts
}

// Timeouts bound each wait for the other side. RFC 5321 section 4.5.3.2 asks for at least the
// minutes in parentheses. We wait less where a queue that tries again makes waiting pointless, and
// never less where giving up early could make a message arrive twice.
type Timeouts struct {
	Connect  time.Duration // 30 s, for each address
	Greeting time.Duration // 2 min (5)
	Command  time.Duration // 3 min (5), for replies to EHLO, MAIL, RCPT and the like
	Data     time.Duration // 2 min (2), for the reply to DATA
	Block    time.Duration // 3 min (3), for each block of content to be taken
	Done     time.Duration // 10 min (10), for the reply to the end of data
}

// DefaultTimeouts returns the values that unset fields take.
func DefaultTimeouts() Timeouts {
	return Timeouts{
		Connect:  30 * time.Second,
		Greeting: 2 * time.Minute,
		Command:  3 * time.Minute,
		Data:     2 * time.Minute,
		Block:    3 * time.Minute,
		Done:     10 * time.Minute,
	}
}

// relayed replaces the enhanced code of a 2xx from a host without the DSN extension: a report on
// success that the sender asked for is then ours to make, as "relayed" (RFC 3461 section 5.2.2, with
// the code of RFC 5248).
const relayed = "2.1.9"

// An Agent delivers to other hosts. It is safe for concurrent use.
type Agent struct {
	cfg   Config
	own   map[string]bool // our names, lower case
	addrs []netip.AddrPort
	tls   *tls.Config
	pool  *pool
	dead  *graveyard
}

// New returns an Agent. Close it when deliveries are over.
func New(cfg Config) *Agent {
	if cfg.Port == 0 {
		cfg.Port = DefaultPort
	}
	cfg.setDial()
	if cfg.DANE != nil {
		cfg.Resolver = cfg.DANE
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Trace == nil {
		cfg.Trace = trace.Discard
	}
	if cfg.Idle == 0 {
		cfg.Idle = DefaultIdle
	}
	if cfg.MaxIdle == 0 {
		cfg.MaxIdle = DefaultMaxIdle
	}
	cfg.Timeouts.fill()
	a := &Agent{cfg: cfg, own: make(map[string]bool), addrs: ownAddresses(cfg.OwnAddresses), tls: clientTLS(cfg.TLS), dead: newGraveyard()}
	for _, name := range append([]string{cfg.Hostname}, cfg.OwnNames...) {
		a.own[strings.ToLower(strings.TrimSuffix(name, "."))] = true
	}
	a.pool = newPool(cfg.Idle, cfg.MaxIdle)
	return a
}

// Close says QUIT on the connections that were kept and waits for them to end. Deliveries that are
// still on their way end by themselves.
func (a *Agent) Close() { a.pool.close() }

// setDial fills Dial and DialFrom.
func (c *Config) setDial() {
	if c.DialFrom == nil && c.Dial == nil {
		c.DialFrom = func(ctx context.Context, source netip.Addr, network, address string) (net.Conn, error) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: source.AsSlice()}}
			return d.DialContext(ctx, network, address)
		}
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	if c.DialFrom == nil {
		c.DialFrom = func(ctx context.Context, _ netip.Addr, network, address string) (net.Conn, error) {
			return c.Dial(ctx, network, address)
		}
	}
}

func (t *Timeouts) fill() {
	d := DefaultTimeouts()
	for _, f := range []struct{ field, value *time.Duration }{
		{&t.Connect, &d.Connect}, {&t.Greeting, &d.Greeting}, {&t.Command, &d.Command},
		{&t.Data, &d.Data}, {&t.Block, &d.Block}, {&t.Done, &d.Done},
	} {
		if *f.field <= 0 {
			*f.field = *f.value
		}
	}
}

func clientTLS(cfg *tls.Config) *tls.Config {
	if cfg == nil {
		cfg = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	cfg = cfg.Clone()
	if cfg.ClientSessionCache == nil {
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	return cfg
}
