// Package node builds a running node from its configuration, top to bottom: the store, the parts that
// work on it, and a server for each listener. It is the only package that sees the whole configuration
// and knows which drivers are in use.
//
// [Open] builds the parts, which is enough to administer a data directory; [Node.Run] opens the
// listeners, gives up what root was needed for, and serves until its context ends.
//
// What keeps state is there once. All else that goes by the configuration is a plan, which
// [Node.Reload] builds afresh beside the running one and puts in its place: sessions and deliveries that
// have begun end under the plan that they began with.
package node

import (
	"context"
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
	"posthaste/auth/ban"
	"posthaste/blob"
	"posthaste/cert"
	"posthaste/config"
	"posthaste/deliver/remote"
	"posthaste/deliver/remote/mtasts"
	"posthaste/deliver/remote/tlsrpt"
	"posthaste/directory"
	"posthaste/dns"
	"posthaste/filter/dlp"
	"posthaste/helper"
	"posthaste/kv"
	"posthaste/popd"
	"posthaste/queue"
	"posthaste/smtp"
	"posthaste/smtpd"
	"posthaste/store"
	"posthaste/submit"
	"posthaste/trace"
	"posthaste/wire"
)

// spoolName is the folder of large messages on their way in; its files are unlinked while open.
const spoolName = "spool"

// Options are what tests and the demo set; the zero Options are those of a real server.
type Options struct {
	// Reread returns the configuration anew for [Node.Reload]. Nil: it cannot be reloaded.
	Reread func() (*config.Config, error)
	// File is the configuration file, which must stay readable for Reread.
	File string
	// Reloaded, where set, hears of a configuration that came into force.
	Reloaded func(*config.Config)

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
	// Clock is that of the wall by which the queue tells what is due.
	Clock func() time.Time
}

// A Node is one node. Open it, then Run or Close it.
type Node struct {
	options Options
	log     *slog.Logger
	lock    *os.File

	kv        kv.Store
	number    uint16        // of this node in kv
	lease     time.Duration // of the queue; 0 where no other node can reach kv
	blobs     blob.Store
	directory *directory.Directory
	auth      *auth.Auth
	bans      *ban.Bans
	visitors  *smtpd.Visitors
	store     *store.Store
	trace     *trace.Log
	queue     *queue.Queue
	locks     *popd.Locks
	mtasts    *mtasts.Cache
	tlsCounts *tlsrpt.Collector // nil where nobody is to be told
	tlsInbox  *tlsrpt.Inbox
	admin     *admin.Admin

	trusting // what authenticates and judges mail

	reloading sync.Mutex // one reload at a time; held before mu
	serving   *serving   // what Run runs; guarded by reloading, nil while Run does not serve

	mu        sync.Mutex // guards what follows
	plan      *plan
	helper    *helper.Helper    // nil where the configuration asks for none
	addresses map[string]string // of services, once Run listens
}

// Open locks the data directory and builds all parts. Close or Run frees it again.
func Open(ctx context.Context, cfg *config.Config, log *slog.Logger, options Options) (*Node, error) {
	n := &Node{log: log, options: options, addresses: map[string]string{}}
	for _, build := range []func(context.Context, *config.Config) error{n.openStore, n.buildParts, n.openPlan} {
		if err := build(ctx, cfg); err != nil {
			return nil, errors.Join(err, n.Close())
		}
	}
	return n, nil
}

// Close frees the data directory.
func (n *Node) Close() error {
	var errs []error
	if p := n.swap(nil); p != nil {
		p.release()
	}
	if n.helper != nil {
		errs = append(errs, n.helper.Close())
	}
	if n.trace != nil {
		if err := n.trace.Flush(context.Background()); err != nil {
			n.log.Warn("the last moments of the trace are lost", "err", err)
		}
	}
	if n.classifier != nil {
		if err := n.classifier.Flush(context.Background()); err != nil {
			n.log.Warn("what the spam classifier learned last is lost", "err", err)
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
func (n *Node) openStore(ctx context.Context, cfg *config.Config) (err error) {
	if n.lock, err = lockData(cfg.Data); err != nil {
		return err
	}
	if err = n.openKV(ctx, cfg); err != nil {
		return err
	}
	if n.blobs, err = openBlobs(cfg, n.options); err != nil {
		return err
	}
	spool := filepath.Join(cfg.Data, spoolName)
	return errors.Join(os.MkdirAll(spool, 0o700), smtpd.CleanSpool(spool))
}

// buildParts makes what works on the store and is there once.
func (n *Node) buildParts(ctx context.Context, c *config.Config) (err error) {
	n.trace = trace.New(trace.Config{KV: n.kv, Node: c.Hostname, ID: n.number,
		Keep: c.Trace.Keep.D(), Max: int64(c.Trace.Max), Log: n.log})
	n.directory = directory.New(n.kv, directory.Config{Separator: separator(c), DefaultDomain: c.LocalDomain()})
	n.auth = auth.New(auth.Config{Directory: n.directory, Certificate: n.certificateOf})
	n.visitors = new(smtpd.Visitors)
	if err = n.openBans(ctx, c); err != nil {
		return err
	}
	n.openOutflow(c)
	n.openGreylist(c)
	n.buildLearning(c)
	n.store, err = store.New(store.Config{KV: n.kv, Blobs: n.blobs, Log: n.log, CacheBytes: 4 * int64(c.Store.Cache), Refiled: n.learner.Refiled})
	if err != nil {
		return err
	}
	n.buildTrust(c)
	n.queue = queue.New(queue.Config{
		KV: n.kv, Blobs: n.blobs, Hostname: c.Hostname, Node: n.number, Lease: n.lease, Log: n.log, Trace: n.trace, Clock: n.options.Clock,
		Policy: queuePolicy(c), Limits: queueLimits(c), Sign: n.signReport(c.Hostname, c.LocalDomain()),
	})
	n.locks = popd.NewLocks()
	n.mtasts = mtasts.New(mtasts.Config{Store: n.kv, Resolver: presentNames{n}, Dial: n.options.Dial, Log: n.log})
	n.tlsInbox = tlsrpt.NewInbox(n.kv)
	if c.TLSRPT.From != "" {
		from, err := smtp.ParseAddress(c.TLSRPT.From)
		if err != nil {
			return &config.Error{File: n.options.File, Problems: []config.Problem{c.Problem("tlsrpt.from", "%v", err)}}
		}
		n.tlsCounts = tlsrpt.New(tlsrpt.Config{From: from, Contact: c.TLSRPT.Contact, Organization: c.TLSRPT.Organization,
			Hostname: c.Hostname, Store: n.kv, Queue: submit.Signed{Queue: n.queue, Signer: n.dkim}, Resolver: presentNames{n}, Log: n.log})
	}
	n.quarantine, n.documents = n.newQuarantine(c), dlp.NewRegistry(n.kv)
	if err := n.openReports(c); err != nil {
		return err
	}
	n.admin = admin.New(admin.Config{Directory: n.directory, Auth: n.auth, Store: n.store, Queue: n.queue, Trace: n.trace,
		Quota: int64(c.Account.Quota), Hostname: c.Hostname, TLSReports: n.tlsInbox, DKIM: n.dkim, Quarantine: n.quarantine,
		DNSBL: n.dnsbl, Documents: n.documents, Bans: n.bans, Greylist: n.greylist, Reports: n.keptReports(), Spam: n.classifier, Correspondents: n.book, Log: n.log,
		Reload: n.Reload, Explain: n.explain})
	return nil
}

// separator returns the character between user and detail in addresses, or 0 where there is none.
func separator(c *config.Config) byte {
	if c.Account.Separator == "" {
		return 0
	}
	return c.Account.Separator[0]
}

func queuePolicy(c *config.Config) queue.Policy {
	return queue.Policy{First: c.Queue.Retry.D(), Max: c.Queue.RetryMax.D(), Expire: c.Queue.Expire.D(), Warn: c.Queue.DelayWarning.D()}
}

func queueLimits(c *config.Config) queue.Limits {
	return queue.Limits{Jobs: c.Remote.Connections, Destination: c.Queue.Concurrency, Window: c.Queue.Window,
		Small: int64(c.Queue.Small), ContentBytes: int64(c.Queue.Content), Batch: c.Queue.Batch}
}

// Run serves until ctx ends, then drains what it serves and frees the data directory. ready is called
// when every listener accepts.
func (n *Node) Run(ctx context.Context, ready func()) (err error) {
	defer func() { err = errors.Join(err, n.Close()) }()
	p := n.present()
	defer p.release()
	s := &serving{listeners: map[string]*wire.Handover{}}
	opened, err := n.open(p.cfg.Listen, s.listeners)
	if err != nil {
		return err
	}
	var socket net.Listener
	if n.options.Listen == nil {
		socket, err = admin.Listen(p.cfg.Data)
	}
	if err == nil {
		err = n.startHelper(p.cfg)
	}
	if err == nil {
		err = prepareDrop(p.cfg)
	}
	if err == nil {
		err = n.giveUpRoot(p)
	}
	var servers []server
	if err == nil {
		servers, err = n.servers(p)
	}
	if err != nil {
		return errors.Join(err, opened.close())
	}
	s.group, s.ctx = errgroup.WithContext(ctx)
	ctx = s.ctx
	// What keeps records ends after what makes them.
	records, stopRecords := context.WithCancel(context.WithoutCancel(ctx))
	var recording sync.WaitGroup
	recording.Go(func() { n.trace.Run(records) })
	defer recording.Wait()
	defer stopRecords()

	if !n.options.InProcess {
		s.group.Go(func() error { return KeepMemory(ctx) })
	}
	s.group.Go(func() error { return n.store.Run(ctx) })
	s.group.Go(func() error { return n.mtasts.Run(ctx) })
	n.runTrust(ctx, s.group)
	s.group.Go(func() error { return n.bans.Run(ctx) })
	if n.tlsCounts != nil {
		s.group.Go(func() error { return n.tlsCounts.Run(ctx) })
	}
	n.runReports(ctx, s.group)
	if p.cfg.Drop.Enabled {
		s.group.Go(func() error { return n.picker(p.cfg).Run(ctx) })
	}
	s.group.Go(func() error { return n.queue.Run(ctx, router{n}, n.agents()) })
	if socket != nil {
		s.group.Go(func() error { return n.serveAdmin(ctx, socket) })
	}
	n.serve(s, p, opened, servers)
	n.setServing(s)
	defer n.setServing(nil)
	ready()
	return s.group.Wait()
}

func (n *Node) note(service, address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.addresses[service] == "" {
		n.addresses[service] = address
	}
}

// giveUpRoot becomes the configured user and confines the process to its files.
func (n *Node) giveUpRoot(p *plan) error {
	if n.options.InProcess {
		return nil
	}
	files := append(configuredFiles(p.cfg, n.options.File), p.included()...)
	if err := becomeUser(p.cfg.User, p.cfg.Data, n.log); err != nil {
		return err
	}
	confine(p.cfg, files, n.log)
	return nil
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
