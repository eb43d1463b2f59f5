package popd

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xdg-go/scram"

	"posthaste/auth"
	"posthaste/auth/ban"
	"posthaste/directory"
	"posthaste/kv/memkv"
	"posthaste/mail"
	"posthaste/store"
	"posthaste/trace"
	"posthaste/wire/wiretest"
)

// passwords of the accounts of every test.
var passwords = map[string]string{"ann@north.test": "correct horse", "bob@north.test": "battery staple"}

// messages in the INBOX of ann.
var messages = []string{
	"From: bob@south.test\r\nSubject: one\r\n\r\nline one\r\n.dot\r\n.\r\nlast\r\n",
	"Subject: two\r\n\r\nno end of line",
	"Subject: three\r\n\r\nbare\nline end\r\n",
}

// events is a Recorder that keeps.
type events struct {
	mu  sync.Mutex
	all []trace.Event
}

func (e *events) Record(event trace.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, event)
}

func (e *events) texts() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var texts []string
	for _, event := range e.all {
		texts = append(texts, fmt.Sprintf("%s %t %s", event.Step, event.OK, event.Text))
	}
	return texts
}

type fixture struct {
	server *Server
	inbox  *store.Account // of ann
	events *events
}

// newFixture returns a server on a real store with two accounts, ann having three messages.
func newFixture(t testing.TB, modify func(*Config)) fixture {
	t.Helper()
	kv := memkv.New()
	d := directory.New(kv, directory.Config{})
	t.Cleanup(d.Close)
	st, err := store.New(store.Config{KV: kv, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	f := fixture{events: new(events)}
	a := auth.New(auth.Config{Directory: d})
	if _, err := d.AddDomain(t.Context(), "north.test", directory.DomainOptions{}); err != nil {
		t.Fatal(err)
	}
	ids := map[string]mail.AccountID{}
	for address, password := range passwords {
		c, err := a.NewCredentials(t.Context(), password)
		if err != nil {
			t.Fatal(err)
		}
		local, domain, _ := strings.Cut(address, "@")
		account, err := d.AddAccount(t.Context(), mail.Address{Local: local, Domain: domain}, directory.AccountOptions{Credentials: &c})
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Create(t.Context(), account.ID, 0); err != nil {
			t.Fatal(err)
		}
		ids[address] = account.ID
	}
	f.inbox = st.Account(ids["ann@north.test"])
	for _, message := range messages {
		deliver(t, st, f.inbox, message)
	}
	cfg := Config{Hostname: "mx.north.test", Auth: a, Store: st, PlaintextAuth: true, Trace: f.events, Log: slog.New(slog.DiscardHandler)}
	if modify != nil {
		modify(&cfg)
	}
	f.server = New(cfg)
	return f
}

func deliver(t testing.TB, st *store.Store, a *store.Account, content string) {
	t.Helper()
	message, err := st.Prepare(t.Context(), []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Deliver(t.Context(), store.Delivery{Message: message, Received: time.Now()}); err != nil {
		t.Fatal(err)
	}
}

// listen serves until the test ends, and returns the address.
func (f fixture) listen(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() {
		if err := f.server.Serve(ctx, ln); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); served.Wait() })
	return ln.Addr().String()
}

func TestDialogues(t *testing.T) {
	wiretest.Run(t, "testdata/lab/*.dialog", func(t *testing.T) func(context.Context, net.Conn) {
		f := newFixture(t, nil)
		return func(ctx context.Context, nc net.Conn) { f.server.session(ctx, ctx, nc) }
	})
	tlsConfig := testTLS(t)
	wiretest.Run(t, "testdata/strict/*.dialog", func(t *testing.T) func(context.Context, net.Conn) {
		f := newFixture(t, func(c *Config) { c.PlaintextAuth, c.TLS = false, tlsConfig })
		return func(ctx context.Context, nc net.Conn) { f.server.session(ctx, ctx, nc) }
	})
}

func testTLS(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mx.north.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// A peer talks to a server in tests that no dialogue can hold.
type peer struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, address string) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &peer{t, conn, bufio.NewReader(conn)}
}

// ask sends a line and returns the first line of the answer.
func (p *peer) ask(line string) string {
	p.t.Helper()
	if line != "" {
		io.WriteString(p, line+"\r\n")
	}
	answer, err := p.r.ReadString('\n')
	if err != nil {
		p.t.Fatalf("%s: %v", line, err)
	}
	return strings.TrimSuffix(answer, "\r\n")
}

func (p *peer) want(line, prefix string) string {
	p.t.Helper()
	answer := p.ask(line)
	if !strings.HasPrefix(answer, prefix) {
		p.t.Fatalf("%s: %q, want %q", line, answer, prefix)
	}
	return answer
}

// RFC 5802 over STLS, bound to the connection; the server's proof comes as a challenge that wants an
// empty answer.
func TestSCRAMPlusAfterSTLS(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.PlaintextAuth, c.TLS = false, testTLS(t) })
	p := dial(t, f.listen(t))
	p.want("", "+OK")
	p.want("STLS", "+OK")
	secure := tls.Client(p.Conn, &tls.Config{InsecureSkipVerify: true})
	if err := secure.Handshake(); err != nil {
		t.Fatal(err)
	}
	p.Conn, p.r = secure, bufio.NewReader(secure)
	p.want("STLS", "-ERR")
	state := secure.ConnectionState()
	binding, err := scram.NewTLSExporterBinding(&state)
	if err != nil {
		t.Fatal(err)
	}
	client, err := scram.SHA256.NewClient("ann@north.test", "correct horse", "")
	if err != nil {
		t.Fatal(err)
	}
	conversation := client.NewConversationWithChannelBinding(binding)
	line := "AUTH SCRAM-SHA-256-PLUS"
	answer := p.want(line, "+ ")
	for strings.HasPrefix(answer, "+ ") {
		challenge, err := base64.StdEncoding.DecodeString(answer[2:])
		if err != nil {
			t.Fatal(err)
		}
		response, err := conversation.Step(string(challenge))
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(p, base64.StdEncoding.EncodeToString([]byte(response))+"\r\n")
		answer = p.ask("")
	}
	if !conversation.Valid() || !strings.HasPrefix(answer, "+OK ann@north.test has 3") {
		t.Errorf("client believes us: %t; answer %q", conversation.Valid(), answer)
	}
}

func TestQuitUpdatesAndTells(t *testing.T) {
	f := newFixture(t, nil)
	p := dial(t, f.listen(t))
	p.want("", "+OK")
	p.want("USER ann@north.test", "+OK")
	p.want("PASS correct horse", "+OK")
	for _, line := range []string{"RETR 1", "RETR 3"} {
		p.want(line, "+OK")
		for p.ask("") != "." {
		}
	}
	p.want("DELE 1", "+OK")
	p.want("QUIT", "+OK")
	view, err := f.inbox.View(t.Context(), store.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	if view.Len() != 2 || view.At(0).Keywords.Seen() || !view.At(1).Keywords.Seen() {
		t.Errorf("INBOX has %d messages: want two are left, and only the one that was read is seen", view.Len())
	}
	want := "access true ann@north.test logged in by POP3|access true ann@north.test read 2 and deleted 1 messages by POP3"
	if got := strings.Join(f.events.texts(), "|"); got != want {
		t.Errorf("events: %s\nwant: %s", got, want)
	}
}

// What others do to the INBOX shows in the next session; what they removed can still be read in this
// one.
func TestMaildropIsASnapshot(t *testing.T) {
	f := newFixture(t, nil)
	p := dial(t, f.listen(t))
	p.want("", "+OK")
	p.want("USER ann@north.test", "+OK")
	p.want("PASS correct horse", "+OK")
	deliver(t, f.server.cfg.Store, f.inbox, "Subject: four\r\n\r\n")
	view, err := f.inbox.View(t.Context(), store.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	gone := view.At(0).UID
	if _, err := f.inbox.Remove(t.Context(), store.Inbox, store.UIDSet{{First: gone, Last: gone}}); err != nil {
		t.Fatal(err)
	}
	p.want("STAT", "+OK 3 ")
	p.want("RETR 1", "+OK")
	for p.ask("") != "." {
	}
	p.want("DELE 1", "+OK")
	p.want("DELE 2", "+OK")
	p.want("QUIT", "+OK")
	if view, err = f.inbox.View(t.Context(), store.Inbox); err != nil || view.Len() != 2 {
		t.Errorf("INBOX has %d messages, %v; want the third and the fourth", view.Len(), err)
	}
}

func TestLimits(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.MaxPerIP = 2 })
	address := f.listen(t)
	first, second := dial(t, address), dial(t, address)
	first.want("", "+OK")
	second.want("", "+OK")
	dial(t, address).want("", "-ERR [SYS/TEMP] too many connections from your address")
	for range maxErrors {
		first.want("FOO", "-ERR")
	}
	if _, err := first.r.ReadByte(); err != io.EOF {
		t.Errorf("after %d bad commands: %v, want the end", maxErrors, err)
	}
	second.want(strings.Repeat("x", 100_000), "-ERR line too long")
	second.want("QUIT", "+OK")
}

func TestGuessingIsSlowAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bans := ban.New(ban.Config{})
		addr := netip.MustParseAddr("192.0.2.7")
		f := newFixture(t, func(c *Config) { c.Bans = bans })
		serve := func(script string) (string, time.Duration) {
			near, far := net.Pipe()
			var served sync.WaitGroup
			served.Go(func() { f.server.session(t.Context(), t.Context(), from{far, addr}) })
			start := time.Now()
			go io.WriteString(near, script)
			output, err := io.ReadAll(near)
			if err != nil {
				t.Error(err)
			}
			served.Wait()
			return string(output), time.Since(start)
		}
		guess := "USER ann@north.test\r\nPASS wrong horse\r\n"
		output, took := serve(guess + guess + guess + guess)
		if strings.Count(output, "[AUTH]") != maxFailures || took != 7*ban.GuessDelay {
			t.Errorf("after %v: %s; want %d answers after 1+2+4 s", took, output, maxFailures)
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		for range ban.DefaultRules.Limits[ban.WrongPassword] {
			bans.Gate(nil, addr).Failed(over, 0)
		}
		if output, _ := serve("USER ann@north.test\r\nPASS correct horse\r\n"); !strings.Contains(output, "-ERR [SYS/TEMP] too many failed logins from your address, come back after ") {
			t.Errorf("a network that guessed too often: %s", output)
		}
	})
}

// from is a connection from somewhere.
type from struct {
	net.Conn
	addr netip.Addr
}

func (f from) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(f.addr, 50000))
}

func TestServeEndsSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		near, far := net.Pipe()
		drain, cancel := context.WithCancel(t.Context())
		var served sync.WaitGroup
		served.Go(func() { f.server.session(drain, t.Context(), far) })
		if line, err := bufio.NewReader(near).ReadString('\n'); err != nil || !strings.HasPrefix(line, "+OK") {
			t.Errorf("greeting: %q, %v", line, err)
		}
		synctest.Wait()
		cancel()
		served.Wait()
	})
}

func TestProxyAddress(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	p := dial(t, f.listen(t))
	io.WriteString(p, "PROXY TCP4 192.0.2.7 192.0.2.1 50000 110\r\n")
	p.want("", "+OK")
	p.want("USER ann@north.test", "+OK")
	p.want("PASS correct horse", "+OK")
	f.events.mu.Lock()
	defer f.events.mu.Unlock()
	if got := f.events.all[0].Peer; got != "192.0.2.7" {
		t.Errorf("peer is %s, want that of the PROXY header", got)
	}
}

// Many sessions at once: each maildrop has one at a time, and every message is deleted once.
func TestConcurrentSessions(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.MaxPerIP = 100 })
	address := f.listen(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	deleted := 0
	for range 20 {
		wg.Go(func() {
			p := dial(t, address)
			p.ask("")
			p.ask("USER ann@north.test")
			if answer := p.ask("PASS correct horse"); strings.HasPrefix(answer, "-ERR [IN-USE]") {
				return
			} else if !strings.HasPrefix(answer, "+OK") {
				t.Errorf("login: %q", answer)
				return
			}
			ok := strings.HasPrefix(p.ask("DELE 1"), "+OK")
			if answer := p.ask("QUIT"); !strings.HasPrefix(answer, "+OK") {
				t.Errorf("QUIT: %q", answer)
			}
			if ok {
				mu.Lock()
				deleted++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	view, err := f.inbox.View(t.Context(), store.Inbox)
	if err != nil || view.Len() != len(messages)-deleted || deleted == 0 {
		t.Errorf("%d sessions deleted a message, %d are left, %v", deleted, view.Len(), err)
	}
}

// eager lets in who knows the password, and fails on all others, which costs no time.
type eager struct{ *auth.Auth }

func (e eager) Password(ctx context.Context, login, password string) (auth.Identity, error) {
	if login != "ann@north.test" || password != "correct horse" {
		return auth.Identity{}, auth.ErrBusy
	}
	return e.Auth.Password(ctx, login, password)
}

// Any bytes from a client end in a session of well-formed lines.
func FuzzSession(f *testing.F) {
	f.Add([]byte("USER ann@north.test\r\nPASS correct horse\r\nSTAT\r\nLIST\r\nRETR 1\r\nTOP 2 1\r\nDELE 1\r\nUIDL\r\nQUIT\r\n"))
	f.Add([]byte("AUTH PLAIN\r\nAGFubkBub3J0aC50ZXN0AGNvcnJlY3QgaG9yc2U=\r\nRETR 3\r\n"))
	f.Add([]byte("CAPA\r\nSTLS\r\n\x16\x03\x01"))
	fixture := newFixture(f, func(c *Config) { c.Auth = eager{c.Auth.(*auth.Auth)} })
	f.Fuzz(func(t *testing.T, input []byte) {
		near, far := net.Pipe()
		var served sync.WaitGroup
		served.Go(func() { fixture.server.session(context.Background(), context.Background(), far) })
		go func() {
			near.Write(input)
			near.Write([]byte("\r\n*\r\nQUIT\r\n"))
		}()
		output, err := io.ReadAll(near)
		if err != nil {
			t.Fatal(err)
		}
		near.Close()
		served.Wait()
		if !strings.HasPrefix(string(output), "+OK mx.north.test") || !strings.HasSuffix(string(output), "\r\n") {
			t.Errorf("answer to %q: %q", input, output)
		}
	})
}

func BenchmarkRetr(b *testing.B) {
	f := newFixture(b, nil)
	deliver(b, f.server.cfg.Store, f.inbox, "Subject: x\r\n\r\n"+strings.Repeat("a line of a message as they come, not too long\r\n", 20_000))
	conn, err := net.Dial("tcp", f.listen(b))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReaderSize(conn, 1<<16)
	fmt.Fprintf(conn, "USER ann@north.test\r\nPASS correct horse\r\n")
	for range 3 {
		r.ReadSlice('\n')
	}
	b.SetBytes(960_000)
	for b.Loop() {
		fmt.Fprintf(conn, "RETR 4\r\n")
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if string(line) == ".\r\n" {
				break
			}
		}
	}
}
