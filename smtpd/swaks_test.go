package smtpd

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
)

// TestSwaksSpeaksXClient sends as Debian's swaks does, which learned XCLIENT from Postfix.
func TestSwaksSpeaksXClient(t *testing.T) {
	swaks, err := exec.LookPath("swaks")
	switch {
	case err != nil && os.Getenv("POSTHASTE_REQUIRE_PEERS") == "1":
		t.Fatal("swaks is not installed: apt-get install swaks")
	case err != nil:
		t.Skip("SKIPPED PEER: swaks is not installed: apt-get install swaks")
	}
	h := new(house)
	addr, _ := start(t, h.server(t, func(c *Config) { c.XClients = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }))
	host, port, _ := net.SplitHostPort(addr)
	out, err := exec.CommandContext(t.Context(), swaks, "--server", host, "--port", port, "--helo", "proxy.test",
		"--from", "bob@client.test", "--to", "ann@north.test", "--xclient-name", "c.test", "--xclient-addr", "198.51.100.1",
		"--xclient-helo", "said.test", "--xclient-proto", "ESMTP").CombinedOutput()
	if err != nil || len(h.messages) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	if o := h.messages[0].env.Origin; o.IP.String() != "198.51.100.1" || o.Name != "c.test" || o.Helo != "said.test" || o.Protocol != "ESMTP" {
		t.Errorf("origin %+v", o)
	}
}
