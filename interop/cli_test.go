package interop

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestCommandLine runs the scripts of testdata/cli. Each has a directory of its own with a
// configuration in conf.toml, where @WORK@ stands for that directory, and posthaste as a program. Beyond testscript's own commands they use
//
//	serve            starts a node with conf.toml; it ends with the script, or at stop
//	stop             ends it
//	crash            ends it by kill -9
//	occupy           listens on a free port of 127.0.0.1, in $TAKEN
//	publish FILE     adds the records of a zone file to the name server at @DNS@
func TestCommandLine(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:             "testdata/cli",
		ContinueOnError: true,
		Setup:           func(env *testscript.Env) error { return setupScript(t, env) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve":  serveScript,
			"stop":   stopScript,
			"crash":  crashScript,
			"occupy": occupyScript,

			"publish": publishScript,
		},
	})
}

type nodeKey struct{}

func setupScript(t *testing.T, env *testscript.Env) error {
	env.Setenv("PATH", filepath.Dir(binary)+string(filepath.ListSeparator)+env.Getenv("PATH"))
	env.Setenv("POSTHASTE_CONFIG", "conf.toml")
	env.Setenv("TESTPID", fmt.Sprint(os.Getpid()))
	config := filepath.Join(env.WorkDir, "conf.toml")
	if text, err := os.ReadFile(config); err == nil {
		if text, err = startNames(env, text); err != nil {
			return err
		}
		if err := os.WriteFile(config, bytes.ReplaceAll(text, []byte("@WORK@"), []byte(env.WorkDir)), 0o600); err != nil {
			return err
		}
	}
	running := &site{config: config, log: &nodeLog{addresses: map[string]string{}}}
	env.Values[nodeKey{}] = running
	env.Defer(func() {
		if err := running.end(); err != nil {
			t.Error(err)
		}
	})
	return nil
}

func serveScript(ts *testscript.TestScript, neg bool, args []string) {
	w := ts.Value(nodeKey{}).(*site)
	if neg || len(args) != 0 {
		ts.Fatalf("usage: serve")
	}
	ts.Check(w.run())
	for _, service := range []string{"mx", "submission", "imap"} {
		ts.Setenv(strings.ToUpper(service), w.address(service))
	}
	ts.Setenv("NODEPID", fmt.Sprint(w.process.Process.Pid))
}

func stopScript(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(ts.Value(nodeKey{}).(*site).end())
}

func crashScript(ts *testscript.TestScript, _ bool, _ []string) {
	w := ts.Value(nodeKey{}).(*site)
	w.process.Process.Kill()
	<-w.ended
	w.process = nil
}

func occupyScript(ts *testscript.TestScript, _ bool, _ []string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { ln.Close() })
	ts.Setenv("TAKEN", ln.Addr().String())
}
