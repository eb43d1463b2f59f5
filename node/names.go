package node

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"posthaste/dns"
)

// names proves by DNSSEC what it can, for DANE: where the name servers leave signatures out, its answers
// are plain ones, which no policy is derived from.
type names struct {
	plain  *dns.Resolver
	proven *dns.Resolver
	always bool // configured: what cannot be proven is no answer
	log    *slog.Logger

	trying chan struct{} // holds one element while the servers are tried or the verdict is read
	tried  time.Time
	works  bool
}

func newNames(plain *dns.Resolver, always bool, log *slog.Logger) *names {
	return &names{plain: plain, proven: plain.Validating(), always: always, log: log, trying: make(chan struct{}, 1)}
}

const (
	provenFor = time.Hour       // a verdict about the name servers counts
	tryTime   = 5 * time.Second // they may take for it
)

// resolver returns the one whose answers count now.
func (n *names) resolver(ctx context.Context) *dns.Resolver {
	if n.always || n.validates(ctx) {
		return n.proven
	}
	return n.plain
}

// validates tells whether the name servers let us prove anything.
func (n *names) validates(ctx context.Context) bool {
	n.trying <- struct{}{}
	defer func() { <-n.trying }()
	if !n.tried.IsZero() && time.Since(n.tried) < provenFor {
		return n.works
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tryTime)
	defer cancel()
	err := n.proven.CanValidate(ctx)
	if err != nil && (n.works || n.tried.IsZero()) {
		n.log.Warn("no DANE: the name servers do not let us prove answers by DNSSEC; run a validating resolver on this host, or name one in dns.servers", "err", err)
	}
	n.tried, n.works = time.Now(), err == nil
	return n.works
}

// MX returns the mail exchangers of a domain.
func (n *names) MX(ctx context.Context, domain string) (dns.Answer[dns.MX], error) {
	return n.resolver(ctx).MX(ctx, domain)
}

// Host returns the addresses of a host.
func (n *names) Host(ctx context.Context, host string) (dns.Answer[netip.Addr], error) {
	return n.resolver(ctx).Host(ctx, host)
}

// TLSA returns the TLSA records of a service.
func (n *names) TLSA(ctx context.Context, name string) (dns.Answer[dns.TLSA], error) {
	return n.resolver(ctx).TLSA(ctx, name)
}

// CNAME returns the name that a name stands for.
func (n *names) CNAME(ctx context.Context, name string) (dns.Answer[string], error) {
	return n.resolver(ctx).CNAME(ctx, name)
}

// presentNames asks the resolver of the plan in force, for parts that outlive plans.
type presentNames struct{ node *Node }

// TXT returns the texts of a name.
func (r presentNames) TXT(ctx context.Context, name string) (dns.Answer[string], error) {
	p := r.node.present()
	defer p.release()
	return p.resolver.TXT(ctx, name)
}

// Host returns the addresses of a host.
func (r presentNames) Host(ctx context.Context, host string) (dns.Answer[netip.Addr], error) {
	p := r.node.present()
	defer p.release()
	return p.resolver.Host(ctx, host)
}
