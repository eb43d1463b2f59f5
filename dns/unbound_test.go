package dns_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"posthaste/dns"
	"posthaste/dns/dnstest"
)

// listening makes the world one that other programs can ask.
func listening(t *testing.T, s *dnstest.Server) {
	t.Helper()
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// peer returns the path of a program of others. Without it the test is skipped, or fails where peers are
// required.
func peer(t *testing.T, program, debian string) string {
	t.Helper()
	for _, name := range []string{program, "/usr/sbin/" + program} { // sbin is not in everybody's PATH
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("POSTHASTE_REQUIRE_PEERS") == "1" {
		t.Fatalf("%s is not installed: apt-get install %s", program, debian)
	}
	t.Skipf("SKIPPED PEER: %s is not installed: apt-get install %s", program, debian)
	return ""
}

// startUnbound runs a validating resolver above the world and returns its address.
func startUnbound(t *testing.T, s *dnstest.Server) string {
	t.Helper()
	program := peer(t, "unbound", "unbound")
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.LocalAddr().(*net.UDPAddr).Port
	free.Close()
	dir := t.TempDir()
	_, upstream, _ := net.SplitHostPort(s.Address())
	conf := filepath.Join(dir, "unbound.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, `server:
  interface: 127.0.0.1
  port: %d
  directory: %q
  pidfile: "unbound.pid"
  chroot: ""
  username: ""
  use-syslog: no
  log-time-ascii: yes
  verbosity: 1
  do-ip6: no
  do-daemonize: no
  do-not-query-localhost: no
  module-config: "validator iterator"
  trust-anchor-signaling: no
  trust-anchor: %q
  local-zone: "test." nodefault
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@%s
remote-control:
  control-enable: no
`, port, dir, strings.Join(strings.Fields(s.Anchor(".")), " "), upstream), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-d", "-c", conf)
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	lines := bufio.NewScanner(log)
	for lines.Scan() && !strings.Contains(lines.Text(), "start of service") {
		said.WriteString(lines.Text() + "\n")
	}
	drained := make(chan struct{})
	go func() {
		for lines.Scan() {
		}
		close(drained)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-drained
		cmd.Wait()
	})
	if lines.Err() != nil || lines.Text() == "" {
		t.Fatalf("unbound did not start:\n%s", said.String())
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// untrusted is an address that is not on loopback; beyond it lies the server at address.
const untrusted = "192.0.2.53:53"

func over(address string) dns.Exchange {
	return func(ctx context.Context, network, _ string, query []byte) ([]byte, error) {
		return dns.NetExchange(ctx, network, address, query)
	}
}

// TestSameVerdictsAsUnbound compares what a resolver finds that believes unbound, one that proves what
// unbound passes on, and one that proves what a server without DNSSEC of its own passes on.
func TestSameVerdictsAsUnbound(t *testing.T) {
	if testing.Short() {
		t.Skip("starts unbound")
	}
	server := world(t)
	listening(t, server)
	unbound := startUnbound(t, server)
	anchors := []string{server.Anchor(".")}
	resolvers := []struct {
		name string
		cfg  dns.Config
	}{
		{"believing unbound", dns.Config{Servers: []string{unbound}}},
		{"proving what unbound passes on", dns.Config{Servers: []string{untrusted}, Exchange: over(unbound)}},
		{"proving what a plain server says", dns.Config{Servers: []string{untrusted}, Exchange: over(server.Address())}},
	}
	for _, r := range resolvers {
		r.cfg.Validate, r.cfg.Anchors = true, anchors
		resolver, err := dns.New(r.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := resolver.CanValidate(t.Context()); err != nil {
			t.Fatalf("%s: %v", r.name, err)
		}
		t.Run(strings.ReplaceAll(r.name, " ", "-"), func(t *testing.T) {
			for _, c := range claims {
				if got, err := verdict(t, resolver, c.qtype, c.name); got != c.want {
					t.Errorf("%s %s: %s (%v), want %s", c.qtype, c.name, got, err, c.want)
				}
			}
		})
	}
}

// TestSameVerdictsAsDelv asks BIND's validator.
func TestSameVerdictsAsDelv(t *testing.T) {
	program := peer(t, "delv", "bind9-dnsutils")
	if testing.Short() {
		t.Skip("starts delv")
	}
	server := world(t)
	listening(t, server)
	_, port, _ := net.SplitHostPort(server.Address())
	ds := strings.Fields(server.Anchor("."))
	anchors := filepath.Join(t.TempDir(), "anchors")
	text := fmt.Sprintf("trust-anchors { . static-ds %s %s %s %q; };\n", ds[4], ds[5], ds[6], strings.Join(ds[7:], ""))
	if err := os.WriteFile(anchors, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range claims {
		out, _ := exec.Command(program, "-4", "@127.0.0.1", "-p", port, "-a", anchors, "+root=.", c.name, c.qtype).CombinedOutput()
		if c.name == "void.optout.test" {
			continue // delv calls it validated; RFC 5155 section 9.2 has it insecure, and so has unbound
		}
		want, _, _ := strings.Cut(c.want, " ")
		if got := delvVerdict(string(out)); got != want {
			t.Errorf("%s %s: delv says %s, we %s:\n%s", c.qtype, c.name, got, want, out)
		}
	}
}

// delvVerdict reads the lines that delv puts above each part of an answer: the weakest counts.
func delvVerdict(out string) string {
	switch {
	case strings.Contains(out, "resolution failed") && !strings.Contains(out, "resolution failed: ncache"):
		return "bogus"
	case strings.Contains(out, "unsigned answer") || strings.Contains(out, "response, unsigned"):
		return "insecure"
	case strings.Contains(out, "fully validated"):
		return "secure"
	}
	return "?"
}
