package arc

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"posthaste/dns"
	"posthaste/dns/dnstest"
	"posthaste/mailauth/results"
	"posthaste/message"
)

// A suite is one document of the ARC test suite.
type suite struct {
	Tests   yaml.Node         // a mapping; some names occur twice
	Records map[string]string `yaml:"txt-records"`
	Domain  string
	Sel     string
	Key     string `yaml:"privatekey"`
}

type vector struct {
	name        string
	Description string
	Message     string
	CV          string
	T           int64
	Headers     string `yaml:"sig-headers"`
	ID          string `yaml:"srv-id"`
	AS          string `yaml:"AS"`
	AMS         string `yaml:"AMS"`
	AAR         string `yaml:"AAR"`
}

func suites(t testing.TB, path string) (all []suite) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for d := yaml.NewDecoder(f); ; {
		var s suite
		err := d.Decode(&s)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
}

func (s suite) vectors(t testing.TB) (all []vector) {
	t.Helper()
	for pair := range slices.Chunk(s.Tests.Content, 2) {
		v := vector{name: pair[0].Value}
		if err := pair[1].Decode(&v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

// resolver returns one that knows records.
func resolver(t testing.TB, records map[string]string) *dns.Resolver {
	t.Helper()
	s := dnstest.New()
	for name, text := range records {
		s.TXT(name, strings.Join(strings.Fields(text), " "))
	}
	r, err := dns.New(dns.Config{Servers: []string{"192.0.2.53"}, Exchange: s.Exchange})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func crlf(s string) []byte {
	return []byte(strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n"))
}

// TestValidation runs the validation tests of the ARC test suite, all of them.
func TestValidation(t *testing.T) {
	n := 0
	for _, s := range suites(t, "testdata/arc-draft-validation-tests.yml") {
		v := NewVerifier(resolver(t, s.Records))
		for _, test := range s.vectors(t) {
			n++
			t.Run(test.name, func(t *testing.T) {
				content := crlf(test.Message)
				got := v.Verify(t.Context(), message.ParseHeader(content), content)
				want := Result(strings.ToLower(strings.TrimSpace(test.CV)))
				if want == "" {
					want = Fail // the suite leaves it empty where the message is not one that any chain can be in
				}
				if got.Result != want {
					t.Errorf("%s: %s (%s), want %s", test.Description, got.Result, got.Reason, want)
				}
			})
		}
	}
	if n != 175 { // 171 names, four of which stand for two tests
		t.Errorf("%d tests were run, of 175", n)
	}
}

// TestSealing runs the signing tests of the ARC test suite, all of them: what we make is what it expects,
// byte by byte in its canonical form.
func TestSealing(t *testing.T) {
	n := 0
	for _, s := range suites(t, "testdata/arc-draft-sign-tests.yml") {
		block, _ := pem.Decode([]byte(s.Key))
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range s.vectors(t) {
			n++
			t.Run(test.name, func(t *testing.T) {
				content := crlf(test.Message)
				sealer := Sealer{AuthServ: test.ID, Domain: s.Domain, Selector: s.Sel, Key: key, Headers: strings.Split(test.Headers, ":"), unfolded: true}
				before := Chain{Result: claimedResult(content)}
				fields, err := sealer.Seal(content, before, time.Unix(test.T, 0))
				if strings.TrimSpace(test.AS) == "" {
					if !errors.Is(err, ErrSealed) {
						t.Errorf("a set was added to a closed chain: %s, %v", fields, err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				h := message.ParseHeader(fields)
				wantField(t, h, fieldSeal, test.AS)
				wantField(t, h, fieldSignature, test.AMS)
				wantField(t, h, fieldResults, test.AAR)
				if before.Result == Fail {
					return
				}
				whole := append(fields, content...)
				c := NewVerifier(resolver(t, s.Records)).Verify(t.Context(), message.ParseHeader(whole), whole)
				if c.Result != Pass {
					t.Errorf("the chain with our set: %s (%s)", c.Result, c.Reason)
				}
			})
		}
	}
	if n != 17 {
		t.Errorf("%d tests were run, of 17", n)
	}
}

// claimedResult is what Authentication-Results on top of a test's message say of its chain.
func claimedResult(content []byte) Result {
	h := message.ParseHeader(content)
	for _, text := range h.Values("Authentication-Results") {
		field, _ := results.Parse(text)
		if got := field.Get("arc"); len(got) > 0 {
			return Result(got[0].Value)
		}
	}
	if h.Has(fieldSeal) {
		return Pass
	}
	return None
}

// wantField compares a field with what the suite has, but for white space.
func wantField(t *testing.T, h message.Header, name, want string) {
	t.Helper()
	f, ok := h.Field(name)
	if !ok {
		t.Errorf("there is no %s", name)
		return
	}
	got := strings.Join(strings.Fields(string(f.Value())), "")
	want = strings.TrimSuffix(strings.Join(strings.Fields(want), ""), ";")
	if got != want {
		t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
	}
}

// TestMail validates real messages that were forwarded.
func TestMail(t *testing.T) {
	paths, err := filepath.Glob("testdata/mail-auth/0*.txt")
	if err != nil || len(paths) != 2 {
		t.Fatalf("%d messages, %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			head, text, _ := bytes.Cut(b, []byte("\n\n"))
			records := map[string]string{}
			for line := range strings.Lines(string(head)) {
				name, record, _ := strings.Cut(strings.TrimSpace(line), " ")
				records[name] = record
			}
			content := crlf(string(text))
			got := NewVerifier(resolver(t, records)).Verify(t.Context(), message.ParseHeader(content), content)
			if got.Result != Pass {
				t.Errorf("%s: %s", got.Result, got.Reason)
			}
			for _, s := range got.Sets {
				t.Log(strconv.Itoa(s.Instance), s.Domain, s.AuthServ, len(s.Results), s.Claimed)
				if len(s.Results) == 0 || s.AuthServ == "" {
					t.Errorf("instance %d tells nothing: %q", s.Instance, s.Canonical)
				}
			}
		})
	}
}
