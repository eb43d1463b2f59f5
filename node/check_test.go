package node

import (
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
			err = Check(t.Context(), cfg, file, slog.New(slog.DiscardHandler))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if left, _ := os.ReadDir(scratch); len(left) > 0 {
				t.Errorf("%d things were left behind", len(left))
			}
		})
	}
}
