package filtertest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// An Rspamd is rspamd with its default rules and without DNS, Redis and network.
type Rspamd struct {
	*Process
	Normal, Controller, Milter int // ports
}

// StartRspamd runs rspamd in a directory made by Dir. Without its list of 9600 domains and its compiler
// of expressions it starts in seconds.
func StartRspamd(t *testing.T, dir string) *Rspamd {
	t.Helper()
	program := Peer(t, "rspamd", "rspamd")
	r := &Rspamd{Normal: FreePort(t), Controller: FreePort(t), Milter: FreePort(t)}
	tlds := Write(t, dir, "tlds", "com\norg\ntest\n")
	for name, text := range map[string]string{
		"options.inc": fmt.Sprintf(`dns { nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; }
local_addrs = []; disable_hyperscan = true; url_tld = %q; filters = "chartable,regexp";`, tlds),
		"worker-normal.inc":     fmt.Sprintf("bind_socket = \"127.0.0.1:%d\"; count = 1;", r.Normal),
		"worker-controller.inc": fmt.Sprintf("bind_socket = \"127.0.0.1:%d\"; count = 1;", r.Controller),
		"worker-proxy.inc":      fmt.Sprintf("bind_socket = \"127.0.0.1:%d\"; milter = yes; count = 1; upstream \"local\" { default = yes; self_scan = yes; }", r.Milter),
		"greylist.conf":         "enabled = false;",
		"fuzzy_check.conf":      "enabled = false;",
	} {
		Write(t, dir, filepath.Join("local.d", name), text)
	}
	args := []string{program, "-f"}
	for variable, sub := range map[string]string{"DBDIR": "db", "RUNDIR": "run", "LOGDIR": "log"} {
		path := filepath.Join(dir, sub)
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 {
			if err := os.Chown(path, nobody, nobody); err != nil {
				t.Fatal(err)
			}
		}
		args = append(args, "--var="+variable+"="+path)
	}
	r.Process = Start(t, dir, r.Normal, append(args, "--var=LOCAL_CONFDIR="+dir)...)
	return r
}
