package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"posthaste/access"
	"posthaste/config"
	"posthaste/deliver/remote"
	"posthaste/directory"
	"posthaste/directory/aliasmap"
	"posthaste/directory/unix"
	"posthaste/mail"
	"posthaste/queue"
	"posthaste/rewrite"
	"posthaste/route"
	"posthaste/smtp"
	"posthaste/srs"
	"posthaste/table"
)

// buildPeople makes what says whose addresses are, and what becomes of them.
func (p *plan) buildPeople(ctx context.Context) error {
	var problems problems
	p.buildLayers(ctx, &problems)
	p.buildRewriter(&problems)
	p.buildRules(&problems)
	return problems.err(p.node.options.File)
}

// buildLayers lays alias files, alias tables, users of the system and return paths beneath the directory.
func (p *plan) buildLayers(ctx context.Context, problems *problems) {
	n, c := p.node, p.cfg
	names := aliasmap.Names{Domains: localDomains(c), Separator: separator(c)}
	var layers []directory.Layer
	if p.srs = p.returnPaths(ctx, problems); p.srs != nil {
		layers = append(layers, &aliasmap.Returns{SRS: p.srs})
	}
	if len(c.Alias.Tables)+len(c.Alias.Domains) > 0 {
		layers = append(layers, &aliasmap.Tables{Names: names,
			Aliases: p.openTables("alias.tables", c.Alias.Tables, problems), Own: p.openTables("alias.domains", c.Alias.Domains, problems)})
	}
	for _, file := range c.Alias.Files {
		f := aliasmap.NewFile(file, names, n.log)
		_, err := f.Check()
		problems.add(c, "alias.files", err)
		p.aliasFiles = append(p.aliasFiles, f)
		layers = append(layers, f)
	}
	if len(c.Unix.Users) > 0 {
		forward := unix.DefaultForward
		if !c.Unix.Forward {
			forward = "none"
		}
		users, err := unix.New(unix.Config{Names: names, Users: c.Unix.Users, MinUID: c.Unix.MinUID, Mailbox: c.Unix.Mailbox,
			Forward: forward, Reader: forwards{n}, Log: n.log})
		problems.add(c, "unix", err)
		if err == nil {
			layers = append(layers, users)
		}
	}
	p.people = directory.NewLayers(n.directory, layers...)
}

// included returns the files that alias files include. What cannot be read is told of here, not when
// the first mail waits for it.
func (p *plan) included() []string {
	var all []string
	for _, f := range p.aliasFiles {
		paths, err := f.Includes()
		if err != nil {
			p.node.log.Warn("an alias file includes what cannot be read: mail for those aliases waits", "err", err)
		}
		all = append(all, paths...)
	}
	return all
}

// localDomains returns the domains whose users are those of alias files and of the system.
func localDomains(c *config.Config) []string {
	if len(c.Alias.Local) > 0 {
		return lowered(c.Alias.Local)
	}
	if len(c.Alias.Files)+len(c.Unix.Users) == 0 {
		return nil
	}
	all := lowered([]string{c.LocalDomain(), c.Hostname})
	return slices.Compact(all)
}

func lowered(names []string) []string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = strings.ToLower(name)
	}
	return all
}

// returnPaths makes what gives forwarded mail a sender of ours.
func (p *plan) returnPaths(ctx context.Context, problems *problems) *srs.Rewriter {
	c := p.cfg
	if !c.SRS.Enabled {
		return nil
	}
	domain := strings.ToLower(c.SRS.Domain)
	if domain == "" {
		domain = c.LocalDomain()
	}
	secret, err := p.node.directory.Secret(ctx, "srs")
	if err != nil { // a node whose disk was full at its first start must start all the same
		p.node.log.Warn("forwarded mail keeps its sender until the next start: the secret of return paths cannot be kept", "err", err)
		return nil
	}
	r, err := srs.New(srs.Config{Domain: domain, Secrets: [][]byte{secret}, MaxAge: time.Duration(c.SRS.Days) * 24 * time.Hour})
	problems.add(c, "srs", err)
	return r
}

// buildRewriter reads what changes addresses on their way.
func (p *plan) buildRewriter(problems *problems) {
	c := p.cfg
	cfg := rewrite.Config{Domain: c.LocalDomain(), Separator: separator(c), Masquerade: c.Rewrite.Masquerade, Keep: []string{"root"},
		SenderBCC:    p.openTables("rewrite.sender_bcc", c.Rewrite.SenderBcc, problems),
		RecipientBCC: p.openTables("rewrite.recipient_bcc", c.Rewrite.RecipientBcc, problems),
		Generic:      p.openTables("rewrite.generic", c.Rewrite.Generic, problems),
	}
	for _, m := range []struct {
		key   string
		specs []string
		where rewrite.Where
	}{
		{"rewrite.sender_canonical", c.Rewrite.SenderCanonical, rewrite.Senders},
		{"rewrite.recipient_canonical", c.Rewrite.RecipientCanonical, rewrite.Recipients},
		{"rewrite.canonical", c.Rewrite.Canonical, rewrite.Everywhere},
	} {
		for _, t := range p.openTables(m.key, m.specs, problems) {
			cfg.Canonical = append(cfg.Canonical, rewrite.Map{Table: t, Where: m.where})
		}
	}
	if c.Rewrite.AlwaysBcc != "" {
		a, err := smtp.ParseAddress(c.Rewrite.AlwaysBcc)
		problems.add(c, "rewrite.always_bcc", err)
		cfg.AlwaysBCC = []mail.Address{a}
	}
	var err error
	p.rewriter, err = rewrite.New(cfg)
	problems.add(c, "rewrite.masquerade", err)
}

// buildRules opens the tables that say who may send what, and for whom we relay.
func (p *plan) buildRules(problems *problems) {
	c := p.cfg
	if len(c.Access) > 0 {
		cfg := access.Config{Open: p.tables.Open, Separator: separator(c), Log: p.node.log}
		for _, a := range c.Access {
			cfg.Rules = append(cfg.Rules, access.Rule{Stage: access.Stage(a.Stage), Table: a.Table, Default: a.Default})
		}
		for i := range cfg.Rules {
			one := cfg
			one.Rules = cfg.Rules[i : i+1]
			_, err := access.New(one)
			problems.add(c, fmt.Sprintf("access[%d]", i), err)
		}
		p.rules, _ = access.New(cfg)
	}
	p.outflowAccounts = p.openTables("outflow.accounts", c.Outflow.Accounts, problems)
	p.relayDomains = p.openTables("relay.domains", c.Relay.Domains, problems)
	p.relayRecipients = p.openTables("relay.recipients", c.Relay.Recipients, problems)
	p.tlsPolicies = p.openTables("tls_policy.tables", c.TLSPolicy.Tables, problems)
}

// Here tells whether mail for an address of ours is delivered here, and not sent on by a transport table.
func (p *plan) Here(ctx context.Context, _ mail.ReversePath, to mail.Address) (bool, error) {
	away, err := p.routes.Explicit(ctx, to)
	return !away, err
}

// tlsPolicies are the tables of TLS policies by recipient domain.
type tlsPolicies []table.Table

// Policy looks a domain up.
func (p tlsPolicies) Policy(ctx context.Context, domain string) (text string, found bool, err error) {
	for _, t := range p {
		if text, _, found, err = table.Domain(ctx, t, domain); found || err != nil {
			return text, found, err
		}
	}
	return "", false, nil
}

// Probe asks the host that takes the mail of a relay domain whether it knows a recipient.
func (p *plan) Probe(ctx context.Context, to mail.Address) *mail.Status {
	t, err := p.routes.Find(ctx, route.Query{To: to, Place: route.Relayed})
	if err == nil {
		var dest remote.Destination
		if dest, err = p.destination(ctx, queue.Query{To: to}, t); err == nil {
			return p.remote.Probe(ctx, dest, mail.ReversePath{}, to)
		}
	}
	return mail.StatusOf(err)
}
