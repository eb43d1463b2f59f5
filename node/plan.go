package node

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"

	"posthaste/cert"
	"posthaste/config"
	"posthaste/deliver/file"
	"posthaste/deliver/local"
	"posthaste/deliver/pipe"
	"posthaste/deliver/remote"
	"posthaste/dns"
	"posthaste/inbound"
	"posthaste/queue"
	"posthaste/route"
	"posthaste/submit"
	"posthaste/table"
)

// A plan is all that a configuration says about mail: the tables it names, and the parts that go by
// them. It does not change; a reload makes another.
type plan struct {
	node *Node
	cfg  *config.Config

	cert       *cert.Source
	tls        *tls.Config
	resolver   *dns.Resolver
	tables     *table.Set
	routes     *route.Router
	shaping    queue.Shaping
	smarthosts map[string]remote.Smarthost
	remote     *remote.Agent
	pipes      *pipe.Agent
	files      *file.Agent
	local      *local.Agent
	inbound    *inbound.Policy
	submit     *submit.Submitter

	uses int // who may still use it; guarded by Node.mu
}

// newPlan builds the plan of a configuration, with one use. All that is wrong comes at once.
func (n *Node) newPlan(ctx context.Context, cfg *config.Config) (*plan, error) {
	p := &plan{node: n, cfg: cfg, uses: 1}
	for _, build := range []func(context.Context) error{p.buildNames, p.buildTables, p.buildShaping, p.buildAgents, p.buildPolicies} {
		if err := build(ctx); err != nil {
			return nil, errors.Join(err, p.close())
		}
	}
	return p, nil
}

// openPlan builds the first plan.
func (n *Node) openPlan(ctx context.Context, cfg *config.Config) error {
	p, err := n.newPlan(ctx, cfg)
	if err == nil {
		n.swap(p)
	}
	return err
}

// present returns the plan in force. Release it.
func (n *Node) present() *plan {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.plan.uses++
	return n.plan
}

// swap puts p into force and returns the plan before, for the caller to release.
func (n *Node) swap(p *plan) *plan {
	n.mu.Lock()
	defer n.mu.Unlock()
	before := n.plan
	n.plan = p
	return before
}

// keep adds a use.
func (p *plan) keep() {
	p.node.mu.Lock()
	defer p.node.mu.Unlock()
	p.uses++
}

// release ends a use; the last one closes p.
func (p *plan) release() {
	p.node.mu.Lock()
	p.uses--
	last := p.uses == 0
	p.node.mu.Unlock()
	if !last {
		return
	}
	if err := p.close(); err != nil {
		p.node.log.Warn("cannot close what an earlier configuration used", "err", err)
	}
}

func (p *plan) close() error {
	if p.remote != nil {
		p.remote.Close()
	}
	if p.tables != nil {
		return p.tables.Close()
	}
	return nil
}

// buildNames makes what names and proves hosts.
func (p *plan) buildNames(context.Context) (err error) {
	if p.cert, err = openCert(p.cfg, p.node.log); err != nil {
		return err
	}
	p.tls = p.cert.Config()
	p.resolver, err = dns.New(dns.Config{Servers: p.cfg.DNS.Servers, Exchange: p.node.options.Exchange, Log: p.node.log})
	return err
}

// buildAgents makes what moves mail.
func (p *plan) buildAgents(context.Context) (err error) {
	n, c := p.node, p.cfg
	p.remote = remote.New(remote.Config{Hostname: c.Hostname, Resolver: p.resolver, Port: c.Remote.Port,
		Dial: n.dial(c), Timeouts: remote.Timeouts{Connect: c.Remote.Connect.D()}, Log: n.log, Trace: n.trace})
	p.local = local.New(local.Config{Store: n.store, Directory: n.directory, Forward: n.queue, Trace: n.trace, Log: n.log})
	p.files = file.New(runner{n}, c.Helper.User)
	p.pipes, err = pipe.New(runner{n}, pipes(c))
	return err
}

// pipes returns the programs that transports may name.
func pipes(c *config.Config) []pipe.Config {
	all := make([]pipe.Config, len(c.Pipes))
	for i, p := range c.Pipes {
		all[i] = pipe.Config{Name: p.Name, Command: p.Command, User: cmp.Or(p.User, c.Helper.User), Flags: p.Flags,
			MaxSize: int64(p.MaxSize), Recipients: 1, Separator: separator(c), Timeout: c.Helper.Timeout.D(), Limit: p.Limit}
		if !p.Each {
			all[i].Recipients = maxPipeRecipients
		}
	}
	return all
}

// maxPipeRecipients is how many recipients a program gets at once that takes several.
const maxPipeRecipients = 50

// buildPolicies makes what decides about mail that comes.
func (p *plan) buildPolicies(context.Context) error {
	n, c := p.node, p.cfg
	p.inbound = inbound.New(inbound.Config{Hostname: c.Hostname, Domain: c.LocalDomain(), Directory: n.directory, Local: p.local, Queue: n.queue,
		Checks: []inbound.Check{inbound.Iprev{Resolver: p.resolver, Loopback: n.options.InProcess}, inbound.Helo{Hostname: c.Hostname, Loopback: n.options.InProcess}},
		Trace:  n.trace, Log: n.log})
	p.submit = submit.New(submit.Config{Hostname: c.Hostname, Domain: c.LocalDomain(), Owners: n.directory, Queue: n.queue,
		Directory: n.directory, Local: p.local, MaxRecipients: c.SMTP.MaxRecipients})
	return nil
}
