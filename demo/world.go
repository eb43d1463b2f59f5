package demo

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"posthaste/admin"
	"posthaste/cert"
	"posthaste/config"
	"posthaste/dns/dnstest"
	"posthaste/node"
)

// The people of the story. Passwords are for loopback only.
const (
	ann      = "ann@north.test"
	bob      = "bob@south.test"
	password = "posthaste"
)

// retry is how soon a node of the story tries again.
const retry = 2 * time.Second

// A host is one node of the story.
type host struct {
	name    string // of its mail host
	ip      string
	domain  string // that it serves, or is the backup of
	relay   bool
	freeing atomic.Bool // its disk is full while this is false and full is true
	full    bool

	cfg     *config.Config
	node    *node.Node
	stop    context.CancelFunc
	stopped chan error
}

// A world is everything the story needs.
type world struct {
	dir    string
	broken string
	teller *teller
	dns    *dnstest.Server
	caFile string
	ca     *cert.CA
	mxPort int

	north, south, backup *host
	running              sync.WaitGroup
}

func newWorld(ctx context.Context, dir, broken string, teller *teller) (*world, error) {
	w := &world{
		dir: dir, broken: broken, teller: teller,
		north:  &host{name: "mx.north.test", ip: "127.0.0.1", domain: "north.test"},
		south:  &host{name: "mx.south.test", ip: "127.0.0.2", domain: "south.test", full: broken == "tempfail"},
		backup: &host{name: "backup.south.test", ip: "127.0.0.3", domain: "south.test", relay: true},
	}
	err := w.prepare(ctx)
	for _, h := range w.hosts() {
		if err == nil {
			err = w.open(ctx, h)
		}
		if err == nil {
			err = w.populate(ctx, h)
		}
	}
	for _, h := range w.hosts() {
		if err != nil {
			break
		}
		if h == w.south && broken == "mx-down" {
			err = h.node.Close()
			h.node = nil
			continue
		}
		err = w.start(ctx, h)
	}
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *world) hosts() []*host { return []*host{w.north, w.south, w.backup} }

// prepare makes the name server, the certificate authority and the configurations.
func (w *world) prepare(ctx context.Context) (err error) {
	if w.mxPort, err = commonPort(w.north.ip, w.south.ip, w.backup.ip, strangerIP); err != nil {
		return err
	}
	if w.ca, err = cert.NewCA("Posthaste demo"); err != nil {
		return err
	}
	w.caFile = filepath.Join(w.dir, "ca.pem")
	if err := os.WriteFile(w.caFile, w.ca.PEM(), 0o644); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if err := w.serveDNS(ctx); err != nil {
		return err
	}
	for _, h := range w.hosts() {
		if h.cfg, err = w.configure(h); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) serveDNS(ctx context.Context) error {
	w.dns = dnstest.New()
	for _, h := range w.hosts() {
		w.dns.Host(h.name, h.ip)
	}
	w.dns.MX("north.test", 10, w.north.name)
	w.dns.MX("south.test", 10, w.south.name)
	w.dns.MX("south.test", 20, w.backup.name)
	w.dns.Host(strangerHost, strangerIP)
	for _, h := range []*host{w.north, w.south} {
		w.dns.TXT(h.domain, "v=spf1 ip4:"+h.ip+" -all")
		w.dns.TXT("_dmarc."+h.domain, "v=DMARC1; p=reject")
	}
	if err := w.dns.Listen("127.0.0.1:0"); err != nil {
		return fmt.Errorf("demo: name server: %w", err)
	}
	w.running.Go(func() { w.dns.Serve(ctx) })
	return nil
}

// configure writes the certificate of a host and returns the configuration of its node.
func (w *world) configure(h *host) (*config.Config, error) {
	issued, err := w.ca.Issue(h.name, "localhost", h.ip)
	if err != nil {
		return nil, err
	}
	chain, key, err := cert.EncodePEM(issued)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(w.dir, h.name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	c := config.Default()
	c.Hostname, c.Data = h.name, filepath.Join(dir, "data")
	c.TLS.Certificate = config.Certificate{Source: "files", Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	err = errors.Join(os.WriteFile(c.TLS.Certificate.Cert, chain, 0o600), os.WriteFile(c.TLS.Certificate.Key, key, 0o600))
	c.DNS.Servers = []string{w.dns.Address()}
	c.Remote.Port, c.Remote.Source = w.mxPort, netip.MustParseAddr(h.ip)
	c.Queue.Retry, c.Queue.RetryMax = config.Duration(retry), config.Duration(retry)
	c.Listen = []config.Listen{{Service: "mx", Address: net.JoinHostPort(h.ip, fmt.Sprint(w.mxPort))}}
	if !h.relay {
		for _, service := range []string{"submission", "submissions", "imap", "imaps", "pop3", "pop3s"} {
			c.Listen = append(c.Listen, config.Listen{Service: service, Address: h.ip + ":0"})
		}
	}
	return c, err
}

func (w *world) open(ctx context.Context, h *host) (err error) {
	log := slog.New(slog.DiscardHandler)
	options := node.Options{InProcess: true}
	if h.full {
		options.FreeSpace = func() (uint64, error) {
			if h.freeing.Load() {
				return 1 << 40, nil
			}
			return 0, nil
		}
	}
	h.node, err = node.Open(ctx, h.cfg, log, options)
	return err
}

// populate adds the domain and account of a host, and publishes the key that its mail is signed with.
func (w *world) populate(ctx context.Context, h *host) error {
	h.freeing.Store(true)
	defer h.freeing.Store(false)
	a := h.node.Admin()
	if _, err := a.AddDomain(ctx, admin.DomainRequest{Name: h.domain, Relay: h.relay}); err != nil {
		return err
	}
	if h.relay {
		return nil
	}
	for key, err := range a.AddDKIM(ctx, admin.DKIMRequest{Domain: h.domain, Algorithm: "ed25519", Force: true}) {
		if err != nil {
			return err
		}
		w.dns.TXT(key.Name, strings.Join(key.Strings, ""))
	}
	for _, address := range []string{ann, bob} {
		if address[len("ann@"):] != h.domain {
			continue
		}
		if _, err := a.AddAccount(ctx, admin.AccountRequest{Address: address, Password: password}); err != nil {
			return err
		}
	}
	return nil
}

// start runs the node of a host and has its trace told; it returns when all listeners accept.
func (w *world) start(ctx context.Context, h *host) error {
	if h.node == nil {
		if err := w.open(ctx, h); err != nil {
			return err
		}
	}
	h.node.Trace().Watch(w.teller.tell)
	ctx, h.stop = context.WithCancel(ctx)
	ready := make(chan struct{})
	h.stopped = make(chan error, 1)
	n := h.node
	w.running.Go(func() { h.stopped <- n.Run(ctx, func() { close(ready) }) })
	select {
	case <-ready:
		return nil
	case err := <-h.stopped:
		h.stopped <- nil
		return err
	}
}

// address returns where a service of the host listens.
func (h *host) address(service string) string { return h.node.Address(service) }

// clientTLS is what a mail program that trusts our certificate authority uses.
func (w *world) clientTLS(h *host) *tls.Config {
	return &tls.Config{RootCAs: w.ca.Pool(), ServerName: h.name, MinVersion: tls.VersionTLS12}
}

// flush has every node tell what it recorded.
func (w *world) flush(ctx context.Context) {
	for _, h := range w.hosts() {
		if h.node != nil && h.stop != nil {
			h.node.Trace().Flush(ctx)
		}
	}
}

func (w *world) close() error {
	var errs []error
	for _, h := range w.hosts() {
		switch {
		case h.stop != nil:
			h.stop()
			errs = append(errs, <-h.stopped)
		case h.node != nil:
			errs = append(errs, h.node.Close())
		}
	}
	return errors.Join(errs...)
}

// commonPort returns a TCP port that is free on every address.
func commonPort(ips ...string) (int, error) {
	const tries = 20
	for range tries {
		first, err := net.Listen("tcp", ips[0]+":0")
		if err != nil {
			return 0, fmt.Errorf("demo: %w", err)
		}
		port := first.Addr().(*net.TCPAddr).Port
		free := true
		for _, ip := range ips[1:] {
			ln, err := net.Listen("tcp", net.JoinHostPort(ip, fmt.Sprint(port)))
			if err != nil && !hasAddress(ip) {
				first.Close()
				return 0, fmt.Errorf("demo: this machine has no address %s: each mail host of the demo needs an address of its own in 127.0.0.0/8; on macOS run: sudo ifconfig lo0 alias %s", ip, ip)
			}
			if err != nil {
				free = false
				break
			}
			ln.Close()
		}
		first.Close()
		if free {
			return port, nil
		}
	}
	return 0, errors.New("demo: no TCP port is free on 127.0.0.1 to 127.0.0.4 at once")
}

func hasAddress(ip string) bool {
	ln, err := net.Listen("tcp", ip+":0")
	if err == nil {
		ln.Close()
	}
	return err == nil
}
