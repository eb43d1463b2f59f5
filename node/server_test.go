package node

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"posthaste/admin"
	"posthaste/auth/ban"
	"posthaste/blob/memblob"
	"posthaste/config"
	"posthaste/dns/dnstest"
	"posthaste/kv/memkv"
	"posthaste/store"
)

const password = "correct horse"

// startNode runs a node that serves north.test with the accounts ann, the first, and bob.
func startNode(t *testing.T, change func(*config.Config)) *Node {
	t.Helper()
	c := config.Default()
	c.Hostname, c.Data = "mx.north.test", t.TempDir()
	c.TLS.PlaintextAuth = true
	for _, service := range []string{"mx", "submission", "imap", "pop3"} {
		c.Listen = append(c.Listen, config.Listen{Service: service, Address: "127.0.0.1:0"})
	}
	if change != nil {
		change(c)
	}
	n, err := Open(t.Context(), c, slog.New(slog.DiscardHandler), Options{InProcess: true,
		KV: memkv.New(), Blobs: memblob.New(), Listen: net.Listen, Exchange: dnstest.New().Exchange})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Admin().AddDomain(t.Context(), admin.DomainRequest{Name: "north.test"}); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"ann@north.test", "bob@north.test"} {
		if _, err := n.Admin().AddAccount(t.Context(), admin.AccountRequest{Address: address, Password: password}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		if err := n.Run(ctx, func() { close(ready) }); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	<-ready
	return n
}

// talk sends text to a service of n and returns so many lines of what comes back, or with 0 all until
// the connection is closed.
func talk(t *testing.T, n *Node, service, text string, lines int) (output string) {
	t.Helper()
	nc, err := net.Dial("tcp", n.Address(service))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(nc, text)
	for r := bufio.NewReader(nc); ; {
		line, err := r.ReadString('\n')
		output += line
		if lines--; err == io.EOF && lines < 0 || err == nil && lines == 0 {
			return output
		}
		if err != nil {
			t.Fatalf("%s: %q, then %v", service, output, err)
		}
	}
}

// RFC 5321 section 4.5.1: <postmaster> without a domain reaches somebody.
func TestPostmasterWithoutDomain(t *testing.T) {
	for claim, domain := range map[string]string{"of the host's domain": "", "of the domain of the configuration": "north.test"} {
		n := startNode(t, func(c *config.Config) {
			if c.Domain = domain; domain != "" {
				c.Hostname = "mail.elsewhere.test"
			}
		})
		got := talk(t, n, "mx", "HELO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nDATA\r\nSubject: hello\r\n\r\n.\r\n", 6)
		if !strings.Contains(got, "\n354 ") || strings.Count(got, "\n250 2.0.0 ") != 1 {
			t.Errorf("%s: the message is answered %q", claim, got)
		}
		ann, err := n.directory.AccountByLogin(t.Context(), "ann") // a login without domain as well
		if err != nil {
			t.Fatal(err)
		}
		view, err := n.store.Account(ann.ID).View(t.Context(), store.Inbox)
		if err != nil || view.Len() != 1 {
			t.Errorf("%s: the first account has %d messages, %v", claim, view.Len(), err)
		}
	}
}

func TestBansHoldForAllServers(t *testing.T) {
	n := startNode(t, func(c *config.Config) { c.Limits.Exempt = nil })
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for range ban.DefaultRules.Limits[ban.WrongPassword] {
		n.bans.Gate(n.auth, netip.MustParseAddr("127.0.0.1")).Failed(over, 0)
	}
	for _, service := range []string{"mx", "submission", "imap", "pop3"} {
		if got := talk(t, n, service, "", 1); !strings.Contains(got, "too many failed logins from your address, come back after ") {
			t.Errorf("%s: %q", service, got)
		}
	}
}

func TestLimitsHoldForAllServers(t *testing.T) {
	n := startNode(t, func(c *config.Config) {
		c.Limits.SessionsPerIP = 1
		c.SMTP.ProxyNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		for i := range c.Listen {
			c.Listen[i].Proxy = true
		}
	})
	for service, refused := range map[string]string{"mx": "421 4.7.0 ", "submission": "421 4.7.0 ", "imap": "* BYE [UNAVAILABLE] ", "pop3": "-ERR [SYS/TEMP] "} {
		for _, c := range []struct {
			claim, ip string
			refused   bool
		}{
			{"the first session of a client", "192.0.2.1", false},
			{"the second", "192.0.2.1", true},
			{"the first of another", "192.0.2.2", false},
			{"an exempt client", "127.0.0.9", false},
			{"the second of an exempt client", "127.0.0.9", false},
		} {
			got := talk(t, n, service, fmt.Sprintf("PROXY TCP4 %s 192.0.2.9 1000 25\r\n", c.ip), 1)
			if strings.Contains(got, "too many connections from your address") != c.refused || c.refused != strings.HasPrefix(got, refused) {
				t.Errorf("%s: %s: %q", service, c.claim, got)
			}
		}
	}
}

func TestSpoolIsCleanAtStart(t *testing.T) {
	var left string
	startNode(t, func(c *config.Config) {
		left = filepath.Join(c.Data, spoolName, "incoming-1")
		if err := os.MkdirAll(filepath.Dir(left), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(left, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", left, err)
	}
}
