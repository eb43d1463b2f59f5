package sasl

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"posthaste/auth"
	"posthaste/directory"
	"posthaste/kv/memkv"
	"posthaste/mail"
)

const (
	ann   = "ann@north.test"
	right = "correct horse"
)

// backend returns a real Auth with the account ann. Certificate is what we show over TLS.
func backend(t testing.TB, certificate *x509.Certificate) *auth.Auth {
	t.Helper()
	d := directory.New(memkv.New(), directory.Config{})
	t.Cleanup(d.Close)
	a := auth.New(auth.Config{Directory: d, Certificate: func(*tls.ConnectionState) *x509.Certificate { return certificate }})
	c, err := a.NewCredentials(t.Context(), right)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.AddDomain(t.Context(), "north.test", directory.DomainOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err = d.AddAccount(t.Context(), mail.Address{Local: "ann", Domain: "north.test"}, directory.AccountOptions{Credentials: &c})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// exchange plays the client's messages, of which "-" is none, and returns the challenges.
func exchange(t testing.TB, s Server, messages ...string) (challenges []string, done bool, err error) {
	t.Helper()
	for _, m := range messages {
		response := []byte(m)
		if m == "-" {
			response = nil
		}
		var challenge []byte
		challenge, done, err = s.Next(t.Context(), response)
		if err != nil || done {
			return challenges, done, err
		}
		challenges = append(challenges, string(challenge))
	}
	return challenges, done, err
}

func TestPlainAndLogin(t *testing.T) {
	b := backend(t, nil)
	for _, c := range []struct {
		claim, mechanism string
		messages         []string
		want             error
		challenges       []string
	}{
		{"PLAIN with initial response", Plain, []string{"\x00" + ann + "\x00" + right}, nil, nil},
		{"PLAIN without", Plain, []string{"-", "\x00" + ann + "\x00" + right}, nil, []string{""}},
		{"PLAIN as oneself", Plain, []string{ann + "\x00" + ann + "\x00" + right}, nil, nil},
		{"PLAIN as another", Plain, []string{"bob@north.test\x00" + ann + "\x00" + right}, ErrAuthzid, nil},
		{"PLAIN with wrong password", Plain, []string{"\x00" + ann + "\x00wrong horse"}, auth.ErrCredentials, nil},
		{"PLAIN empty", Plain, []string{""}, ErrSyntax, nil},
		{"PLAIN without password", Plain, []string{"\x00" + ann + "\x00"}, ErrSyntax, nil},
		{"PLAIN with one NUL", Plain, []string{ann + "\x00" + right}, ErrSyntax, nil},
		{"PLAIN with three NULs", Plain, []string{"\x00" + ann + "\x00" + right + "\x00"}, ErrSyntax, nil},
		{"PLAIN not UTF-8", Plain, []string{"\x00" + ann + "\x00\xff" + right}, ErrSyntax, nil},
		{"PLAIN too long", Plain, []string{"\x00" + ann + "\x00" + strings.Repeat("x", MaxMessage)}, ErrSyntax, nil},
		{"LOGIN asked for both", Login, []string{"-", ann, right}, nil, []string{"Username:", "Password:"}},
		{"LOGIN with the name at once", Login, []string{ann, right}, nil, []string{"Password:"}},
		{"LOGIN with wrong password", Login, []string{"-", ann, "wrong horse"}, auth.ErrCredentials, []string{"Username:", "Password:"}},
		{"LOGIN without name", Login, []string{"-", ""}, ErrSyntax, []string{"Username:"}},
		{"LOGIN without password", Login, []string{"-", ann, ""}, ErrSyntax, []string{"Username:", "Password:"}},
		{"LOGIN too long", Login, []string{"-", strings.Repeat("x", MaxMessage+1)}, ErrSyntax, []string{"Username:"}},
		{"SCRAM nonsense", ScramSHA256, []string{"-", "nonsense"}, ErrSyntax, []string{""}},
		{"SCRAM empty", ScramSHA256, []string{""}, ErrSyntax, nil},
		{"SCRAM too long", ScramSHA256, []string{"n,,n=ann,r=" + strings.Repeat("x", MaxMessage)}, ErrSyntax, nil},
		{"SCRAM binding without TLS", ScramSHA256, []string{"p=tls-exporter,,n=ann,r=abc"}, ErrSyntax, nil},
		{"SCRAM as another", ScramSHA256, []string{"n,a=bob@north.test,n=" + ann + ",r=abc"}, ErrAuthzid, nil},
		{"SCRAM with a final message of nonsense", ScramSHA256, []string{"n,,n=" + ann + ",r=abc", "c=biws,r=abc,p=AAAA"}, auth.ErrCredentials, nil},
	} {
		s, err := New(c.mechanism, b, nil)
		if err != nil {
			t.Fatal(err)
		}
		challenges, done, err := exchange(t, s, c.messages...)
		if !errors.Is(err, c.want) || done != (c.want == nil) {
			t.Errorf("%s: done %t, %v; want %v", c.claim, done, err, c.want)
		}
		if c.challenges != nil && !slices.Equal(challenges, c.challenges) {
			t.Errorf("%s: challenges %q, want %q", c.claim, challenges, c.challenges)
		}
		if c.want == nil && s.Identity().Address.String() != ann {
			t.Errorf("%s: identity %+v", c.claim, s.Identity())
		}
	}
}

func TestMechanisms(t *testing.T) {
	server, _ := connect(t, nil)
	for _, c := range []struct {
		claim     string
		tls       *tls.ConnectionState
		plaintext bool
		want      string
	}{
		{"no password in the clear", nil, false, "SCRAM-SHA-256"},
		{"unless allowed", nil, true, "SCRAM-SHA-256 PLAIN LOGIN"},
		{"everything over TLS", server, false, "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN"},
		{"no binding where there is nothing to bind to", &tls.ConnectionState{}, false, "SCRAM-SHA-256 PLAIN LOGIN"},
	} {
		if got := strings.Join(Mechanisms(c.tls, c.plaintext), " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.claim, got, c.want)
		}
	}
	if !Offered(Plain, server, false) || Offered(Plain, nil, false) {
		t.Error("PLAIN must be offered over TLS only")
	}
	for _, name := range []string{"", "plain", "CRAM-MD5", ScramSHA256Plus} {
		if _, err := New(name, nil, nil); !errors.Is(err, ErrMechanism) {
			t.Errorf("mechanism %q without TLS: %v, want ErrMechanism", name, err)
		}
	}
}

// client runs the SCRAM client of xdg-go against us.
func client(t testing.TB, s Server, c *scram.ClientConversation) error {
	t.Helper()
	var challenge []byte
	for step := 0; ; step++ {
		response, err := c.Step(string(challenge))
		if err != nil {
			t.Fatalf("step %d: client: %v", step, err)
		}
		next, done, err := s.Next(t.Context(), []byte(response))
		if err != nil {
			return err
		}
		if done {
			if _, err := c.Step(string(next)); err != nil || !c.Valid() {
				t.Errorf("client does not believe us: %v", err)
			}
			return nil
		}
		challenge = next
	}
}

func TestSCRAM(t *testing.T) {
	b := backend(t, nil)
	for _, c := range []struct {
		claim, login, password, authzid string
		want                            error
	}{
		{"right", ann, right, "", nil},
		{"as oneself", ann, right, ann, nil},
		{"login in another case", "ANN@NORTH.TEST", right, "", nil},
		{"wrong password", ann, "wrong horse", "", auth.ErrCredentials},
		{"unknown login", "bob@north.test", right, "", auth.ErrCredentials},
		{"as another", ann, right, "bob@north.test", ErrAuthzid},
	} {
		theirs, err := scram.SHA256.NewClient(c.login, c.password, c.authzid)
		if err != nil {
			t.Fatal(err)
		}
		ours, _ := New(ScramSHA256, b, nil)
		if err := client(t, ours, theirs.NewConversation()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.claim, err, c.want)
		} else if err == nil && ours.Identity().Address.String() != ann {
			t.Errorf("%s: identity %+v", c.claim, ours.Identity())
		}
	}
}

// connect returns the states of both ends of one TLS connection. With modify the versions can be
// set.
func connect(t testing.TB, modify func(*tls.Config)) (server, client *tls.ConnectionState) {
	t.Helper()
	certificate := testCertificate(t)
	serverConfig := &tls.Config{Certificates: []tls.Certificate{certificate}}
	if modify != nil {
		modify(serverConfig)
	}
	near, far := net.Pipe()
	ours, theirs := tls.Server(near, serverConfig), tls.Client(far, &tls.Config{InsecureSkipVerify: true})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := ours.Handshake(); err != nil {
			t.Errorf("server: %v", err)
		}
	})
	if err := theirs.Handshake(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	t.Cleanup(func() { near.Close(); far.Close() })
	s, c := ours.ConnectionState(), theirs.ConnectionState()
	return &s, &c
}

func testCertificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "north.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestChannelBinding(t *testing.T) {
	server, theirs := connect(t, nil)
	_, elsewhere := connect(t, nil) // a connection with somebody in the middle
	b := backend(t, theirs.PeerCertificates[0])
	exporter, err1 := scram.NewTLSExporterBinding(theirs)
	endpoint, err2 := scram.NewTLSServerEndpointBinding(theirs)
	stolen, err3 := scram.NewTLSExporterBinding(elsewhere)
	wrongEndpoint, err4 := scram.NewTLSServerEndpointBinding(elsewhere)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	unique := scram.NewTLSUniqueBinding([]byte("0123456789ab"))
	for _, c := range []struct {
		claim, mechanism string
		start            func(*scram.Client) *scram.ClientConversation
		want             error
	}{
		{"tls-exporter", ScramSHA256Plus, bound(exporter), nil},
		{"tls-server-end-point", ScramSHA256Plus, bound(endpoint), nil},
		{"tls-unique is unsafe", ScramSHA256Plus, bound(unique), ErrSyntax},
		{"tls-exporter of another connection", ScramSHA256Plus, bound(stolen), auth.ErrCredentials},
		{"tls-server-end-point of another server", ScramSHA256Plus, bound(wrongEndpoint), auth.ErrCredentials},
		{"-PLUS without binding", ScramSHA256Plus, (*scram.Client).NewConversation, ErrSyntax},
		{"-PLUS by a client that was not offered it", ScramSHA256Plus, (*scram.Client).NewConversationAdvertisingChannelBinding, ErrSyntax},
		{"binding without -PLUS", ScramSHA256, bound(exporter), ErrSyntax},
		{"a client that cannot bind", ScramSHA256, (*scram.Client).NewConversation, nil},
		{"a downgrade: the client did not see our -PLUS", ScramSHA256, (*scram.Client).NewConversationAdvertisingChannelBinding, ErrSyntax},
	} {
		theirs, err := scram.SHA256.NewClient(ann, right, "")
		if err != nil {
			t.Fatal(err)
		}
		ours, err := New(c.mechanism, b, server)
		if err != nil {
			t.Fatal(err)
		}
		if err := client(t, ours, c.start(theirs)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.claim, err, c.want)
		}
	}
}

func bound(b scram.ChannelBinding) func(*scram.Client) *scram.ClientConversation {
	return func(c *scram.Client) *scram.ClientConversation { return c.NewConversationWithChannelBinding(b) }
}

func TestChannelBindingOverTLS12(t *testing.T) {
	server, theirs := connect(t, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })
	b := backend(t, nil)
	exporter, err := scram.NewTLSExporterBinding(theirs) // with extended master secret
	if err != nil {
		t.Fatal(err)
	}
	conversation, err := scram.SHA256.NewClient(ann, right, "")
	if err != nil {
		t.Fatal(err)
	}
	ours, _ := New(ScramSHA256Plus, b, server)
	if err := client(t, ours, conversation.NewConversationWithChannelBinding(exporter)); err != nil {
		t.Error(err)
	}
	endpoint, err := scram.NewTLSServerEndpointBinding(theirs)
	if err != nil {
		t.Fatal(err)
	}
	ours, _ = New(ScramSHA256Plus, b, server)
	if err := client(t, ours, conversation.NewConversationWithChannelBinding(endpoint)); !errors.Is(err, ErrSyntax) {
		t.Errorf("binding to a certificate we do not know: %v, want ErrSyntax", err)
	}
}

var errDisk = errors.New("disk on fire")

// failing has credentials nobody can read now.
type failing struct{}

func (failing) Password(context.Context, string, string) (auth.Identity, error) {
	return auth.Identity{}, errDisk
}
func (failing) SCRAM(context.Context, string) (auth.ScramCredentials, error) {
	return auth.ScramCredentials{}, errDisk
}
func (failing) Certificate(*tls.ConnectionState) *x509.Certificate { return nil }

func TestTemporaryErrorsAreNotCredentialErrors(t *testing.T) {
	for mechanism, messages := range map[string][]string{
		Plain: {"\x00a\x00b"}, Login: {"a", "b"}, ScramSHA256: {"n,,n=a,r=abc"},
	} {
		s, _ := New(mechanism, failing{}, nil)
		_, _, err := exchange(t, s, messages...)
		if !errors.Is(err, errDisk) || errors.Is(err, auth.ErrCredentials) || errors.Is(err, ErrSyntax) {
			t.Errorf("%s: %v, want the error of the disk", mechanism, err)
		}
	}
}

// loose lets everybody in by password and nobody by SCRAM.
type loose struct{ failing }

func (loose) Password(_ context.Context, login, _ string) (auth.Identity, error) {
	return auth.Identity{Account: 1, Login: login}, nil
}
func (loose) SCRAM(context.Context, string) (auth.ScramCredentials, error) {
	return auth.ScramCredentials{SCRAMKeys: directory.SCRAMKeys{Salt: []byte("salt"), Iterations: 4096, StoredKey: make([]byte, 32), ServerKey: make([]byte, 32)}}, nil
}

// Any bytes end in an error or an identity, in a few steps.
func FuzzServer(f *testing.F) {
	for mechanism := range 3 {
		f.Add(mechanism, []byte("\x00ann\x00pw"), []byte("c=biws,r=abc,p=AAAA"), []byte(""))
		f.Add(mechanism, []byte("n,,n=ann,r=abc"), []byte("c=biws,r=abc,p=AAAA"), []byte(""))
		f.Add(mechanism, []byte("y,a=b,n=a=2Cn,r=abc,m=x"), []byte("x"), []byte("y"))
	}
	f.Fuzz(func(t *testing.T, mechanism int, a, b, c []byte) {
		names := []string{Plain, Login, ScramSHA256}
		name := names[uint(mechanism)%3]
		s, err := New(name, loose{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, message := range [][]byte{a, b, c} {
			challenge, done, err := s.Next(t.Context(), message)
			if err != nil {
				return
			}
			if len(challenge) > 2*MaxMessage {
				t.Fatalf("challenge of %d bytes", len(challenge))
			}
			if done {
				if name == ScramSHA256 || s.Identity().Account != 1 || s.Identity().Login == "" {
					t.Fatalf("%s let in %+v", name, s.Identity())
				}
				return
			}
		}
	})
}
