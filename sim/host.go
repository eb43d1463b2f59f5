package sim

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"

	"posthaste/admin"
	"posthaste/config"
	"posthaste/directory"
	"posthaste/kv"
	"posthaste/mail"
	"posthaste/node"
	"posthaste/queue"
)

// Password is that of every account.
const Password = "correct horse battery"

// resolver is the address at which every machine finds the DNS.
const resolver = "192.0.2.253:53"

// A Host is a machine that runs a node. Its methods are for one goroutine, that of the test, where they
// do not say otherwise.
type Host struct {
	Name   string // of the host, such as "mx.north.test"
	IP     netip.Addr
	Config *config.Config // may be changed before Start

	world    *World
	disk     *disk
	mount    *mount
	node     *node.Node
	store    kv.Store
	stop     context.CancelFunc
	stopped  chan struct{}
	starts   int
	data     string
	deafness atomic.Bool  // its resolver does not answer
	ahead    atomic.Int64 // nanoseconds by which the clock of its queue is wrong
	dead     *atomic.Bool
}

// Host adds a machine with a node, which serves "mx", "lmtp", "submission", "imap" and "pop3" once it is
// started. Its name stands in the DNS.
func (w *World) Host(name string) *Host {
	h := &Host{Name: name, IP: w.address(), world: w, disk: newDisk(w.Rand(uint64(100 + len(w.hosts))))}
	w.hosts = append(w.hosts, h)
	w.DNS.Host(name, h.IP.String())
	c := config.Default()
	c.Hostname = name
	c.TLS.PlaintextAuth = true
	c.DNS.Servers = []string{resolver}
	c.SMTP.LMTPNetworks = []netip.Prefix{netip.PrefixFrom(client, 32)}
	for service := range ports {
		c.Listen = append(c.Listen, config.Listen{Service: service, Address: h.Address(service)})
	}
	h.Config = c
	return h
}

// Domain makes the host serve a domain with accounts, and be its MX at preference 10. The host runs.
func (h *Host) Domain(domain string, users ...string) {
	h.world.t.Helper()
	h.world.DNS.MX(domain, 10, h.Name)
	_, err := h.node.Admin().AddDomain(background(), admin.DomainRequest{Name: domain})
	h.world.must(err, "add domain %s", domain)
	for _, user := range users {
		account, err := h.node.Admin().AddAccount(background(), admin.AccountRequest{Address: user + "@" + domain, Password: Password})
		h.world.must(err, "add account %s@%s", user, domain)
		h.cheapPassword(account.ID)
	}
}

// cheapPassword sets the password of an account in a form that costs little to check: there are many
// logins in days of virtual time.
func (h *Host) cheapPassword(id mail.AccountID) {
	salt := []byte("saltsalt")
	key := argon2.IDKey([]byte(Password), salt, 1, 8, 1, 32)
	hash := fmt.Sprintf("$argon2id$v=%d$m=8,t=1,p=1$%s$%s", argon2.Version,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key))
	d := directory.New(h.store, directory.Config{})
	defer d.Close()
	h.world.must(d.SetCredentials(background(), id, directory.Credentials{Hash: hash, Set: time.Now()}), "set a password")
}

// Backup makes the host a backup MX for a domain, at preference 20. The host runs.
func (h *Host) Backup(domain string) {
	h.world.t.Helper()
	h.world.DNS.MX(domain, 20, h.Name)
	_, err := h.node.Admin().AddDomain(background(), admin.DomainRequest{Name: domain, Relay: true})
	h.world.must(err, "add relay domain %s", domain)
}

// Alias sends mail for an address of the host's to others. They are nobody's recipients but by way of
// this alias, so that the ledger knows whose copy is whose.
func (h *Host) Alias(address string, targets ...string) {
	h.world.t.Helper()
	_, err := h.node.Admin().AddAlias(background(), admin.AliasRequest{Address: address, Targets: targets})
	h.world.must(err, "add alias %s", address)
	h.world.Ledger.alias(address, targets)
}

// Admin returns the administrative operations of the node that runs.
func (h *Host) Admin() *admin.Admin { return h.node.Admin() }

// Running tells whether the host has power.
func (h *Host) Running() bool { return h.node != nil }

// SetDNS says whether the host's resolver answers.
func (h *Host) SetDNS(works bool) { h.deafness.Store(!works) }

// SetFull says whether the host's disk is full.
func (h *Host) SetFull(full bool) { h.disk.full.Store(full) }

// Start runs the node on what is on the disk and returns once it accepts connections.
func (h *Host) Start() {
	w := h.world
	w.t.Helper()
	dead := new(atomic.Bool)
	h.dead = dead
	store, err := h.disk.open(func(err error) {
		if !dead.Load() {
			w.t.Errorf("%s: fatal: %v", h.Name, err)
		}
	})
	w.must(err, "open the store of %s", h.Name)
	h.store = store
	h.mount = &mount{Store: h.disk.blobs}
	h.data = w.t.TempDir() // certificate and spool, which need not survive
	c, err := h.reread()
	w.must(err, "configure %s", h.Name)
	h.node, err = node.Open(background(), c, w.log.With("host", h.Name), node.Options{
		InProcess: true, FreeSpace: h.disk.free, KV: store, Blobs: h.mount,
		Listen: func(_, address string) (net.Listener, error) { return w.Net.Listen(address) },
		Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
			return w.Net.Dial(ctx, h.IP, address)
		},
		Exchange: h.exchange, Clock: h.clock, Reread: h.reread,
	})
	w.must(err, "open the node of %s", h.Name)
	w.Net.powerOn(h.IP)
	h.starts++
	ctx, stop := context.WithCancel(background())
	ready, stopped := make(chan struct{}), make(chan struct{})
	h.stop, h.stopped = stop, stopped
	n := h.node
	w.running.Go(func() {
		defer close(stopped)
		if err := n.Run(ctx, func() { close(ready) }); err != nil && !dead.Load() {
			w.t.Errorf("%s ended: %v", h.Name, err)
		}
	})
	select {
	case <-ready:
	case <-stopped:
		w.t.Fatalf("%s did not start", h.Name)
	}
}

// exchange asks the DNS of the world, if it answers us.
func (h *Host) exchange(ctx context.Context, network, server string, query []byte) ([]byte, error) {
	if h.deafness.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return h.world.DNS.Exchange(ctx, network, server, query)
}

// clock is the wall clock of the queue.
func (h *Host) clock() time.Time { return time.Now().Round(0).Add(time.Duration(h.ahead.Load())) }

// SetClock makes the clock by which the queue tells what is due wrong by that much, now and after
// restarts. Sessions stamp what comes with the right time: where nothing but the hour is asked for, a
// bubble of synctest has one clock.
func (h *Host) SetClock(ahead time.Duration) { h.ahead.Store(int64(ahead)) }

// reread returns the configuration anew.
func (h *Host) reread() (*config.Config, error) {
	c := *h.Config
	c.Data = h.data
	return &c, nil
}

// Reload has the node that runs take over what stands in h.Config, as a whole or not at all.
func (h *Host) Reload() error { return h.node.Reload(background()) }

// Crash takes the power away: from one moment to the next nothing leaves the machine, and what was not
// synced is lost.
func (h *Host) Crash() {
	if h.node == nil {
		return
	}
	h.world.crashes++
	h.dead.Store(true)
	h.mount.over.Store(true)
	h.world.Net.powerOff(h.IP) // before the disk: what was promised on the network is on it
	h.disk.crash()
	h.stop() // the code that ran goes on for a while, in a world that nobody sees
	h.node = nil
}

// Stop ends the node as SIGTERM does, and waits for it.
func (h *Host) Stop() {
	if h.node == nil {
		return
	}
	h.stop()
	<-h.stopped
	h.node = nil
}

// Queue returns what is in the queue of the host; nothing while it has no power.
func (h *Host) Queue() []*queue.Entry {
	if h.node == nil {
		return nil
	}
	var entries []*queue.Entry
	for e, err := range h.node.Admin().QueueList(background(), admin.QueueRequest{}) {
		h.world.must(err, "list the queue of %s", h.Name)
		entries = append(entries, e)
	}
	return entries
}

// ports are those of the services of a host.
var ports = map[string]int{"mx": 25, "lmtp": 24, "submission": 587, "imap": 143, "pop3": 110}

// Address returns the address of a service for [Network.Dial]. Any goroutine may ask.
func (h *Host) Address(service string) string { return fmt.Sprintf("%s:%d", h.IP, ports[service]) }

// Outage takes the power away for some time.
func (h *Host) Outage(d time.Duration) {
	h.Crash()
	time.Sleep(d)
	h.Start()
}

// WatchMail calls f, which must not block, when something changes in an account, until cancel.
func (h *Host) WatchMail(address string, f func()) (cancel func()) {
	for account, err := range h.Admin().Accounts(background(), admin.DomainRequest{}) {
		h.world.must(err, "list the accounts of %s", h.Name)
		if account.Address.String() == address {
			return h.store.Watch(kv.Partition("account/"+account.ID.String()), func(kv.Version) { f() })
		}
	}
	h.world.t.Fatalf("%s has no account %s", h.Name, address)
	return nil
}
