package spf

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"posthaste/dns"
	"posthaste/dns/dnstest"

	blitiri "blitiri.com.ar/go/spf"
)

// goResolver gives the Go library blitiri.com.ar/go/spf answers of ours, in the form of package net.
type goResolver struct{ *dns.Resolver }

func netError(err error) error {
	if err == nil {
		return nil
	}
	return &net.DNSError{Err: err.Error(), IsNotFound: errors.Is(err, dns.ErrNotFound), IsTemporary: !errors.Is(err, dns.ErrNotFound)}
}

func (r goResolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	a, err := r.TXT(ctx, name)
	return a.Records, netError(err)
}

func (r goResolver) LookupMX(ctx context.Context, name string) (all []*net.MX, err error) {
	a, err := r.MX(ctx, name)
	for _, mx := range a.Records {
		all = append(all, &net.MX{Host: mx.Host + ".", Pref: mx.Preference})
	}
	return all, netError(err)
}

func (r goResolver) LookupIPAddr(ctx context.Context, host string) (all []net.IPAddr, err error) {
	a, err := r.Host(ctx, host)
	for _, ip := range a.Records {
		all = append(all, net.IPAddr{IP: ip.AsSlice()})
	}
	return all, netError(err)
}

func (r goResolver) LookupAddr(ctx context.Context, addr string) (all []string, err error) {
	a, err := r.PTR(ctx, netip.MustParseAddr(addr))
	for _, name := range a.Records {
		all = append(all, name+".")
	}
	return all, netError(err)
}

// A pyspf is a running testdata/pyspf.py.
type pyspf struct {
	t   *testing.T
	in  *json.Encoder
	out *bufio.Scanner
}

// startPyspf runs it. Without it the test is skipped, or fails where peers are required.
func startPyspf(t *testing.T) *pyspf {
	t.Helper()
	const python = "/usr/bin/python3" // Debian's, which has Debian's modules
	if err := exec.Command(python, "-c", "import spf, dns.resolver").Run(); err != nil {
		if os.Getenv("POSTHASTE_REQUIRE_PEERS") == "1" {
			t.Fatal("python3-spf is not installed: apt-get install python3-spf python3-dnspython")
		}
		t.Skip("SKIPPED PEER: python3-spf is not installed: apt-get install python3-spf python3-dnspython")
	}
	cmd := exec.Command(python, "testdata/pyspf.py")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	return &pyspf{t: t, in: json.NewEncoder(in), out: bufio.NewScanner(out)}
}

// listening makes a server one that other programs can ask.
func listening(t *testing.T, s *dnstest.Server) {
	t.Helper()
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

func (p *pyspf) check(s *dnstest.Server, q Query) (result string) {
	p.t.Helper()
	from := ""
	if !q.From.Null() {
		from = q.From.Local + "@" + q.From.Domain
	}
	port := netip.MustParseAddrPort(s.Address()).Port()
	err := p.in.Encode(map[string]any{"ip": q.IP.String(), "from": from, "helo": q.Helo, "port": port})
	if err != nil || !p.out.Scan() {
		p.t.Fatalf("pyspf ended: %v, %v", err, p.out.Err())
	}
	if err := json.Unmarshal(p.out.Bytes(), &result); err != nil {
		p.t.Fatal(err)
	}
	return result
}

func goCheck(r *dns.Resolver, q Query) string {
	from := q.From.String()
	if q.From.Null() {
		from = "postmaster@" + q.Helo
	}
	result, _ := blitiri.CheckHostWithSender(net.IP(q.IP.AsSlice()), q.Helo, from, blitiri.WithResolver(goResolver{r}))
	return string(result)
}

// TestPeersOnTheSuite asks all three for each test of the suite for RFC 7208. Where they differ, we have to
// be right; how often that is so is told.
func TestPeersOnTheSuite(t *testing.T) {
	p := startPyspf(t)
	differ := map[string]int{}
	for _, s := range scenarios(t, "rfc7208-tests.yml") {
		server := s.world(t)
		listening(t, server)
		for name, v := range s.Tests {
			r := resolverOf(t, server)
			ours := Check(t.Context(), r, v.query()).Result
			for peer, theirs := range map[string]string{"pyspf": p.check(server, v.query()), "go/spf": goCheck(r, v.query())} {
				if theirs == string(ours) {
					continue
				}
				differ[peer]++
				t.Logf("%s: ours %s, %s %s, right %v", name, ours, peer, theirs, v.Result)
				if !v.allows(ours) {
					t.Errorf("%s: we are wrong", name)
				}
			}
		}
	}
	t.Logf("differences of 203: %v", differ)
}

// A maker makes worlds of policies at random.
type maker struct{ *rand.Rand }

func (m maker) pick(of ...string) string { return of[m.IntN(len(of))] }

func (m maker) domain() string { return fmt.Sprintf("d%d.test", m.IntN(8)) }

func (m maker) ip() string { return fmt.Sprintf("192.0.2.%d", m.IntN(6)) }

func (m maker) ip6() string { return fmt.Sprintf("2001:db8::%d", m.IntN(6)) }

func (m maker) spec() string {
	return m.pick(m.domain(), m.domain(), m.domain(), "%{d}", "%{h}", "x.%{d2}", "%{l}.d1.test", "%{o}", "%{ir}.d2.test", "%{d1r}.test",
		"%{L}.d3.test", "h.%{d}", "void.test", "d1.test.", "%{l1r-}.d1.test")
}

func (m maker) term() string {
	q := m.pick("", "", "", "+", "-", "~", "?")
	switch m.IntN(16) {
	case 0, 1:
		return q + "ip4:" + m.ip() + m.pick("", "", "/32", "/30", "/31", "/0")
	case 2:
		return q + "ip6:" + m.ip6() + m.pick("", "", "/128", "/126", "/64")
	case 3, 4:
		return q + "a" + m.pick("", ":"+m.spec(), ":"+m.spec()) + m.pick("", "", "", "/31", "//126", "/30//127")
	case 5, 6:
		return q + "mx" + m.pick("", ":"+m.spec(), ":"+m.domain()) + m.pick("", "", "", "/31", "//126")
	case 7, 8, 9:
		return q + "include:" + m.spec()
	case 10:
		return q + "exists:" + m.spec()
	case 11:
		return q + "ptr" + m.pick("", ":"+m.domain(), ":test.test")
	case 12:
		return m.pick("redirect=", "exp=") + m.spec()
	case 13:
		return m.pick("unknown=%{d}", "Moo.cow-1=x:y/z", q+"ALL", q+"all")
	case 14:
		if m.IntN(4) == 0 {
			return m.pick("ip4:1.2.3", "a:", "mx/33", "all:x", "include:", "exists", "ptr:", "a//129", "ip4:1.2.3.4/", "foo", "redirect=",
				"a:%{x}.test", "a:d1", "a/024", "-", "x=%", "ip6:1.2.3.4", "a:d1.test/24/", "%{d}", "exp=d1", "a:d1.1", "+redirect=d1.test")
		}
		return q + "a"
	}
	return q + "all"
}

func (m maker) record() string {
	terms := []string{m.pick(version, version, version, "V=spf1")}
	for range 1 + m.IntN(5) {
		terms = append(terms, m.term())
	}
	return strings.Join(terms, m.pick(" ", " ", "  ")) + m.pick("", "", " ")
}

func (m maker) world() *dnstest.Server {
	s := dnstest.New()
	for i := range 8 {
		name := fmt.Sprintf("d%d.test", i)
		if m.IntN(8) > 0 {
			s.TXT(name, m.record())
		}
		if m.IntN(20) == 0 {
			s.TXT(name, m.record())
		}
		s.TXT(name, "something else")
		for range m.IntN(3) {
			s.Addr(name, m.ip())
			s.Addr(m.pick("h.", "x.")+name, m.pick(m.ip(), m.ip6()))
		}
		for range m.IntN(2) {
			s.Addr(name, m.ip6())
		}
		for range m.IntN(4) {
			s.MX(name, uint16(m.IntN(3)), m.pick("h.", "x.", "")+m.domain())
		}
	}
	for range 6 {
		s.PTR(m.pick(m.ip(), m.ip6()), m.pick("h.", "x.", "")+m.domain())
	}
	s.Addr("ann.d1.test", "127.0.0.2")
	s.Addr("1.2.0.192.d2.test", "127.0.0.2")
	return s
}

func (m maker) query() Query {
	q := Query{IP: netip.MustParseAddr(m.pick(m.ip(), m.ip(), m.ip6())), Helo: m.pick("h.", "") + m.domain(), Hostname: "receiver.example"}
	if m.IntN(5) > 0 {
		q.From = reversePath(m.pick("ann", "bob", "x-y+z", "strong.bad") + "@" + m.domain())
	}
	return q
}

// TestPeersOnRandomPolicies compares the three on worlds of random records. Two differences are known:
//   - pyspf takes more for a permerror: it counts the address of each mail exchanger and name as a void lookup,
//     not only terms, and expands all terms before it begins, refusing a record that includes itself even
//     where nothing gets there.
//   - go/spf takes less for one: it reads a record only as far as it needs, and counts no void lookup when a
//     host has addresses of the other family.
func TestPeersOnRandomPolicies(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("POSTHASTE_SEED"); s != "" {
		fmt.Sscan(s, &seed)
	}
	t.Logf("POSTHASTE_SEED=%d", seed)
	m := maker{rand.New(rand.NewPCG(seed, 0))}
	p := startPyspf(t)
	counts := map[string]int{}
	for range 25 {
		server := m.world()
		listening(t, server)
		r := resolverOf(t, server)
		for range 40 {
			q := m.query()
			ours := Check(t.Context(), r, q)
			py, golang := p.check(server, q), goCheck(r, q)
			counts["checks"]++
			counts[string(ours.Result)]++
			unknown := false
			if py != string(ours.Result) {
				counts["pyspf differs"]++
				unknown = py != string(PermError)
			}
			if golang != string(ours.Result) {
				counts["go/spf differs"]++
				unknown = unknown || ours.Result != PermError
			}
			if unknown {
				txt, _ := r.TXT(t.Context(), ours.Domain)
				t.Errorf("%s %s from %s helo %s: ours %s (%s), pyspf %s, go/spf %s; %q", ours.Identity, q.From, q.IP, q.Helo,
					ours.Result, ours.Reason, py, golang, txt.Records)
			}
		}
	}
	t.Logf("%v", counts)
}
