package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestExampleIsAccepted(t *testing.T) {
	c, err := Parse("example.toml", []byte(Example))
	if err != nil {
		t.Fatal(err)
	}
	if c.Hostname != "mail.example.org" || len(c.Listen) != 6 || c.SMTP.MaxSize != 50<<20 || c.Queue.Expire.D() != 5*24*time.Hour {
		t.Errorf("read as %+v", c)
	}
}

// The file of design section 6 is what scripts outside the project write.
func TestDesignFileIsAccepted(t *testing.T) {
	c, err := Parse("x", []byte(`
hostname = "mx.bench.example"
data = "/tmp/x/data"
[tls]
certificate = { cert = "/x/cert.pem", key = "/x/key.pem" }
plaintext_auth = true
[dns]
servers = ["127.0.0.1:5300"]
[remote]
port = 2_626
[limits]
exempt = ["127.0.0.0/8", "::1"]
[[listen]]
service = "mx"
address = "127.0.0.1:2525"
[[listen]]
service = "imap"
address = "127.0.0.1:2143"
`))
	if err != nil {
		t.Fatal(err)
	}
	if c.TLS.Certificate != (Certificate{"files", "/x/cert.pem", "/x/key.pem"}) || c.Remote.Port != 2626 || !c.TLS.PlaintextAuth || len(c.DNS.Servers) != 1 {
		t.Errorf("read as %+v", c)
	}
}

func TestEveryErrorIsReportedWithItsLine(t *testing.T) {
	const text = `hostname = "localhost"
data = "relative"
colour = "blue"
[smtp]
max_sise = "1MiB"
max_size = 12 MiB
max_recipients = "many"
bare_lf = "maybe"
[queue]
retry = "5 minutes"
expire = "90d"
expire = "4d"
[nowhere]
key = 1
[[listen]]
service = "telnet"
address = ":99999"
[[listen]]
service = "mx"
`
	_, err := Parse("bad.toml", []byte(text))
	var all *Error
	if !errors.As(err, &all) {
		t.Fatalf("got %v, want an *Error", err)
	}
	for _, want := range []string{
		`bad.toml:1: hostname: "localhost" is not a fully qualified`,
		`bad.toml:2: data: "relative" is not an absolute path`,
		`bad.toml:3: colour: no such key`,
		`bad.toml:5: smtp.max_sise: no such key; did you mean max_size?`,
		`bad.toml:6: `,
		`bad.toml:7: smtp.max_recipients: want a number`,
		`bad.toml:8: smtp.bare_lf: "maybe" is none of reject, accept`,
		`bad.toml:10: queue.retry: "5 minutes" is not a duration`,
		`bad.toml:11: queue.expire: "90d" is out of bounds: 1s to 7d`,
		`bad.toml:12: queue.expire: set twice, first in line 11`,
		`bad.toml:13: nowhere: no such table`,
		`bad.toml:16: listen[0].service: "telnet" is none of mx`,
		`bad.toml:17: listen[0].address: ":99999" is not host:port`,
		`bad.toml:18: listen[1]: address is missing`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
}

func TestLocalDomain(t *testing.T) {
	for _, c := range []struct{ claim, hostname, domain, want string }{
		{"is the host's name without the host", "mail.example.org", "", "example.org"},
		{"is what the file says", "mail.example.org", "Example.net", "example.net"},
		{"is the whole of a short name", "Example.org", "", "example.org"},
	} {
		if got := (&Config{Hostname: c.hostname, Domain: c.domain}).LocalDomain(); got != c.want {
			t.Errorf("%s: got %s, want %s", c.claim, got, c.want)
		}
	}
}

func TestShowIsReadBackAsTheSame(t *testing.T) {
	c, err := Parse("x", []byte(Example+"[smtp]\nproxy_networks = [\"10.0.0.0/8\"]\n"))
	if err != nil {
		t.Fatal(err)
	}
	var first, second strings.Builder
	c.WriteTOML(&first)
	again, err := Parse("shown", []byte(first.String()))
	if err != nil {
		t.Fatalf("%v\n%s", err, first.String())
	}
	again.WriteTOML(&second)
	if first.String() != second.String() {
		t.Errorf("shown\n%s\nread back as\n%s", first.String(), second.String())
	}
}

func TestEverySettingHasAManual(t *testing.T) {
	for _, s := range Settings() {
		if len(s.Doc) < 20 || !strings.HasSuffix(s.Doc, ".") {
			t.Errorf("%s: manual is %q", s.Key, s.Doc)
		}
	}
}

func TestMissingFileSaysWhatToDo(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.toml"))
	if err == nil || !strings.Contains(err.Error(), "config example") {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(Example))
	f.Add([]byte("[[listen]\nservice=1\n[a.b]\nc={d=1}\nhostname.x=2\nlisten=[1]\nlisten.x=1\ndata=[\"a\"]\n"))
	f.Add([]byte("tls.certificate = { cert = 1, key = [] }\n[tls]\n[tls.certificate]\ncert=\"\"\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("fuzz", text)
		if (c == nil) == (err == nil) {
			t.Fatalf("Parse = %v, %v", c, err)
		}
	})
}

func TestMain(m *testing.M) {
	os.Unsetenv(EnvFile)
	os.Exit(m.Run())
}

// TestLinesOfManySections: those who generate a configuration write sections by the thousand, and each
// has to be told by its own line in time proportional to the text.
func TestLinesOfManySections(t *testing.T) {
	const sections = 5000
	var text strings.Builder
	text.WriteString("hostname = \"mx.north.test\"\n[[listen]]\nservice = \"mx\"\naddress = \":25\"\n")
	for range sections {
		text.WriteString("[[access]]\nstage = \"sender\"\ntable = \"inline:{a=OK}\"\n")
	}
	c, err := Parse("conf", []byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Problem("access[4999].table", "").Line, 4+sections*3; got != want {
		t.Errorf("the last table stands in line %d, want %d", got, want)
	}
}
