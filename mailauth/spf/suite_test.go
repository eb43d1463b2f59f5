package spf

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"posthaste/dns"
	"posthaste/dns/dnstest"
	"posthaste/mail"

	"gopkg.in/yaml.v3"
)

// vectors is where the public test vectors lie, seen from this directory.
const vectors = "../../../shared/testdata/spf"

func readVectors(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(vectors, name))
	if os.IsNotExist(err) {
		t.Skipf("SKIPPED: public test vectors are missing: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A scenario is a document of the OpenSPF suite: zones, and checks on them.
type scenario struct {
	Description string
	Tests       map[string]vector
	ZoneData    map[string][]any
}

type vector struct {
	Helo, Host, MailFrom string
	Result               any // one, or a list of those that are right
	Explanation          string
}

func (v vector) allows(r Result) bool {
	if list, ok := v.Result.([]any); ok {
		return slices.Contains(list, any(string(r)))
	}
	return v.Result == string(r)
}

func (v vector) query() Query {
	return Query{IP: netip.MustParseAddr(v.Host), Helo: v.Helo, From: reversePath(v.MailFrom), Hostname: "receiver.example"}
}

func reversePath(s string) mail.ReversePath {
	at := strings.LastIndexByte(s, '@')
	if s == "" {
		return mail.ReversePath{}
	}
	if at < 0 {
		return mail.ReversePath{Address: mail.Address{Local: "postmaster", Domain: s}}
	}
	return mail.ReversePath{Address: mail.Address{Local: s[:at], Domain: s[at+1:]}}
}

func scenarios(t testing.TB, file string) []scenario {
	t.Helper()
	var all []scenario
	for d := yaml.NewDecoder(bytes.NewReader(readVectors(t, file))); ; {
		var s scenario
		if err := d.Decode(&s); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
}

// world sets a server up with the zones of s. A record SPF stands for a TXT record unless there is one;
// TIMEOUT makes what stands before it the only answers.
func (s scenario) world(t testing.TB) *dnstest.Server {
	t.Helper()
	server := dnstest.New()
	for name, entries := range s.ZoneData {
		if name == "" || strings.Contains(name, "..") {
			continue
		}
		var texts []string
		silent, none, told := false, false, false
		for _, e := range entries {
			fields, ok := e.(map[string]any)
			if !ok {
				silent = true
				continue
			}
			for kind, value := range fields {
				switch kind {
				case "SPF":
					texts = append(texts, joined(value))
				case "TXT":
					none = true // no copies of SPF
					if v := joined(value); v != "NONE" {
						server.TXT(name, v)
						told = true
					}
				case "A", "AAAA":
					server.Addr(name, value.(string))
				case "MX":
					mx := value.([]any)
					if host := mx[1].(string); host != "" {
						server.MX(name, uint16(mx[0].(int)), host)
					} else {
						server.MX(name, uint16(mx[0].(int)), ".")
					}
				case "PTR":
					if err := server.Add(name + ". 60 IN PTR " + strings.TrimSuffix(value.(string), ".") + "."); err != nil {
						t.Fatal(err)
					}
				case "CNAME":
					server.CNAME(name, value.(string))
				default:
					t.Fatalf("%s has a record of type %s", name, kind)
				}
			}
		}
		if !none {
			for _, txt := range texts {
				server.TXT(name, txt)
				told = true
			}
		}
		if silent && !told {
			server.SetFault(name, dnstest.Fault{Kind: dnstest.ServFail})
		}
	}
	return server
}

func joined(v any) string {
	if list, ok := v.([]any); ok {
		var b strings.Builder
		for _, part := range list {
			b.WriteString(part.(string))
		}
		return b.String()
	}
	return v.(string)
}

func resolverOf(t testing.TB, server *dnstest.Server) *dns.Resolver {
	t.Helper()
	r, err := dns.New(dns.Config{Servers: []string{"192.0.2.53"}, Exchange: server.Exchange})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// run runs all vectors of a file but those that are superseded, and returns how many.
func runSuite(t *testing.T, file string, superseded map[string]string) (n int) {
	for _, s := range scenarios(t, file) {
		server := s.world(t)
		for name, v := range s.Tests {
			n++
			if superseded[name] != "" {
				delete(superseded, name)
				continue
			}
			got := Check(context.Background(), resolverOf(t, server), v.query())
			if !v.allows(got.Result) {
				t.Errorf("%s/%s: got %s (%s), want %v", s.Description, name, got.Result, got.Reason, v.Result)
			}
			if want := v.Explanation; want != "" && want != "DEFAULT" && got.Explanation != want {
				t.Errorf("%s/%s: explanation %q, want %q", s.Description, name, got.Explanation, want)
			}
			if v.Explanation == "DEFAULT" && got.Explanation != "" {
				t.Errorf("%s/%s: explanation %q, want none", s.Description, name, got.Explanation)
			}
		}
	}
	for name := range superseded {
		t.Errorf("%s is an exception, and no test of the suite", name)
	}
	return n
}

func TestRFC7208Suite(t *testing.T) {
	if n := runSuite(t, "rfc7208-tests.yml", nil); n != 203 {
		t.Errorf("ran %d tests, want 203", n)
	}
}

func TestRFC4408Suite(t *testing.T) {
	n := runSuite(t, "rfc4408-tests.yml", map[string]string{})
	t.Logf("%d tests", n)
}
