// Package dns asks the domain name system on behalf of mail: where does this domain take its mail,
// what addresses has this host, whose address is this?
//
// A [Resolver] is a stub: it asks recursive servers (the system's, unless told otherwise) over UDP
// with EDNS0 and over TCP where an answer does not fit, turns to the next server when one fails, asks
// one question once however many callers wait for it, and keeps answers for their time to live,
// negative ones (RFC 2308) and, briefly, failures (RFC 9520) too. The cache is bounded in entries and
// bytes, every lookup in time, every chain of CNAMEs in length.
//
// An error that is [ErrNotFound] is a fact about the name: it does not exist ([ErrNoName]) or has no
// record of that type ([ErrNoData]). Every other error means that we do not know, which must never
// bounce a message: ask later.
//
// When none of the servers answers anything, lookups do not wait for them: after three silent rounds, and a
// question for the root that stays without reply too, they fail at once with [ErrUnreachable], but for one in a
// second that finds out, within a second, whether a server is back. A reply of any kind counts as an answer,
// SERVFAIL too, so a zone whose own servers are silent does not bring that about. Who cannot wait as long as
// Config.Timeout gives a context that ends sooner: that ends the wait, not the lookup, whose answer stays for
// the next to ask.
//
// Every answer, also that there is nothing, has a [Security]. A [Resolver.Validating] proves it by DNSSEC,
// from the trust anchor of the root down (package dnssec), unless a server that we trust has done so. A
// proof that fails is a [BogusError], one more thing that we do not know.
//
// Names go in and come out without the final dot, lower case, in A-label form.
package dns

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"posthaste/dns/dnssec"

	"golang.org/x/sync/singleflight"
)

// Limits of a lookup.
const (
	DefaultTimeout = 15 * time.Second // for a lookup, all servers, retries and CNAMEs included
	firstTry       = 2 * time.Second  // for one question to one server; doubled in the second round
	rounds         = 2                // how often each server is asked
	maxCNAMEs      = 8                // links of a chain that are followed
	maxServers     = 8                // servers of the configuration that are used
)

// An MX is one mail exchanger (RFC 5321 section 5.1). Host "." with the only record is a null MX
// (RFC 7505): see [MX.Null].
type MX struct {
	Preference uint16 // lower is better
	Host       string
}

// Null tells whether m says that its domain takes no mail.
func (m MX) Null() bool { return m.Host == "" || m.Host == "." }

// An Answer is what a lookup found. Records holds at least one; the caller may change it.
type Answer[T any] struct {
	Records  []T
	Name     string        // owner of the records: the name asked for, or the end of its chain of CNAMEs
	TTL      time.Duration // how long it stays true
	Security Security      // Secure only if each link of the chain of CNAMEs is
}

// Config says whom to ask and how much to keep. The zero Config is usable.
type Config struct {
	// Servers are recursive servers as "host:port" or "host", in order of preference.
	// Default: those of /etc/resolv.conf, or 127.0.0.1 if it names none.
	Servers []string
	// Trusted are those of Servers whose verdict (the AD bit) is believed beside those on loopback:
	// validating resolvers that we reach over a path that nobody can write to (RFC 6840 section 5.8).
	Trusted []string
	// Validate makes the Resolver a validating one from the start: see [Resolver.Validating].
	Validate bool
	// Anchors are where validation starts: DS or DNSKEY records in the form of master files.
	// Default: those of the root zone of the Internet.
	Anchors []string
	// Exchange carries one query to a server. Default: [NetExchange]. Simulations put theirs here.
	Exchange Exchange
	// Timeout bounds a lookup. Default: DefaultTimeout.
	Timeout time.Duration
	// CacheEntries and CacheBytes bound the cache. Defaults: 20,000 answers, 16 MiB.
	CacheEntries int
	CacheBytes   int
	// Log takes a Debug line per failed server, a Warn line when none answers any more. Default: silence.
	Log *slog.Logger
}

// A Resolver answers questions. It is safe for concurrent use and needs no closing: what it starts
// ends within Config.Timeout.
type Resolver struct {
	servers  []server
	exchange Exchange
	timeout  time.Duration
	log      *slog.Logger
	cache    *cache[question, result]
	flights  *singleflight.Group
	breaker  *breaker
	validate bool

	anchors  dnssec.Anchors
	cuts     *cache[string, cut]
	verdicts *cache[string, bool] // by address: whether a trusted server validates
}

// New returns a Resolver. It fails when a server's address or a trust anchor is malformed.
func New(cfg Config) (*Resolver, error) {
	servers, err := parseServers(cfg.Servers, cfg.Trusted)
	if err != nil {
		return nil, err
	}
	if len(cfg.Anchors) == 0 {
		cfg.Anchors = dnssec.RootAnchors()
	}
	anchors, err := dnssec.ParseAnchors(cfg.Anchors)
	if err != nil {
		return nil, err
	}
	r := &Resolver{
		servers:  servers,
		exchange: cfg.Exchange,
		timeout:  cfg.Timeout,
		log:      cfg.Log,
		cache:    newCache[question, result](cfg.CacheEntries, cfg.CacheBytes),
		flights:  new(singleflight.Group),
		breaker:  new(breaker),
		validate: cfg.Validate,
		anchors:  anchors,
		cuts:     newCache[string, cut](maxCuts, maxCutBytes),
		verdicts: newCache[string, bool](maxServers, 0),
	}
	if r.exchange == nil {
		r.exchange = NetExchange
	}
	if r.timeout <= 0 {
		r.timeout = DefaultTimeout
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	return r, nil
}

// Validating returns a Resolver with the same servers and the same cache whose answers are proven by
// DNSSEC, which costs some questions more. Where the proof fails, its error is a [BogusError].
func (r *Resolver) Validating() *Resolver {
	v := *r
	v.validate = true
	return &v
}

// MX returns the mail exchangers of a domain in the order of the reply.
func (r *Resolver) MX(ctx context.Context, domain string) (Answer[MX], error) {
	return lookup(ctx, r, domain, typeMX, func(rec record) MX { return MX{rec.preference, rec.text} })
}

// TXT returns the text records of a name, the strings of each joined (RFC 7208 section 3.3).
func (r *Resolver) TXT(ctx context.Context, name string) (Answer[string], error) {
	return lookup(ctx, r, name, typeTXT, recordText)
}

// CNAME returns where the alias name leads, one link only.
func (r *Resolver) CNAME(ctx context.Context, name string) (Answer[string], error) {
	return lookup(ctx, r, name, typeCNAME, recordText)
}

// TLSA returns the certificate associations of a service, such as "_25._tcp.mx.north.test" (RFC 6698).
func (r *Resolver) TLSA(ctx context.Context, name string) (Answer[TLSA], error) {
	return lookup(ctx, r, name, typeTLSA, func(rec record) TLSA { return rec.tlsa })
}

// PTR returns the names that an address claims to have. They prove nothing: see [Resolver.Iprev].
func (r *Resolver) PTR(ctx context.Context, ip netip.Addr) (Answer[string], error) {
	return lookup(ctx, r, ReverseName(ip), typePTR, recordText)
}

// A returns the IPv4 addresses of a host.
func (r *Resolver) A(ctx context.Context, host string) (Answer[netip.Addr], error) {
	return lookup(ctx, r, host, typeA, recordAddr)
}

// AAAA returns the IPv6 addresses of a host.
func (r *Resolver) AAAA(ctx context.Context, host string) (Answer[netip.Addr], error) {
	return lookup(ctx, r, host, typeAAAA, recordAddr)
}

// Host returns the IPv6 and IPv4 addresses of a host. One family is enough: when the other fails,
// its error is dropped.
func (r *Resolver) Host(ctx context.Context, host string) (Answer[netip.Addr], error) {
	type outcome struct {
		answer Answer[netip.Addr]
		err    error
	}
	six := make(chan outcome, 1)
	go func() {
		a, err := r.AAAA(ctx, host)
		six <- outcome{a, err}
	}()
	v4, err4 := r.A(ctx, host)
	v6 := <-six
	switch {
	case err4 != nil && v6.err != nil:
		return Answer[netip.Addr]{}, worse(err4, v6.err)
	case err4 != nil:
		return v6.answer, nil
	case v6.err != nil:
		return v4, nil
	}
	v6.answer.Records = append(v6.answer.Records, v4.Records...)
	v6.answer.TTL = min(v6.answer.TTL, v4.TTL)
	v6.answer.Security = min(v6.answer.Security, v4.Security)
	return v6.answer, nil
}

func recordText(rec record) string     { return rec.text }
func recordAddr(rec record) netip.Addr { return rec.addr }
