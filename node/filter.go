package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"posthaste/directory"
	"posthaste/filter"
	"posthaste/filter/spam"
	"posthaste/inbound"
	"posthaste/mail"
	"posthaste/mailauth/arc"
	"posthaste/mailauth/dkim"
	"posthaste/smtp"
	"posthaste/submit"
	"posthaste/table"
)

// checks returns what looks at mail of others. What asks the DNS runs at the same time.
func (p *plan) checks() []inbound.Check {
	n, c, r := p.node, p.cfg, p.resolver
	if !c.Authenticate.Enabled {
		return nil
	}
	domains := &familiarDomains{list: n.ownDomains}
	policy := inbound.DMARC{Resolver: r, Enforce: c.Authenticate.Enforce, Sealers: c.Authenticate.Sealers}
	asking := []inbound.Check{
		inbound.Iprev{Resolver: r, Loopback: n.options.InProcess},
		inbound.Helo{Hostname: c.Hostname, Loopback: n.options.InProcess},
		inbound.SPF{Resolver: r, Hostname: c.Hostname, Refuse: c.Authenticate.RefuseSPF},
		inbound.DKIM{Verifier: dkim.NewVerifier(r)},
		inbound.ARC{Verifier: arc.NewVerifier(r)},
		policy.Ahead(),
	}
	if len(p.lists) > 0 {
		asking = append(asking, inbound.Listed{Lists: n.dnsbl})
	}
	return []inbound.Check{
		inbound.Early{}, inbound.Links{}, inbound.Lookalike{Known: domains.now},
		inbound.Together(asking...),
		policy,
		inbound.BIMI{Resolver: r},
		inbound.Reputed{Book: n.reputation},
	}
}

// ownDomains yields the domains that mail is taken for.
func (n *Node) ownDomains(ctx context.Context, yield func(name string) bool) error {
	stop := errors.New("stop")
	err := n.directory.Domains(ctx, func(d directory.Domain) error {
		if !yield(d.Name) {
			return stop
		}
		return nil
	})
	if err == stop {
		return nil
	}
	return err
}

// filtering returns what judges mail of others. What a domain or an engine asks for is done even where
// points count nothing.
func (p *plan) filtering() (inbound.Filtering, error) {
	c := p.cfg
	var f inbound.Filtering
	if c.Filter.Enabled {
		f.Thresholds = spam.Thresholds{Tag: float64(c.Filter.Tag), Junk: float64(c.Filter.Junk), Quarantine: float64(c.Filter.Quarantine),
			Greylist: float64(c.Filter.Greylist), Reject: float64(c.Filter.Reject)}
	}
	var err error
	if f.Rules, err = p.spamRules(f.Thresholds); err != nil {
		return f, err
	}
	n := p.node
	f.SkipLMTP = !c.Filter.LMTP
	f.Quarantine = keeping{n.quarantine}
	f.Observers = append(f.Observers, inbound.Reputed{Book: n.reputation}, reporting{&n.reports})
	if c.Greylist.Enabled {
		f.Greylist = putting{n, n.greylist}
	}
	if f.Engines, err = p.engines(false); err != nil {
		return f, err
	}
	if c.Filter.Enabled {
		f.Personal = append(f.Personal, reading{n.classifier, n.log}, familiar{n.quarantine, n.book, n.log})
	}
	return f, p.addTraps(&f)
}

// engines returns what looks at content beside the rules, of mail of others or of that of our users.
func (p *plan) engines(outgoing bool) (all []filter.Engine, err error) {
	c, n := p.cfg, p.node
	var problems problems
	hashes := p.openTables("attachments.hashes", c.Attachments.Hashes, &problems)
	if err := problems.err(n.options.File); err != nil {
		return nil, err
	}
	if own := attachmentPolicy(c, table.Chain(hashes)); own != nil {
		all = append(all, own)
	}
	if outgoing {
		engine, err := p.dlpEngine(c)
		if err != nil {
			return nil, err
		}
		if engine != nil {
			all = append(all, filter.NewGuard(engine, 0, true, n.log))
		}
	}
	scanners, err := virusEngines(c, n.log)
	if err != nil {
		return nil, err
	}
	remote, err := remoteEngines(c, outgoing, n.log)
	return slices.Concat(all, scanners, remote), err
}

// addTraps adds the addresses that nobody writes to for good reason.
func (p *plan) addTraps(f *inbound.Filtering) error {
	var problems problems
	f.Traps = make(map[mail.Address]bool, len(p.cfg.Filter.Traps))
	for _, text := range p.cfg.Filter.Traps {
		a, err := smtp.ParseAddress(strings.ToLower(text))
		problems.add(p.cfg, "filter.traps", err)
		f.Traps[a] = true
	}
	f.Trapped = func(ctx context.Context, content []byte) {
		l := p.node.learner
		if !l.voices.hearsTrap(time.Now()) {
			return
		}
		if err := l.Learn(ctx, 0, content, true); err != nil {
			p.node.log.Warn("mail for a trap was not learned", "err", err)
		}
	}
	return problems.err(p.node.options.File)
}

// submitFiltering returns what judges mail of our own users.
func (p *plan) submitFiltering() (submit.Filtering, error) {
	c, n := p.cfg, p.node
	f := submit.Filtering{Trace: n.trace, Log: n.log, Judges: []submit.Judge{aligning{n.dkim, p.resolver}}}
	var thresholds spam.Thresholds
	if c.Filter.Enabled {
		thresholds = spam.Thresholds{Quarantine: float64(c.Filter.OutgoingHold), Reject: float64(c.Filter.OutgoingReject)}
		f.Judges = append(f.Judges, reading{n.classifier, n.log})
	}
	var err error
	if f.Rules, err = p.spamRules(thresholds); err == nil {
		f.Engines, err = p.engines(true)
	}
	return f, err
}

// spamRules returns the rules of the configuration. All that is wrong comes at once.
func (p *plan) spamRules(thresholds spam.Thresholds) (*spam.Rules, error) {
	c := p.cfg
	var problems problems
	cfg := spam.Config{Thresholds: thresholds, Weights: c.Filter.Weights}
	_, err := spam.New(cfg)
	problems.add(c, "filter.weights", err)
	for i, r := range c.FilterRules {
		one := spam.CustomRule{Name: r.Name, Weight: float64(r.Points), Meaning: r.Meaning, Field: r.Field, Pattern: r.Pattern}
		_, err := spam.New(spam.Config{Custom: []spam.CustomRule{one}})
		problems.add(c, fmt.Sprintf("rule[%d]", i), err)
		cfg.Custom = append(cfg.Custom, one)
	}
	if err := problems.err(p.node.options.File); err != nil {
		return nil, err
	}
	return spam.New(cfg)
}
