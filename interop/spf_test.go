package interop

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"posthaste/dns/dnstest"
)

// nameServer runs a name server and writes a configuration that asks it. more is TOML that follows.
func nameServer(t *testing.T, more string) (server *dnstest.Server, config string) {
	t.Helper()
	server = dnstest.New()
	must(t, server.Listen("127.0.0.1:0"))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-done)
	})
	dir := t.TempDir()
	config = filepath.Join(dir, "posthaste.toml")
	must(t, os.WriteFile(config, []byte("hostname = \"mx.here.test\"\ndata = \""+filepath.Join(dir, "data")+"\"\n"+
		"[dns]\nservers = [\""+server.Address()+"\"]\n[[listen]]\nservice = \"mx\"\naddress = \"127.0.0.1:0\"\n"+more), 0o600))
	return server, config
}

// TestSPFCheckTellsItsWay asks the command about a host that may send and one that may not.
func TestSPFCheckTellsItsWay(t *testing.T) {
	server, config := nameServer(t, "")
	server.TXT("north.test", "v=spf1 include:%{d1r}.provider.test -all exp=why.north.test")
	server.TXT("north.provider.test", "v=spf1 a:%{l}.provider.test -all")
	server.Addr("ann.provider.test", "192.0.2.1")
	server.TXT("why.north.test", "%{i} is none of ours")
	for _, c := range []struct {
		claim string
		args  []string
		want  []string
	}{
		{"a host that may", []string{"192.0.2.1", "ann@north.test"}, []string{
			"pass for north.test by 192.0.2.1", "a:%{l}.provider.test asks ann.provider.test, matches: pass",
			"its record: v=spf1 include:%{d1r}.provider.test -all", "spf=pass smtp.mailfrom=north.test"}},
		{"a host that may not", []string{"192.0.2.9", "ann@north.test"}, []string{
			"fail for north.test", "north.test explains: 192.0.2.9 is none of ours", "-all: matches everybody"}},
		{"the null sender", []string{"192.0.2.9", "<>", "void.test"}, []string{"none for void.test", "spf=none smtp.helo=void.test"}},
		{"JSON", []string{"192.0.2.1", "ann@north.test", "--json"}, []string{`"result":"pass"`, `"trace":[{"subject":"north.test"`}},
	} {
		out, status := command{args: append([]string{binary, "--config", config, "spf", "check"}, c.args...)}.run(t)
		for _, want := range c.want {
			if status != 0 || !strings.Contains(out, want) {
				t.Errorf("%s: status %d, no %q in\n%s", c.claim, status, want, out)
			}
		}
	}
}
