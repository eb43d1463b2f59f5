package node

import (
	"posthaste/config"
	"posthaste/filter/greylist"
)

// openGreylist makes the memory of who came before, which also knows what is expected.
func (n *Node) openGreylist(c *config.Config) {
	g := c.Greylist
	n.greylist = greylist.New(greylist.Config{Exempt: c.Limits.Exempt, KV: n.kv, Log: n.log,
		Rules: greylist.Rules{Wait: g.Wait.D(), Retry: g.Retry.D(), Pass: g.Pass.D(), Passes: g.Passes}})
}
