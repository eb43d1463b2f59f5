package mtasts

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/cert"
	"posthaste/dns"
	"posthaste/dns/dnstest"
	"posthaste/kv"
	"posthaste/kv/memkv"
)

// A site is the DNS and the policy host of south.test.
type site struct {
	dns   *dnstest.Server
	cache *Cache
	cfg   Config
	tls   *tls.Config
	conns chan net.Conn

	mu      sync.Mutex // guards what follows
	status  int
	kind    string
	body    string
	fetches int
	down    bool
}

func newSite(t *testing.T, name string) *site {
	t.Helper()
	ca, err := cert.NewCA("test")
	if err != nil {
		t.Fatal(err)
	}
	c, err := ca.Issue(name)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{dns: dnstest.New(), tls: cert.Fixed(c).Config(), conns: make(chan net.Conn), status: 200, kind: "text/plain; charset=utf-8", body: valid}
	s.dns.TXT("_mta-sts.south.test", "v=STSv1; id=1")
	s.dns.Addr("mta-sts.south.test", "192.0.2.80")
	resolver, err := dns.New(dns.Config{Servers: []string{"192.0.2.53"}, Exchange: s.dns.Exchange})
	if err != nil {
		t.Fatal(err)
	}
	store := memkv.New()
	t.Cleanup(func() { store.Close() })
	s.cfg = Config{Store: store, Resolver: resolver, Roots: ca.Pool(), Dial: s.dial}
	s.cache = New(s.cfg)
	server := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(s.serve)}
	server.SetKeepAlivesEnabled(false)
	done := make(chan struct{})
	go func() { server.Serve(s); close(done) }()
	t.Cleanup(func() {
		<-time.After(10 * time.Second) // for the farewells of TLS
		server.Close()
		<-done
	})
	return s
}

func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetches++
	if r.Host != "mta-sts.south.test" || r.URL.Path != "/.well-known/mta-sts.txt" {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	w.Header().Set("Content-Type", s.kind)
	w.Header().Set("Location", "https://mta-sts.south.test/.well-known/mta-sts.txt")
	w.WriteHeader(s.status)
	io.WriteString(w, s.body)
}

func (s *site) dial(ctx context.Context, _, address string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down || address != "192.0.2.80:443" {
		return nil, &net.OpError{Op: "dial", Err: io.ErrClosedPipe}
	}
	near, far := net.Pipe()
	s.conns <- tls.Server(newBuffered(far), s.tls)
	return newBuffered(near), nil
}

// buffered is the end of a pipe that takes what is written without waiting for a reader, as sockets do.
type buffered struct {
	net.Conn
	mu     sync.Mutex // guards closed, and out against Close
	closed bool
	out    chan []byte
}

func newBuffered(conn net.Conn) *buffered {
	b := &buffered{Conn: conn, out: make(chan []byte, 1000)}
	go func() {
		for p := range b.out {
			b.Conn.SetWriteDeadline(time.Now().Add(5 * time.Second)) // nobody may read any more
			b.Conn.Write(p)
		}
		b.Conn.Close()
	}()
	return b
}

func (b *buffered) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, net.ErrClosed
	}
	b.out <- bytes.Clone(p)
	return len(p), nil
}

// SetWriteDeadline changes nothing: writes do not wait. TLS sets one in the past when it has said
// farewell, which must not cut off what is on its way.
func (b *buffered) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline is for reads, likewise.
func (b *buffered) SetDeadline(t time.Time) error { return b.SetReadDeadline(t) }

func (b *buffered) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		close(b.out)
	}
	return nil
}

// Accept, Close and Addr make site a net.Listener.
func (s *site) Accept() (net.Conn, error) {
	conn, ok := <-s.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}
func (s *site) Close() error   { close(s.conns); return nil }
func (s *site) Addr() net.Addr { return &net.TCPAddr{} }

func (s *site) set(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
}

func (s *site) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetches
}

func TestFirstFetch(t *testing.T) {
	for _, c := range []struct {
		claim  string
		cert   string
		change func(*site)
		policy bool
		result string
	}{
		{"a policy is fetched", "mta-sts.south.test", func(*site) {}, true, ""},
		{"a certificate for another name does not count", "south.test", func(*site) {}, false, "sts-webpki-invalid"},
		{"a redirect is not followed", "mta-sts.south.test", func(s *site) { s.status = 302 }, false, "sts-policy-fetch-error"},
		{"a 404 is no policy", "mta-sts.south.test", func(s *site) { s.status = 404 }, false, "sts-policy-fetch-error"},
		{"HTML is no policy", "mta-sts.south.test", func(s *site) { s.kind = "text/html" }, false, "sts-policy-fetch-error"},
		{"a large policy is no policy", "mta-sts.south.test", func(s *site) { s.body += strings.Repeat("x", maxPolicy) }, false, "sts-policy-fetch-error"},
		{"a broken policy is none", "mta-sts.south.test", func(s *site) { s.body = "mode: enforce" }, false, "sts-policy-invalid"},
		{"a host that is down has no policy", "mta-sts.south.test", func(s *site) { s.down = true }, false, "sts-policy-fetch-error"},
		{"mode none is no policy", "mta-sts.south.test", func(s *site) { s.body = strings.Replace(valid, "enforce", "none", 1) }, false, ""},
		{"without a record nothing is fetched", "mta-sts.south.test", func(s *site) { s.dns.Remove("_mta-sts.south.test") }, false, ""},
	} {
		t.Run(c.claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, c.cert)
				s.set(func() { c.change(s) })
				got := s.cache.Lookup(t.Context(), "south.test")
				result := ""
				if got.Failure != nil {
					result = got.Failure.Type
				}
				if (got.Policy != nil) != c.policy || result != c.result {
					t.Errorf("got %+v, %v; want a policy: %v, %q", got.Policy, got.Failure, c.policy, c.result)
				}
				if got.Policy != nil && (got.Policy.ID != "1" || got.Policy.Domain != "south.test") {
					t.Errorf("got %+v", got.Policy)
				}
			})
		})
	}
}

func TestPolicyOutlivesWhatAnAttackerCanSuppress(t *testing.T) {
	for _, c := range []struct {
		claim  string
		change func(*site)
	}{
		{"the record vanishes", func(s *site) { s.dns.Remove("_mta-sts.south.test") }},
		{"the DNS fails", func(s *site) { s.dns.SetFault("_mta-sts.south.test", dnstest.Fault{Kind: dnstest.ServFail}) }},
		{"the policy host is down when the id changes", func(s *site) {
			s.dns.Remove("_mta-sts.south.test")
			s.dns.TXT("_mta-sts.south.test", "v=STSv1; id=2")
			s.down = true
		}},
		{"a new policy is broken", func(s *site) {
			s.dns.Remove("_mta-sts.south.test")
			s.dns.TXT("_mta-sts.south.test", "v=STSv1; id=2")
			s.body = "oops"
		}},
	} {
		t.Run(c.claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, "mta-sts.south.test")
				s.cache.Lookup(t.Context(), "south.test")
				s.set(func() { c.change(s) })
				for range 6 {
					<-time.After(24 * time.Hour)
					if got := s.cache.Lookup(t.Context(), "south.test"); got.Policy == nil || got.Policy.Mode != Enforce {
						t.Fatalf("the policy is gone: %+v", got)
					}
				}
				// A restart forgets nothing.
				if got := New(s.cfg).Lookup(t.Context(), "south.test"); got.Policy == nil {
					t.Errorf("another node knows nothing: %+v", got)
				}
				<-time.After(25 * time.Hour)
				if got := s.cache.Lookup(t.Context(), "south.test"); got.Policy != nil {
					t.Errorf("after max_age it is still there: %+v", got)
				}
			})
		})
	}
}

func TestPolicyIsFetchedOncePerID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "mta-sts.south.test")
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { s.cache.Lookup(t.Context(), "south.test") })
		}
		all.Wait()
		<-time.After(time.Hour)
		s.cache.Lookup(t.Context(), "south.test")
		if s.count() != 1 {
			t.Errorf("%d fetches for one id, want 1", s.count())
		}
		s.dns.Remove("_mta-sts.south.test")
		s.dns.TXT("_mta-sts.south.test", "v=STSv1; id=2")
		s.set(func() { s.body = strings.Replace(valid, "enforce", "testing", 1) })
		<-time.After(time.Hour)
		got := s.cache.Lookup(t.Context(), "south.test")
		if s.count() != 2 || got.Policy == nil || got.Policy.Mode != Testing || got.Policy.ID != "2" {
			t.Errorf("after a new id: %d fetches, %+v", s.count(), got.Policy)
		}
	})
}

func TestPolicyIsRefreshedBeforeItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "mta-sts.south.test")
		s.cache.Lookup(t.Context(), "south.test")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.cache.Run(ctx); close(done) }()
		<-time.After(8 * 24 * time.Hour) // one more than max_age
		s.set(func() { s.down = true })
		if got := s.cache.Lookup(t.Context(), "south.test"); got.Policy == nil {
			t.Error("the policy expired though its host was there all the time")
		}
		if n := s.count(); n != 2 {
			t.Errorf("%d fetches in eight days, want 2", n)
		}
		<-time.After(15 * 24 * time.Hour)
		cancel()
		<-done
		err := s.cfg.Store.View(t.Context(), partitionOf("south.test"), func(r kv.Reader) error {
			_, err := r.Get(policyKey("south.test"))
			return err
		})
		if err != kv.ErrNotFound {
			t.Errorf("an expired policy is still stored: %v", err)
		}
	})
}
