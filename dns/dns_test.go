package dns_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/dns"
	"posthaste/dns/dnstest"
)

func newPair(t testing.TB, cfg dns.Config) (*dnstest.Server, *dns.Resolver) {
	t.Helper()
	server := dnstest.New()
	if cfg.Exchange == nil {
		cfg.Exchange = server.Exchange
	}
	if cfg.Servers == nil {
		cfg.Servers = []string{"192.0.2.53"}
	}
	resolver, err := dns.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return server, resolver
}

func TestAnswers(t *testing.T) {
	server, r := newPair(t, dns.Config{})
	server.MX("north.test", 10, "MX1.north.test")
	server.MX("north.test", 20, "mx2.north.test")
	server.Host("mx1.north.test", "192.0.2.1", "2001:db8::1")
	server.TXT("north.test", strings.Repeat("x", 300)+"\"\\\x00é")
	server.CNAME("www.north.test", "web.north.test")
	server.CNAME("web.north.test", "mx1.north.test")
	ctx := t.Context()

	mx, err := r.MX(ctx, "North.TEST.")
	if err != nil || !slices.Equal(mx.Records, []dns.MX{{10, "mx1.north.test"}, {20, "mx2.north.test"}}) {
		t.Errorf("MX: %v, %v", mx, err)
	}
	txt, err := r.TXT(ctx, "north.test")
	if err != nil || txt.Records[0] != strings.Repeat("x", 300)+"\"\\\x00é" {
		t.Errorf("TXT: %q, %v", txt.Records, err)
	}
	hosts, err := r.Host(ctx, "www.north.test")
	want := []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1")}
	if err != nil || !slices.Equal(hosts.Records, want) || hosts.Name != "mx1.north.test" {
		t.Errorf("Host through two CNAMEs: %v, %v", hosts, err)
	}
	for _, ip := range want {
		if name, err := r.Iprev(ctx, ip); err != nil || name != "mx1.north.test" {
			t.Errorf("Iprev(%v) = %q, %v", ip, name, err)
		}
	}
}

func TestAbsenceIsToldFromFailure(t *testing.T) {
	for _, c := range []struct {
		claim  string
		name   string
		set    func(*dnstest.Server)
		absent bool
		is     error
	}{
		{"a name that was never set does not exist", "void.test", func(*dnstest.Server) {}, true, dns.ErrNoName},
		{"a name with another type has no data", "north.test", func(s *dnstest.Server) { s.TXT("north.test", "hi") }, true, dns.ErrNoData},
		{"a name above others has no data", "test", func(s *dnstest.Server) { s.TXT("north.test", "hi") }, true, dns.ErrNoData},
		{"a CNAME to nothing does not exist", "www.test", func(s *dnstest.Server) { s.CNAME("www.test", "void.test") }, true, dns.ErrNoName},
		{"an impossible name does not exist", strings.Repeat("a", 64) + ".test", func(*dnstest.Server) {}, true, dns.ErrNoName},
		{"an empty label does not exist", "a..test", func(*dnstest.Server) {}, true, dns.ErrNoName},
		{"an address literal does not exist", "[192.0.2.1\\]", func(*dnstest.Server) {}, true, dns.ErrNoName},
		{"SERVFAIL is unknown", "f.test", func(s *dnstest.Server) { s.SetFault("f.test", dnstest.Fault{Kind: dnstest.ServFail}) }, false, nil},
		{"REFUSED is unknown", "f.test", func(s *dnstest.Server) { s.SetFault("f.test", dnstest.Fault{Kind: dnstest.Refuse}) }, false, nil},
		{"silence is unknown", "f.test", func(s *dnstest.Server) { s.SetFault("f.test", dnstest.Fault{Kind: dnstest.Drop}) }, false, context.DeadlineExceeded},
		{"garbage is unknown", "f.test", func(s *dnstest.Server) { s.SetFault("f.test", dnstest.Fault{Kind: dnstest.Garbage}) }, false, nil},
		{"a loop of CNAMEs is unknown", "a.test", func(s *dnstest.Server) { s.CNAME("a.test", "b.test"); s.CNAME("b.test", "a.test") }, false, nil},
	} {
		t.Run(c.claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, r := newPair(t, dns.Config{})
				c.set(server)
				_, err := r.MX(t.Context(), c.name)
				if err == nil || errors.Is(err, dns.ErrNotFound) != c.absent || c.is != nil && !errors.Is(err, c.is) {
					t.Errorf("got %v; want absent %v, %v", err, c.absent, c.is)
				}
				_, err = r.Host(t.Context(), c.name)
				if err == nil || errors.Is(err, dns.ErrNotFound) != c.absent || c.is != nil && !errors.Is(err, c.is) {
					t.Errorf("Host: got %v; want absent %v, %v", err, c.absent, c.is)
				}
			})
		})
	}
}

func TestOneFamilyIsEnough(t *testing.T) {
	server, r := newPair(t, dns.Config{})
	server.Addr("four.test", "192.0.2.4")
	server.Addr("six.test", "2001:db8::6")
	for host, want := range map[string]string{"four.test": "192.0.2.4", "six.test": "2001:db8::6"} {
		got, err := r.Host(t.Context(), host)
		if err != nil || len(got.Records) != 1 || got.Records[0].String() != want {
			t.Errorf("%s: %v, %v; want %s", host, got, err, want)
		}
	}
}

func TestCacheKeepsAnswersForTheirTTL(t *testing.T) {
	for _, c := range []struct {
		claim string
		name  string
		fault dnstest.FaultKind
		keep  time.Duration
		want  int // queries after a first lookup and its repeats
	}{
		{"an answer is kept for its TTL", "north.test", dnstest.Healthy, 60 * time.Second, 1},
		{"an absence is kept for the SOA's minimum", "void.test", dnstest.Healthy, 10 * time.Second, 1},
		{"a failure is kept for some seconds", "f.test", dnstest.ServFail, 5 * time.Second, 2},
	} {
		t.Run(c.claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, r := newPair(t, dns.Config{})
				server.MX("north.test", 10, "mx.north.test")
				server.SetFault("f.test", dnstest.Fault{Kind: c.fault})
				start := time.Now()
				first, _ := r.MX(t.Context(), c.name)
				if len(first.Records) > 0 {
					first.Records[0].Host = "spoilt"
				}
				synctestWait(start.Add(c.keep - time.Second))
				again, _ := r.MX(t.Context(), c.name)
				if got := server.Queries("MX", c.name); got != c.want {
					t.Errorf("%d queries while it was cached, want %d", got, c.want)
				}
				if len(again.Records) > 0 && (again.TTL != time.Second || again.Records[0].Host == "spoilt") {
					t.Errorf("the cache gave %v with TTL %v, want 1s left and its own records", again.Records, again.TTL)
				}
				synctestWait(start.Add(c.keep))
				r.MX(t.Context(), c.name)
				if got := server.Queries("MX", c.name); got != 2*c.want {
					t.Errorf("%d queries after it expired, want %d", got, 2*c.want)
				}
			})
		})
	}
}

// synctestWait lets virtual time pass until t.
func synctestWait(t time.Time) { <-time.After(time.Until(t)) }

func TestCacheIsBounded(t *testing.T) {
	server, r := newPair(t, dns.Config{CacheEntries: 10})
	for i := range 20 {
		name := fmt.Sprintf("n%d.test", i)
		server.TXT(name, "x")
		r.TXT(t.Context(), name)
	}
	r.TXT(t.Context(), "n0.test")
	r.TXT(t.Context(), "n19.test")
	if first, last := server.Queries("TXT", "n0.test"), server.Queries("TXT", "n19.test"); first != 2 || last != 1 {
		t.Errorf("oldest asked %d times, newest %d; want 2 and 1", first, last)
	}
}

func TestManyCallersAskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, r := newPair(t, dns.Config{})
		server.MX("north.test", 10, "mx.north.test")
		server.SetFault("north.test", dnstest.Fault{Delay: time.Second})
		var callers sync.WaitGroup
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := r.MX(impatient, "north.test"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the impatient caller got %v", err)
		}
		for range 100 {
			callers.Go(func() {
				if _, err := r.MX(t.Context(), "north.test"); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		if n := server.Queries("MX", "north.test"); n != 1 {
			t.Errorf("%d queries, want 1", n)
		}
	})
}

func TestNextServerAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := dnstest.New()
		server.MX("north.test", 10, "mx.north.test")
		var asked []string
		exchange := func(ctx context.Context, network, address string, query []byte) ([]byte, error) {
			asked = append(asked, address)
			if address == "192.0.2.1:53" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return server.Exchange(ctx, network, address, query)
		}
		_, r := newPair(t, dns.Config{Servers: []string{"192.0.2.1", "192.0.2.2:5300"}, Exchange: exchange})
		start := time.Now()
		_, err := r.MX(t.Context(), "north.test")
		if err != nil || time.Since(start) != 2*time.Second || !slices.Equal(asked, []string{"192.0.2.1:53", "192.0.2.2:5300"}) {
			t.Errorf("asked %v in %v: %v", asked, time.Since(start), err)
		}
	})
}

func TestLookupIsBoundedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, r := newPair(t, dns.Config{Servers: []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}})
		server.SetFault(".", dnstest.Fault{Kind: dnstest.Drop})
		start := time.Now()
		_, err := r.MX(t.Context(), "north.test")
		if took := time.Since(start); err == nil || took != dns.DefaultTimeout {
			t.Errorf("%v after %v, want a failure after %v", err, took, dns.DefaultTimeout)
		}
	})
}

func TestAuthenticOnlyFromTrustedServers(t *testing.T) {
	for _, trusted := range []bool{false, true} {
		cfg := dns.Config{Servers: []string{"192.0.2.53"}}
		if trusted {
			cfg.Trusted = []string{"192.0.2.53:53"}
		}
		server, r := newPair(t, cfg)
		server.SetAuthentic(true)
		server.MX("north.test", 10, "mx.north.test")
		a, err := r.MX(t.Context(), "north.test")
		if err != nil || (a.Security == dns.Secure) != trusted {
			t.Errorf("trusted %v: %v, %v", trusted, a.Security, err)
		}
		var absent *dns.Error
		if _, err := r.MX(t.Context(), "void.test"); !errors.As(err, &absent) || (absent.Security == dns.Secure) != trusted {
			t.Errorf("trusted %v: absence %v", trusted, err)
		}
	}
}

func TestTruncatedReplyComesByTCP(t *testing.T) {
	server, r := newPair(t, dns.Config{})
	for i := range 200 { // too many for a datagram
		server.MX("big.test", uint16(i), fmt.Sprintf("mail-exchanger-%d.big.test", i))
	}
	server.MX("cut.test", 10, "mx.cut.test")
	server.SetFault("cut.test", dnstest.Fault{Kind: dnstest.Truncate})
	for name, want := range map[string]int{"big.test": 200, "cut.test": 1} {
		if a, err := r.MX(t.Context(), name); err != nil || len(a.Records) != want {
			t.Errorf("%s: %d records, %v; want %d", name, len(a.Records), err, want)
		}
	}
}

func TestIprev(t *testing.T) {
	server, r := newPair(t, dns.Config{})
	server.PTR("192.0.2.1", "liar.test")
	server.Addr("liar.test", "192.0.2.9")
	server.PTR("192.0.2.2", "evil host.test")
	server.PTR("192.0.2.3", "liar.test")
	server.PTR("192.0.2.3", "honest.test")
	server.Addr("honest.test", "192.0.2.3")
	server.PTR("192.0.2.4", "f.test")
	server.SetFault("f.test", dnstest.Fault{Kind: dnstest.ServFail})
	for ip := range 12 {
		server.PTR("192.0.2.5", fmt.Sprintf("n%d.test", ip))
	}
	server.Addr("n11.test", "192.0.2.5")
	for _, c := range []struct {
		claim, ip, want string
		is              error
	}{
		{"a name without the address fails", "192.0.2.1", "", dns.ErrUnconfirmed},
		{"a name that is no host name fails", "192.0.2.2", "", dns.ErrUnconfirmed},
		{"one true name is enough", "::ffff:192.0.2.3", "honest.test", nil},
		{"an eleventh name is not tried", "192.0.2.5", "", dns.ErrUnconfirmed},
		{"no name at all is not found", "192.0.2.77", "", dns.ErrNotFound},
	} {
		name, err := r.Iprev(t.Context(), netip.MustParseAddr(c.ip))
		if name != c.want || !errors.Is(err, c.is) {
			t.Errorf("%s: %q, %v; want %q, %v", c.claim, name, err, c.want, c.is)
		}
	}
	_, err := r.Iprev(t.Context(), netip.MustParseAddr("192.0.2.4"))
	if err == nil || errors.Is(err, dns.ErrUnconfirmed) || errors.Is(err, dns.ErrNotFound) {
		t.Errorf("a failing forward lookup gave %v, want unknown", err)
	}
}

func TestOverRealSockets(t *testing.T) {
	server := dnstest.New()
	if err := server.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()
	server.MX("north.test", 10, "mx.north.test")
	for i := range 200 {
		server.MX("big.test", uint16(i), fmt.Sprintf("mail-exchanger-%d.big.test", i))
	}
	_, r := newPair(t, dns.Config{Servers: []string{server.Address()}, Exchange: dns.NetExchange})
	for name, want := range map[string]int{"north.test": 1, "big.test": 200} {
		if a, err := r.MX(ctx, name); err != nil || len(a.Records) != want {
			t.Errorf("%s: %d records, %v; want %d", name, len(a.Records), err, want)
		}
	}
	if _, err := r.MX(ctx, "void.test"); !errors.Is(err, dns.ErrNoName) {
		t.Errorf("void.test: %v", err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	_, r = newPair(t, dns.Config{Servers: []string{server.Address()}, Exchange: dns.NetExchange})
	if _, err := r.MX(t.Context(), "north.test"); err == nil || errors.Is(err, dns.ErrNotFound) {
		t.Errorf("with nobody listening: %v, want a temporary failure", err)
	}
}

func TestServerAddresses(t *testing.T) {
	for _, bad := range []string{"127.0.0.1:port:x", "a b", "[::1]:53:1", ":53"} {
		if _, err := dns.New(dns.Config{Servers: []string{bad}}); err == nil {
			t.Errorf("server %q was taken", bad)
		}
	}
	for _, good := range []string{"127.0.0.1", "127.0.0.1:5300", "::1", "[::1]:53", "ns.test", "ns.test:53"} {
		if _, err := dns.New(dns.Config{Servers: []string{good}}); err != nil {
			t.Error(err)
		}
	}
}
