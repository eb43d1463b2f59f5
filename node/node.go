// Package node builds a running node from its configuration, top to bottom: the store, the parts that
// work on it, and a server for each listener. It is the only package that sees the whole configuration
// and knows which drivers are in use.
//
// [Open] builds the parts, which is enough to administer a data directory; [Node.Run] opens the
// listeners, gives up what root was needed for, and serves until its context ends.
package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"posthaste/admin"
	"posthaste/auth"
	"posthaste/blob"
	"posthaste/cert"
	"posthaste/config"
	"posthaste/deliver/local"
	"posthaste/deliver/remote"
	"posthaste/directory"
	"posthaste/dns"
	"posthaste/inbound"
	"posthaste/kv"
	"posthaste/popd"
	"posthaste/queue"
	"posthaste/smtpd"
	"posthaste/store"
	"posthaste/submit"
	"posthaste/trace"
)

// spoolName is the folder of large messages on their way in; its files are unlinked while open.
const spoolName = "spool"

// Options are what tests and the demo set; the zero Options are those of a real server.
type Options struct {
	// FreeSpace, where set, says how many bytes are free on the disk of the data directory.
	FreeSpace func() (uint64, error)
	// InProcess says that other nodes live in this process: privileges stay as they are.
	InProcess bool

	// What follows puts other parts in place of real ones, for simulations. The node closes KV.
	KV    kv.Store
	Blobs blob.Store
	// Listen opens listeners in place of net.Listen; then there is no admin socket either.
	Listen   func(network, address string) (net.Listener, error)
	Dial     remote.Dial
	Exchange dns.Exchange
}

// A Node is one node. Open it, then Run or Close it.
type Node struct {
	cfg     *config.Config
	options Options
	log     *slog.Logger
	lock    *os.File

	kv        kv.Store
	number    uint16        // of this node in kv
	lease     time.Duration // of the queue; 0 where no other node can reach kv
	blobs     blob.Store
	directory *directory.Directory
	auth      *auth.Auth
	guesses   *auth.Guesses
	store     *store.Store
	trace     *trace.Log
	queue     *queue.Queue
	resolver  *dns.Resolver
	remote    *remote.Agent
	local     *local.Agent
	inbound   *inbound.Policy
	locks     *popd.Locks
	submit    *submit.Submitter
	cert      *cert.Source
	tls       *tls.Config
	admin     *admin.Admin

	mu        sync.Mutex        // guards what follows
	addresses map[string]string // of services, once Run listens
}

// Open locks the data directory and builds all parts. Close or Run frees it again.
func Open(ctx context.Context, cfg *config.Config, log *slog.Logger, options Options) (*Node, error) {
	n := &Node{cfg: cfg, log: log, options: options, addresses: map[string]string{}}
	for _, build := range []func(context.Context) error{n.openStore, n.buildParts, n.buildAgents} {
		if err := build(ctx); err != nil {
			return nil, errors.Join(err, n.Close())
		}
	}
	return n, nil
}

// Close frees the data directory.
func (n *Node) Close() error {
	var errs []error
	if n.remote != nil {
		n.remote.Close()
	}
	if n.trace != nil {
		if err := n.trace.Flush(context.Background()); err != nil {
			n.log.Warn("the last moments of the trace are lost", "err", err)
		}
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	if n.directory != nil {
		n.directory.Close()
	}
	if n.kv != nil {
		errs = append(errs, n.kv.Close())
	}
	if n.lock != nil {
		errs = append(errs, n.lock.Close())
	}
	return errors.Join(errs...)
}

// Admin returns the administrative operations.
func (n *Node) Admin() *admin.Admin { return n.admin }

// Trace returns the flight recorder.
func (n *Node) Trace() *trace.Log { return n.trace }

// Address returns where the first listener of a service listens, once Run is ready.
func (n *Node) Address(service string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.addresses[service]
}

// openStore opens what keeps state.
func (n *Node) openStore(ctx context.Context) (err error) {
	if n.lock, err = lockData(n.cfg.Data); err != nil {
		return err
	}
	if err = n.openKV(ctx); err != nil {
		return err
	}
	if n.blobs, err = openBlobs(n.cfg, n.options); err != nil {
		return err
	}
	spool := filepath.Join(n.cfg.Data, spoolName)
	return errors.Join(os.MkdirAll(spool, 0o700), smtpd.CleanSpool(spool))
}

// buildParts makes what works on the store and talks to nobody.
func (n *Node) buildParts(context.Context) (err error) {
	n.trace = trace.New(trace.Config{KV: n.kv, Node: n.cfg.Hostname, ID: n.number,
		Keep: n.cfg.Trace.Keep.D(), Max: int64(n.cfg.Trace.Max), Log: n.log})
	separator := byte(0)
	if n.cfg.Account.Separator != "" {
		separator = n.cfg.Account.Separator[0]
	}
	n.directory = directory.New(n.kv, directory.Config{Separator: separator, DefaultDomain: n.cfg.LocalDomain()})
	if n.cert, err = openCert(n.cfg, n.log); err != nil {
		return err
	}
	n.tls = n.cert.Config()
	n.auth = auth.New(auth.Config{Directory: n.directory, Certificate: n.certificateOf})
	n.guesses = &auth.Guesses{Exempt: n.cfg.Limits.Exempt}
	n.store, err = store.New(store.Config{KV: n.kv, Blobs: n.blobs, Log: n.log, CacheBytes: 4 * int64(n.cfg.Store.Cache)})
	return err
}

// buildAgents makes what moves mail.
func (n *Node) buildAgents(context.Context) (err error) {
	c := n.cfg
	if n.resolver, err = dns.New(dns.Config{Servers: c.DNS.Servers, Exchange: n.options.Exchange, Log: n.log}); err != nil {
		return err
	}
	n.queue = queue.New(queue.Config{
		KV: n.kv, Blobs: n.blobs, Hostname: c.Hostname, Node: n.number, Lease: n.lease, Log: n.log, Trace: n.trace,
		Policy: queue.Policy{First: c.Queue.Retry.D(), Max: c.Queue.RetryMax.D(), Expire: c.Queue.Expire.D(), Warn: c.Queue.DelayWarning.D()},
		Limits: queue.Limits{Jobs: c.Remote.Connections, Destination: c.Queue.Concurrency},
	})
	n.remote = remote.New(remote.Config{Hostname: c.Hostname, Resolver: n.resolver, Port: c.Remote.Port,
		Dial: n.dial(), Timeouts: remote.Timeouts{Connect: c.Remote.Connect.D()}, Log: n.log, Trace: n.trace})
	n.local = local.New(local.Config{Store: n.store, Directory: n.directory, Forward: n.queue, Trace: n.trace, Log: n.log})
	n.inbound = inbound.New(inbound.Config{Hostname: c.Hostname, Domain: c.LocalDomain(), Directory: n.directory, Local: n.local, Queue: n.queue,
		Checks: []inbound.Check{inbound.Iprev{Resolver: n.resolver, Loopback: n.options.InProcess}, inbound.Helo{Hostname: c.Hostname, Loopback: n.options.InProcess}}, Trace: n.trace, Log: n.log})
	n.submit = submit.New(submit.Config{Hostname: c.Hostname, Domain: c.LocalDomain(), Owners: n.directory, Queue: n.queue, Directory: n.directory, Local: n.local, MaxRecipients: c.SMTP.MaxRecipients})
	n.locks = popd.NewLocks()
	n.admin = admin.New(admin.Config{Directory: n.directory, Auth: n.auth, Store: n.store, Queue: n.queue, Trace: n.trace,
		Quota: int64(c.Account.Quota), Hostname: c.Hostname, Log: n.log})
	return nil
}

// Run serves until ctx ends, then drains what it serves and frees the data directory. ready is called
// when every listener accepts.
func (n *Node) Run(ctx context.Context, ready func()) (err error) {
	defer func() { err = errors.Join(err, n.Close()) }()
	listeners, err := listen(n.cfg.Listen, n.options.Listen)
	if err != nil {
		return err
	}
	var socket net.Listener
	if n.options.Listen == nil {
		socket, err = admin.Listen(n.cfg.Data)
	}
	if err == nil {
		err = n.giveUpRoot()
	}
	var servers []server
	if err == nil {
		servers, err = n.servers()
	}
	if err != nil {
		for _, ln := range listeners {
			ln.Close()
		}
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	// What keeps records ends after what makes them.
	records, stopRecords := context.WithCancel(context.WithoutCancel(ctx))
	var recording sync.WaitGroup
	recording.Go(func() { n.trace.Run(records) })
	defer recording.Wait()
	defer stopRecords()

	if !n.options.InProcess {
		group.Go(func() error { return KeepMemory(ctx) })
	}
	group.Go(func() error { return n.store.Run(ctx) })
	group.Go(func() error { return n.queue.Run(ctx, router{n.directory, n.remote}, n.agents()) })
	if socket != nil {
		group.Go(func() error { return n.serveAdmin(ctx, socket) })
	}
	for i, l := range n.cfg.Listen {
		ln := listeners[i]
		n.note(l.Service, ln.Addr().String())
		n.log.Info("listening", "service", l.Service, "address", ln.Addr().String())
		group.Go(func() error { return servers[i].Serve(ctx, ln) })
	}
	ready()
	return group.Wait()
}

func (n *Node) note(service, address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.addresses[service] == "" {
		n.addresses[service] = address
	}
}

// giveUpRoot becomes the configured user and confines the process to its files.
func (n *Node) giveUpRoot() error {
	if n.options.InProcess {
		return nil
	}
	if err := becomeUser(n.cfg.User, n.cfg.Data, n.log); err != nil {
		return err
	}
	confine(n.cfg, n.log)
	return nil
}

// dial returns the Dial of the options, or else one that leaves from the configured source; nil, the
// default, where that is unset.
func (n *Node) dial() remote.Dial {
	source := n.cfg.Remote.Source
	if n.options.Dial != nil {
		return n.options.Dial
	}
	if !source.IsValid() {
		return nil
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: source.AsSlice()}}
	return d.DialContext
}

func openCert(c *config.Config, log *slog.Logger) (*cert.Source, error) {
	if c.TLS.Certificate.Source == "files" {
		return cert.Files(c.TLS.Certificate.Cert, c.TLS.Certificate.Key, log)
	}
	source, err := cert.SelfSigned(filepath.Join(c.Data, "cert"), []string{c.Hostname}, log)
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	return source, nil
}
