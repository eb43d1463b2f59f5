package node

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"posthaste/config"
)

func TestCheckFindsWhatWouldKeepANodeFromStarting(t *testing.T) {
	file, scratch := filepath.Join(t.TempDir(), "conf"), t.TempDir()
	t.Setenv("TMPDIR", scratch)
	for name, c := range map[string]struct{ text, want string }{
		"nothing": {"", ""},
		"a table that is not there": {`[[access]]
stage = "client"
table = "cidr:/nonexistent"`, "conf:9: access[0]"},
		"the second of two rules": {`[[access]]
stage = "client"
table = "inline:{a=OK}"
[[access]]
stage = "helo"
table = "inline:{a=OK}"
default = "sometimes"`, `conf:12: access[1]`},
		"a smarthost without a section": {`[route]
default = "smarthost:hub"`, `there is no [[smarthost]] "hub"`},
		"a value that no program gets": {`[[pipe]]
name = "rt"
command = ["/bin/rt", "${colour}"]`, "conf:9: pipe[0]: "},
		"a database that does not answer": {`[[table]]
name = "users"
type = "sql"
url = "postgres://mail@127.0.0.1:1/mail?connect_timeout=1"
query = "SELECT %s"`, "table sql:users: "},
	} {
		t.Run(name, func(t *testing.T) {
			text := "hostname = \"mx.north.test\"\ndata = \"/nonexistent/data\"\n[dns]\nservers = [\"127.0.0.1:1\"]\n[[listen]]\nservice = \"mx\"\naddress = \"127.0.0.1:0\"\n" + "\n" + c.text + "\n"
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			err = Check(t.Context(), cfg, Trial{File: file, Log: slog.New(slog.DiscardHandler)})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if left, _ := os.ReadDir(scratch); len(left) > 0 {
				t.Errorf("%d things were left behind", len(left))
			}
		})
	}
}

// One call tells of everything, in order of line.
func TestCheckReportsAllAtOnce(t *testing.T) {
	dir := t.TempDir()
	file, aliases, broken := filepath.Join(dir, "conf"), filepath.Join(dir, "aliases"), filepath.Join(dir, "broken")
	text := strings.NewReplacer("DIR", dir).Replace(`hostname = "mx.north.test"
data = "/nonexistent/data"
user = "no-such-user"
[tls]
certificate = { cert = "DIR/no.crt", key = "DIR/no.key" }
[dns]
servers = ["not an address"]
[route]
default = "smarthost:hub"
transports = ["file:DIR/no-table"]
[alias]
files = ["DIR/aliases", "DIR/broken"]
[unix]
users = ["*", "nobody-there"]
[drop]
enabled = true
[[pipe]]
name = "rt"
command = ["/nonexistent/rt"]
[[sender_rate]]
match = "*"
rate = "often"
[[table]]
name = "users"
type = "sql"
url = "postgres://mail@127.0.0.1:1/mail?connect_timeout=1"
query = "SELECT %s"
`)
	for path, content := range map[string]string{file: text, aliases: "team: :include:" + dir + "/no-team\n", broken: "ok: ann\nwhat is this\n"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	trial := Trial{File: "conf", Log: slog.New(slog.DiscardHandler)}
	err = Check(t.Context(), cfg, trial)
	var problems *config.Error
	if !errors.As(err, &problems) {
		t.Fatalf("got %v", err)
	}
	rest := problems.Error()
	for _, want := range []string{"conf:3: user: ", "no-such-user", "conf:5: tls.certificate: ", "conf:6: dns: ", "conf:9: route.default: ", "conf:10: route.transports: ",
		"conf:12: alias.files: ", "broken: line 2: ", "aliases line 1: ", "no-team", "conf:14: unix.users: ", "nobody-there",
		"conf:19: pipe[0].command: ", "conf:22: sender_rate[0].rate: ", "conf:23: table[0]: ", "sql:users"} {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Errorf("no %q, in its order, in\n%s", want, err)
			continue
		}
		rest = after
	}
	trial.Offline = true
	if err := Check(t.Context(), cfg, trial); strings.Contains(err.Error(), "sql:users") {
		t.Errorf("the server was asked: %v", err)
	}
}
