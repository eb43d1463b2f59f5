package node

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"posthaste/access"
	"posthaste/cert"
	"posthaste/config"
	"posthaste/deliver/file"
	"posthaste/deliver/local"
	"posthaste/deliver/pipe"
	"posthaste/deliver/remote"
	"posthaste/directory"
	"posthaste/directory/aliasmap"
	"posthaste/dns"
	"posthaste/filter/dnsbl"
	"posthaste/inbound"
	"posthaste/queue"
	"posthaste/rewrite"
	"posthaste/route"
	"posthaste/srs"
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
	names      *names // for DANE; nil where nothing is to be proven
	tables     *table.Set
	routes     *route.Router
	shaping    queue.Shaping
	lists      []dnsbl.Config
	people     *directory.Layers
	rewriter   *rewrite.Rewriter
	aliasFiles []*aliasmap.File
	rules      *access.Rules
	smarthosts map[string]remote.Smarthost
	remote     *remote.Agent
	pipes      *pipe.Agent
	files      *file.Agent
	local      *local.Agent
	inbound    *inbound.Policy
	submit     *submit.Submitter

	srs             *srs.Rewriter // nil where forwarded mail keeps its sender
	tlsPolicies     tlsPolicies
	relayDomains    []table.Table
	outflowAccounts []table.Table
	milters         []*sessionMilter
	relayRecipients []table.Table

	uses int // who may still use it; guarded by Node.mu
}

// newPlan builds the plan of a configuration, with one use. All that is wrong comes at once.
func (n *Node) newPlan(ctx context.Context, cfg *config.Config) (*plan, error) {
	p, file := &plan{node: n, cfg: cfg, uses: 1}, n.options.File
	err := together(file, p.buildNames(ctx), p.buildTables(ctx), p.buildShaping(ctx), p.buildDNSBL(ctx))
	if p.tables != nil {
		err = together(file, err, p.buildPeople(ctx))
	}
	if p.tables != nil && p.resolver != nil {
		err = together(file, err, p.buildAgents(ctx))
	}
	if err == nil {
		err = p.buildPolicies(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// openPlan builds the first plan.
func (n *Node) openPlan(ctx context.Context, cfg *config.Config) error {
	p, err := n.newPlan(ctx, cfg)
	if err != nil {
		return err
	}
	n.swap(p)
	return errors.Join(n.dnsbl.Configure(p.lists), n.queue.Configure(queuePolicy(cfg), queueLimits(cfg), p.shaping))
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
func (p *plan) buildNames(ctx context.Context) (err error) {
	c := p.cfg
	var problems problems
	if p.cert, err = openCert(c, p.node.log); err != nil && c.TLS.Certificate.Source != "files" {
		return err
	}
	problems.add(c, "tls.certificate", err)
	p.resolver, err = dns.New(dns.Config{Servers: c.DNS.Servers, Trusted: c.DNS.Trusted, Anchors: c.DNS.Anchors,
		Exchange: p.node.options.Exchange, Log: p.node.log})
	problems.add(c, "dns", err)
	if err := problems.err(p.node.options.File); err != nil {
		return err
	}
	p.tls = p.cert.Config()
	if c.DNS.Validate != "off" && c.TLSPolicy.DANE {
		p.names = newNames(p.resolver, c.DNS.Validate == "on", p.node.log)
	}
	return nil
}

// buildAgents makes what moves mail.
func (p *plan) buildAgents(context.Context) (err error) {
	n, c := p.node, p.cfg
	p.local = local.New(local.Config{Store: n.store, Directory: p.people, Forward: n.queue, Runner: runner{n},
		Ledger: local.NewLedger(n.kv), SRS: p.srs, Separator: separator(c), Trace: n.trace, Log: n.log})
	p.files = file.New(runner{n}, c.Helper.User)
	var problems problems
	all := pipes(c)
	for i := range all {
		_, err := pipe.New(runner{n}, all[i:i+1])
		problems.add(c, fmt.Sprintf("pipe[%d]", i), err)
	}
	if err := problems.err(n.options.File); err != nil {
		return err
	}
	p.pipes, err = pipe.New(runner{n}, all)
	p.remote = remote.New(p.remoteConfig())
	return err
}

// remoteConfig returns what the agent for other hosts goes by.
func (p *plan) remoteConfig() remote.Config {
	n, c := p.node, p.cfg
	r := remote.Config{Hostname: c.Hostname, Resolver: p.resolver, Port: c.Remote.Port, OwnAddresses: ownAddresses(c),
		Dial: n.options.Dial, Timeouts: remote.Timeouts{Connect: c.Remote.Connect.D()}, Log: n.log, Trace: n.trace}
	if n.options.Dial == nil && c.Remote.Source.IsValid() {
		r.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialFrom(ctx, c.Remote.Source, network, address)
		}
		r.DialFrom = dialFrom
	}
	if len(p.tlsPolicies) > 0 {
		r.Policies = p.tlsPolicies
	}
	if p.names != nil {
		r.DANE = p.names
	}
	if c.TLSPolicy.MTASTS {
		r.MTASTS = n.mtasts
	}
	if n.tlsCounts != nil {
		r.TLSReports = n.tlsCounts
	}
	return r
}

// dialFrom opens a connection that leaves from an address of ours.
func dialFrom(ctx context.Context, source netip.Addr, network, address string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: source.AsSlice()}}
	return d.DialContext(ctx, network, address)
}

// ownAddresses returns where we take mail from other hosts, so that a loop is seen.
func ownAddresses(c *config.Config) []netip.AddrPort {
	var all []netip.AddrPort
	for _, l := range c.Listen {
		if l.Service != "mx" {
			continue
		}
		host, port, err := net.SplitHostPort(l.Address)
		number, err2 := strconv.ParseUint(port, 10, 16)
		if err != nil || err2 != nil || number == 0 {
			continue
		}
		ip := netip.IPv6Unspecified()
		if host != "" {
			if ip, err = netip.ParseAddr(host); err != nil {
				continue
			}
		}
		all = append(all, netip.AddrPortFrom(ip, uint16(number)))
	}
	return all
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
	cfg := inbound.Config{Hostname: c.Hostname, Domain: c.LocalDomain(), Directory: p.people, Local: p.local, Queue: n.queue,
		Checks:   p.checks(),
		Names:    p.resolver,
		Rewriter: p.rewriter,
		Trusted:  c.Relay.Networks, Relays: access.Relay{Domains: p.relayDomains}, Recipients: p.relayRecipients, Separator: separator(c),
		Ways: p, NullClient: p.routes.NullClient(),
		Trace: n.trace, Log: n.log}
	if p.rules != nil {
		cfg.Rules = p.rules
	}
	filtering, err := p.filtering()
	if err == nil {
		p.milters, err = sessionMilters(c, n.log)
	}
	if err != nil {
		return err
	}
	cfg.Filtering = filtering
	readers, err := n.reportReaders(c)
	if err != nil {
		return err
	}
	cfg.Readers = readers
	if c.Relay.Verify == "call-ahead" {
		cfg.Verifier = inbound.NewVerifier(inbound.VerifierConfig{KV: n.kv, Prober: p, Defer: c.Relay.Unverified == "defer", Log: n.log})
	}
	p.inbound = inbound.New(cfg)
	outgoing, err := p.submitFiltering()
	disclaimers, errTexts := readDisclaimers(c, n.options.File)
	if err = together(n.options.File, err, errTexts); err != nil {
		return err
	}
	p.submit = submit.New(submit.Config{Hostname: c.Hostname, Domain: c.LocalDomain(), Owners: p.people, Queue: n.queue,
		Directory: p.people, Local: p.local, Rewriter: p.rewriter, Signer: n.dkim, Filtering: outgoing,
		Outflow: n.outflow, Disclaimers: disclaimers, Trace: n.trace, MaxRecipients: c.SMTP.MaxRecipients})
	return nil
}
