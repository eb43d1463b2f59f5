package dns_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/dns"
	"posthaste/dns/dnstest"
)

// exhaust looks names up until the resolver gives up on its servers.
func exhaust(t *testing.T, r *dns.Resolver) {
	t.Helper()
	for i := range 5 {
		if _, err := r.A(t.Context(), fmt.Sprintf("lost%d.test", i)); errors.Is(err, dns.ErrUnreachable) {
			return
		}
	}
	t.Fatal("five lookups without any reply, and the servers still count as reachable")
}

func TestSilentServersAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, r := newPair(t, dns.Config{Servers: []string{"192.0.2.1", "192.0.2.2"}})
		server.SetFault(".", dnstest.Fault{Kind: dnstest.Drop})
		exhaust(t, r)
		start, failed := time.Now(), 0
		for i := range 1000 {
			_, err := r.A(t.Context(), fmt.Sprintf("n%d.test", i))
			if !errors.Is(err, dns.ErrUnreachable) || errors.Is(err, dns.ErrNotFound) {
				t.Fatalf("got %v", err)
			}
			failed++
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("%d lookups took %v", failed, took)
		}
		// A lookup every 10 ms for ten seconds: a probe takes a second, and the next comes a second later.
		before := server.Queries("NS", ".")
		for start = time.Now(); time.Since(start) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
			r.A(t.Context(), fmt.Sprintf("m%d.test", time.Since(start)))
		}
		if n := server.Queries("NS", ".") - before; n < 2*5 || n > 2*6 {
			t.Errorf("two servers were asked %d times in ten seconds, want five probes", n)
		}
		if n := server.Queries("A", "n500.test"); n != 0 {
			t.Errorf("a question was put %d times to servers that do not answer", n)
		}
	})
}

func TestServersThatComeBackAreAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, r := newPair(t, dns.Config{})
		server.Addr("north.test", "192.0.2.7")
		server.SetFault(".", dnstest.Fault{Kind: dnstest.Drop})
		exhaust(t, r)
		if _, err := r.A(t.Context(), "north.test"); !errors.Is(err, dns.ErrUnreachable) {
			t.Fatalf("got %v", err)
		}
		server.SetFault(".", dnstest.Fault{})
		time.Sleep(time.Second)
		start := time.Now()
		if got, err := r.A(t.Context(), "north.test"); err != nil || len(got.Records) != 1 || time.Since(start) != 0 {
			t.Errorf("got %v, %v after %v; what failed at once must not be remembered", got, err, time.Since(start))
		}
	})
}

func TestRepliesOfAnyKindAreReplies(t *testing.T) {
	for _, kind := range []dnstest.FaultKind{dnstest.ServFail, dnstest.Refuse, dnstest.Garbage} {
		synctest.Test(t, func(t *testing.T) {
			server, r := newPair(t, dns.Config{})
			server.SetFault(".", dnstest.Fault{Kind: kind})
			for i := range 20 {
				if _, err := r.A(t.Context(), fmt.Sprintf("n%d.test", i)); err == nil || errors.Is(err, dns.ErrUnreachable) {
					t.Fatalf("fault %d: got %v", kind, err)
				}
			}
		})
	}
}

// TestZonesThatAreSilentDoNotCount asks for names for which a live server has no reply in time, one after
// the other and with nothing else between.
func TestZonesThatAreSilentDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, r := newPair(t, dns.Config{})
		server.Addr("north.test", "192.0.2.7")
		for i := range 20 {
			name := fmt.Sprintf("dead%d.test", i)
			server.SetFault(name, dnstest.Fault{Kind: dnstest.Drop})
			if _, err := r.A(t.Context(), name); err == nil || errors.Is(err, dns.ErrUnreachable) {
				t.Fatalf("lookup %d: %v", i, err)
			}
		}
		if _, err := r.A(t.Context(), "north.test"); err != nil {
			t.Error(err)
		}
		if server.Queries("NS", ".") == 0 {
			t.Error("nobody made sure")
		}
	})
}

func TestOneLiveServerIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := dnstest.New()
		var lost atomic.Int32
		exchange := func(ctx context.Context, network, address string, query []byte) ([]byte, error) {
			if address == "192.0.2.1:53" {
				lost.Add(1)
				return nil, errors.New("connection refused")
			}
			return server.Exchange(ctx, network, address, query)
		}
		_, r := newPair(t, dns.Config{Servers: []string{"192.0.2.1", "192.0.2.2"}, Exchange: exchange})
		for i := range 50 {
			name := fmt.Sprintf("n%d.test", i)
			server.Addr(name, "192.0.2.7")
			if _, err := r.A(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		if lost.Load() != 50 {
			t.Errorf("the dead server was asked %d times", lost.Load())
		}
	})
}

// TestAnOutageIsNoForgery loses the servers between the reply and what proves it: that is unknown, and no
// less provable afterwards.
func TestAnOutageIsNoForgery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := dnstest.New()
		for _, zone := range []string{".", "test", "north.test"} {
			if err := server.Sign(zone, dnstest.Signing{}); err != nil {
				t.Fatal(err)
			}
		}
		server.TXT("north.test", "signed")
		_, r := newPair(t, dns.Config{Exchange: server.Exchange, Validate: true, Anchors: []string{server.Anchor(".")}})
		server.SetFault(".", dnstest.Fault{Kind: dnstest.Drop})
		exhaust(t, r)
		var bogus *dns.BogusError
		if _, err := r.TXT(t.Context(), "north.test"); !errors.Is(err, dns.ErrUnreachable) || errors.As(err, &bogus) {
			t.Errorf("in the outage: %v", err)
		}
		server.SetFault(".", dnstest.Fault{})
		time.Sleep(6 * time.Second) // for the zone cuts that failed before the outage was known
		if got, err := r.TXT(t.Context(), "north.test"); err != nil || got.Security != dns.Secure {
			t.Errorf("after it: %v, %v", got, err)
		}
	})
}

// Questions that wait at the same time find an outage out long before the rounds of all servers have passed.
func TestAnOutageIsKnownSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, r := newPair(t, dns.Config{Servers: []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}})
		server.SetFault(".", dnstest.Fault{Kind: dnstest.Drop})
		start := time.Now()
		var asking sync.WaitGroup
		for i := range 6 {
			asking.Go(func() {
				if _, err := r.A(t.Context(), fmt.Sprintf("n%d.test", i)); !errors.Is(err, dns.ErrUnreachable) {
					t.Errorf("got %v", err)
				}
			})
		}
		asking.Wait()
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
	})
}
