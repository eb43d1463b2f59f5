package wire

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

const v2 = "\r\n\r\n\x00\r\nQUIT\n"

func TestReadProxy(t *testing.T) {
	for _, c := range []struct {
		claim, in, remote, local string // remote "" is an error, "-" the connection's own
	}{
		{"version 1, IPv4", "PROXY TCP4 192.0.2.1 192.0.2.2 1000 25\r\n", "192.0.2.1:1000", "192.0.2.2:25"},
		{"version 1, IPv6", "PROXY TCP6 2001:db8::1 2001:db8::2 1000 25\r\n", "[2001:db8::1]:1000", "[2001:db8::2]:25"},
		{"version 1, unknown", "PROXY UNKNOWN\r\n", "-", ""},
		{"version 1, unknown with addresses", "PROXY UNKNOWN a b c d\r\n", "-", ""},
		{"version 1, the other family", "PROXY TCP4 2001:db8::1 2001:db8::2 1000 25\r\n", "", ""},
		{"version 1, no CR", "PROXY TCP4 192.0.2.1 192.0.2.2 1000 25\n", "", ""},
		{"version 1, a port too large", "PROXY TCP4 192.0.2.1 192.0.2.2 1000 65536\r\n", "", ""},
		{"version 1, too long", "PROXY TCP4 " + strings.Repeat("1", 200) + "\r\n", "", ""},
		{"version 2, IPv4", v2 + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x03\xe8\x00\x19", "192.0.2.1:1000", "192.0.2.2:25"},
		{"version 2, with extensions", v2 + "\x21\x11\x00\x0f\xc0\x00\x02\x01\xc0\x00\x02\x02\x03\xe8\x00\x19\x04\x00\x00", "192.0.2.1:1000", "192.0.2.2:25"},
		{"version 2, IPv6", v2 + "\x21\x21\x00\x24" + strings.Repeat("\x20", 32) + "\x03\xe8\x00\x19", "[2020:2020:2020:2020:2020:2020:2020:2020]:1000", "[2020:2020:2020:2020:2020:2020:2020:2020]:25"},
		{"version 2, local", v2 + "\x20\x00\x00\x00", "-", ""},
		{"version 2, cut short", v2 + "\x21\x11\x00\x04\xc0\x00\x02\x01", "", ""},
		{"version 2, too long", v2 + "\x21\x11\xff\xff", "", ""},
		{"version 3", v2 + "\x31\x11\x00\x00", "", ""},
		{"no header", "EHLO client.test\r\n", "", ""},
	} {
		client, server := tcpPair(t)
		go io.WriteString(client, c.in+"rest\r\n")
		nc, err := ReadProxy(server, 10*time.Second)
		if c.remote == "" {
			if !errors.Is(err, ErrProxy) {
				t.Errorf("%s: got %v, want ErrProxy", c.claim, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.claim, err)
			continue
		}
		conn := New(nc, Config{})
		if c.remote == "-" {
			c.remote, c.local = server.RemoteAddr().String(), server.LocalAddr().String()
		}
		if got := conn.RemoteAddr().String(); got != c.remote {
			t.Errorf("%s: remote %s, want %s", c.claim, got, c.remote)
		}
		if got := conn.LocalAddr().String(); got != c.local {
			t.Errorf("%s: local %s, want %s", c.claim, got, c.local)
		}
		if line, err := conn.ReadLine(); string(line) != "rest" || err != nil {
			t.Errorf("%s: what follows is %q, %v", c.claim, line, err)
		}
		if conn.link.raw == nil {
			t.Errorf("%s: the connection cannot park without a buffer any more", c.claim)
		}
	}
}

func FuzzReadProxy(f *testing.F) {
	f.Add("PROXY TCP4 192.0.2.1 192.0.2.2 1000 25\r\nrest")
	f.Add(v2 + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x03\xe8\x00\x19rest")
	f.Fuzz(func(t *testing.T, in string) {
		nc := &stringConn{r: strings.NewReader(in)}
		got, err := ReadProxy(nc, time.Second)
		if err != nil {
			return
		}
		if used := len(in) - nc.r.Len(); used < 15 || used > len(v2)+4+maxProxyV2 {
			t.Errorf("%q: %d bytes used", in, used)
		}
		got.RemoteAddr()
	})
}

// stringConn is input without a connection.
type stringConn struct {
	net.Conn
	r *strings.Reader
}

func (c *stringConn) Read(p []byte) (int, error)      { return c.r.Read(p) }
func (c *stringConn) SetReadDeadline(time.Time) error { return nil }
func (c *stringConn) RemoteAddr() net.Addr            { return nil }
