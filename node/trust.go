package node

import (
	"context"

	"golang.org/x/sync/errgroup"

	"posthaste/config"
	"posthaste/filter/correspondents"
	"posthaste/filter/dlp"
	"posthaste/filter/dnsbl"
	"posthaste/filter/greylist"
	"posthaste/filter/outflow"
	"posthaste/filter/reputation"
	"posthaste/filter/spam/classifier"
	"posthaste/mail"
	"posthaste/mailauth/dkim"
	"posthaste/quarantine"
	"posthaste/store"
)

// trusting is what of authenticating and judging mail keeps state, and so is there once.
type trusting struct {
	dkim       *dkim.KeyStore
	reputation *reputation.Book
	classifier *classifier.Classifier
	learner    *learner
	book       *correspondents.Book
	greylist   *greylist.Greylist
	outflow    *outflow.Outflow
	dnsbl      *dnsbl.Lists
	quarantine *quarantine.Quarantine
	documents  *dlp.Registry
	reports    mailReports
}

// buildLearning makes what learns, before the store, which tells it what readers do.
func (n *Node) buildLearning(c *config.Config) {
	n.reputation = reputation.New(reputation.Config{KV: n.kv, Log: n.log})
	n.classifier = classifier.New(classifier.Config{KV: n.kv, Log: n.log})
	n.learner = &learner{classifier: n.classifier, reputation: n.reputation, hostname: c.Hostname, log: n.log,
		store:   func(id mail.AccountID) *store.Account { return n.store.Account(id) },
		enabled: n.learns, refiled: make(chan store.Refiled, maxLessons)}
}

// learns tells whether the configuration in force wants readers to teach.
func (n *Node) learns() bool {
	p := n.present()
	defer p.release()
	return p.cfg.Filter.Learn
}

// buildTrust makes the rest.
func (n *Node) buildTrust(c *config.Config) {
	n.dkim = dkim.NewKeyStore(dkim.StoreConfig{Store: n.kv, Resolver: presentNames{n}, Log: n.log})
	n.dnsbl = dnsbl.New(presentNames{n}, n.log)
}

// runTrust has it store what it learns, until ctx ends.
func (n *Node) runTrust(ctx context.Context, g *errgroup.Group) {
	g.Go(func() error { return n.dkim.Run(ctx) })
	g.Go(func() error { return n.reputation.Run(ctx) })
	g.Go(func() error { return n.classifier.Run(ctx) })
	g.Go(func() error { return n.learner.Run(ctx) })
	g.Go(func() error { return n.book.Run(ctx) })
	g.Go(func() error { return n.greylist.Run(ctx) })
	g.Go(func() error { return n.outflow.Run(ctx) })
	g.Go(func() error { return n.dnsbl.Run(ctx) })
	g.Go(func() error { return n.quarantine.Run(ctx) })
}
