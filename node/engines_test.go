package node

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"posthaste/config"
	"posthaste/filter"
	"posthaste/mail"
)

const engineConfig = `hostname = "mx.north.test"
[[listen]]
service = "mx"
address = ":25"
`

func TestRemoteEnginesAreThoseOfTheConfiguration(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("test.toml", []byte(engineConfig+`
[[milter]]
address = "inet:127.0.0.1:8891"
submission = true
[[milter]]
name = "greylist"
address = "unix:/run/greylist.sock"
stage = "session"
on_failure = "defer"
[[rspamd]]
url = "http://127.0.0.1:11333"
[[spamd]]
address = "inet:127.0.0.1:783"
submission = true
[[hook]]
url = "https://hook.test/mail"
token_file = "`+token+`"
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		outgoing bool
		want     string
	}{{false, "inet:127.0.0.1:8891 rspamd spamd hook.test"}, {true, "inet:127.0.0.1:8891 spamd"}} {
		engines, err := remoteEngines(c, row.outgoing, slog.New(slog.DiscardHandler))
		var names []string
		for _, e := range engines {
			if _, ok := e.(*filter.Guard); !ok {
				t.Errorf("%s has no guard", e.Name())
			}
			names = append(names, e.Name())
		}
		if got := strings.Join(names, " "); err != nil || got != row.want {
			t.Errorf("outgoing %v: got %s, %v; want %s", row.outgoing, got, err, row.want)
		}
	}
	if s, err := sessionMilters(c, nil); err != nil || len(s) != 1 || s[0].Name() != "greylist" || s[0].Silence(err).Action != mail.Greylist {
		t.Errorf("session: %+v, %v", s, err)
	}
}

func TestWrongEnginesAreProblemsWithTheirLine(t *testing.T) {
	c, err := config.Parse("test.toml", []byte(engineConfig+`[[milter]]
address = "8891"
[[rspamd]]
url = "127.0.0.1:11333"
password_file = "/nowhere"
[[spamd]]
address = "783"
[[hook]]
url = "ftp://x"
`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = remoteEngines(c, false, nil)
	var wrong *config.Error
	if !errors.As(err, &wrong) || len(wrong.Problems) != 5 {
		t.Fatalf("got %v", err)
	}
	lines := map[int]bool{}
	for _, p := range wrong.Problems {
		lines[p.Line] = true
	}
	for _, line := range []int{6, 8, 9, 10, 12} {
		if !lines[line] {
			t.Errorf("nothing is said of line %d: %v", line, err)
		}
	}
}
