package node

import (
	"context"
	"net"
	"net/netip"
	"strings"

	"posthaste/config"
	"posthaste/directory"
	"posthaste/httpd"
	"posthaste/mail"
	"posthaste/quarantine"
)

// newQuarantine makes the quarantine, which goes by the configuration in force.
func (n *Node) newQuarantine(c *config.Config) *quarantine.Quarantine {
	return quarantine.New(quarantine.Config{
		KV: n.kv, Blobs: n.blobs, Queue: n.queue, Directory: presentPeople{n}, Teacher: n.learner,
		Secret:   func(ctx context.Context) ([]byte, error) { return n.directory.Secret(ctx, "quarantine") },
		Policy:   n.quarantinePolicy,
		Hostname: c.Hostname, From: mail.Address{Local: "postmaster", Domain: c.LocalDomain()},
		Clock: n.options.Clock, Trace: n.trace, Log: n.log})
}

// quarantinePolicy returns what the configuration in force says about the quarantine.
func (n *Node) quarantinePolicy() quarantine.Policy {
	p := n.present()
	defer p.release()
	c := p.cfg.Quarantine
	return quarantine.Policy{Keep: c.Keep.D(), PerOwner: int64(c.PerOwner), Max: int64(c.Max),
		Digest: c.Digest, Hour: c.Hour, URL: quarantineURL(p.cfg)}
}

// quarantineURL returns where links of digests lead, or "" where nobody would answer there.
func quarantineURL(c *config.Config) string {
	if c.Quarantine.URL != "" {
		return strings.TrimRight(c.Quarantine.URL, "/")
	}
	for _, l := range c.Listen {
		if l.Service != "https" {
			continue
		}
		_, port, err := net.SplitHostPort(l.Address)
		switch {
		case err != nil || port == "0":
			continue
		case port == "443":
			return "https://" + c.Hostname
		}
		return "https://" + net.JoinHostPort(c.Hostname, port)
	}
	return ""
}

// presentPeople asks the plan in force whose an address is.
type presentPeople struct{ node *Node }

// Resolve tells where mail for an address goes, in one step.
func (d presentPeople) Resolve(ctx context.Context, a mail.Address) (directory.Target, error) {
	p := d.node.present()
	defer p.release()
	return p.people.Resolve(ctx, a)
}

// httpServer returns the front of all web pages, with TLS from the first byte where implicit.
func (n *Node) httpServer(p *plan, implicit bool, proxies []netip.Prefix) server {
	return httpd.New(httpd.Config{
		Routes: []httpd.Route{{Prefix: quarantine.Path, Handler: n.quarantine.Handler()}},
		TLS:    p.tls, ImplicitTLS: implicit,
		MaxSessions: p.cfg.Limits.Sessions, MaxPerIP: p.cfg.Limits.SessionsPerIP, Exempt: p.cfg.Limits.Exempt, Proxies: proxies,
		Log: n.log})
}
