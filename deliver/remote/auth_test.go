package remote

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"

	"posthaste/mail"

	"github.com/xdg-go/scram"
)

// A host may offer channel binding and not know our kind of it.
func TestLoginGoesOnWithoutChannelBinding(t *testing.T) {
	for _, c := range []struct{ claim, reply, want string }{
		{"PLUS refused: the next mechanism", "501 5.5.2 unknown channel binding", "AUTH SCRAM-SHA-256-PLUS|AUTH SCRAM-SHA-256"},
		{"a wrong password: no second try that counts against us", "535 5.7.8 no", "AUTH SCRAM-SHA-256-PLUS"},
		{"the connection lost: no more", "drop", "AUTH SCRAM-SHA-256-PLUS"},
	} {
		w, h, _ := secureWorld(t, "mx1.south.test", false)
		h.offers = append(h.offers, "250-AUTH SCRAM-SHA-256 SCRAM-SHA-256-PLUS")
		h.replies["AUTH"] = []string{c.reply, "535 5.7.8 no"}
		dest := Fixed("mx1.south.test", 25)
		dest.TLS, dest.Login = Verified, &Login{"ann", "secret"}
		got := w.sendTo(t.Context(), dest, mail.Envelope{}, plainContent, "bob")
		var tried []string
		for _, line := range h.seen() {
			if strings.HasPrefix(line, "AUTH ") {
				tried = append(tried, strings.Join(strings.Fields(line)[:2], " "))
			}
		}
		if strings.Join(tried, "|") != c.want || !strings.HasPrefix(got[0], "451") {
			t.Errorf("%s: tried %q, got %q; want %q", c.claim, tried, got, c.want)
		}
	}
}

func TestLoginIsBoundToItsConnection(t *testing.T) {
	client, err := scram.SHA256.NewClient("ann", "secret", "")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "0123456789abcdef", Iters: 4096})
	if err != nil {
		t.Fatal(err)
	}
	server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { return keys, nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for password, want := range map[string]string{"secret": "250", "wrong": "451 4.7.8"} {
			w, h, _ := secureWorld(t, "mx1.south.test", false)
			h.tls.MaxVersion = version
			h.offers = append(h.offers, "250-AUTH SCRAM-SHA-256-PLUS")
			h.login = func(state tls.ConnectionState) interface {
				Step(string) (string, error)
				Valid() bool
			} {
				binding, err := scram.NewTLSExporterBinding(&state)
				if version == tls.VersionTLS12 {
					state.PeerCertificates = append(state.PeerCertificates, leafOf(h.tls))
					binding, err = scram.NewTLSServerEndpointBinding(&state)
				}
				if err != nil {
					t.Error(err)
				}
				return server.NewConversationWithChannelBindingRequired(binding)
			}
			dest := Fixed("mx1.south.test", 25)
			dest.TLS, dest.Login = Verified, &Login{"ann", password}
			if got := w.sendTo(t.Context(), dest, mail.Envelope{}, plainContent, "bob"); !strings.HasPrefix(got[0], want) {
				t.Errorf("%s with password %q: got %q, want %s\n%s", tls.VersionName(version), password, got, want, w.story.texts())
			}
		}
	}
}

func leafOf(cfg *tls.Config) *x509.Certificate {
	c, err := cfg.GetCertificate(&tls.ClientHelloInfo{ServerName: "mx1.south.test"})
	if err != nil {
		panic(err)
	}
	return c.Leaf
}
