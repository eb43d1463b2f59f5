package node

import (
	"context"

	"golang.org/x/sync/errgroup"

	"posthaste/config"
	"posthaste/filter/reputation"
	"posthaste/mailauth/dkim"
	"posthaste/quarantine"
)

// trusting is what of authenticating and judging mail keeps state, and so is there once.
type trusting struct {
	dkim       *dkim.KeyStore
	reputation *reputation.Book
	quarantine *quarantine.Quarantine
}

// buildTrust makes it.
func (n *Node) buildTrust(c *config.Config) {
	n.dkim = dkim.NewKeyStore(dkim.StoreConfig{Store: n.kv, Resolver: presentNames{n}, Log: n.log})
	n.reputation = reputation.New(reputation.Config{KV: n.kv, Log: n.log})
	n.quarantine = n.newQuarantine(c)
}

// runTrust has it store what it learns, until ctx ends.
func (n *Node) runTrust(ctx context.Context, g *errgroup.Group) {
	g.Go(func() error { return n.dkim.Run(ctx) })
	g.Go(func() error { return n.reputation.Run(ctx) })
	g.Go(func() error { return n.quarantine.Run(ctx) })
}
