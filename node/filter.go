package node

import (
	"fmt"

	"posthaste/filter/spam"
	"posthaste/inbound"
	"posthaste/mailauth/arc"
	"posthaste/mailauth/dkim"
)

// checks returns what authenticates mail of others. What asks the DNS runs at the same time.
func (p *plan) checks() []inbound.Check {
	n, c, r := p.node, p.cfg, p.resolver
	return []inbound.Check{
		inbound.Together(
			inbound.Iprev{Resolver: r, Loopback: n.options.InProcess},
			inbound.Helo{Hostname: c.Hostname, Loopback: n.options.InProcess},
			inbound.SPF{Resolver: r, Hostname: c.Hostname, Refuse: c.Authenticate.RefuseSPF},
			inbound.DKIM{Verifier: dkim.NewVerifier(r)},
			inbound.ARC{Verifier: arc.NewVerifier(r)},
		),
		inbound.DMARC{Resolver: r, Enforce: c.Authenticate.Enforce, Sealers: c.Authenticate.Sealers},
		inbound.Reputed{Book: n.reputation},
	}
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
	f.Observers = append(f.Observers, inbound.Reputed{Book: p.node.reputation})
	return f, nil
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
