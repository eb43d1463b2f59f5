package smtpd

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
)

// BenchmarkIdle reports the memory that a session waiting for a command holds, the client's side of the
// connection in the same process included, and the part of it that is stack.
func BenchmarkIdle(b *testing.B) {
	const sessions = 500
	serverConfig, clientConfig := tlsConfigs()
	for _, secure := range []bool{false, true} {
		b.Run(fmt.Sprintf("tls=%v", secure), func(b *testing.B) {
			addr, _ := start(b, new(house).server(b, func(c *Config) {
				c.MaxPerIP = sessions
				if c.ImplicitTLS = secure; secure {
					c.TLS = serverConfig
				}
			}))
			before := memory()
			var clients []net.Conn
			for range sessions {
				clients = append(clients, idleClient(b, addr, secure, clientConfig))
			}
			after := memory()
			for b.Loop() {
				b.ReportMetric(float64(after.HeapAlloc+after.StackInuse-before.HeapAlloc-before.StackInuse)/sessions, "B/session")
				b.ReportMetric(float64(after.StackInuse-before.StackInuse)/sessions, "stack-B/session")
			}
			for _, nc := range clients {
				nc.Close()
			}
		})
	}
}

// idleClient says EHLO, then nothing more. It keeps nothing but the plain connection.
func idleClient(b *testing.B, addr string, secure bool, config *tls.Config) net.Conn {
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	var nc net.Conn = raw
	if secure {
		nc = tls.Client(raw, config)
	}
	reply := make([]byte, 4096)
	for _, command := range []string{"EHLO c.test\r\n", "NOOP\r\n"} {
		if _, err := nc.Read(reply); err != nil {
			b.Fatal(err)
		}
		if _, err := io.WriteString(nc, command); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := nc.Read(reply); err != nil {
		b.Fatal(err)
	}
	return raw
}

func memory() (m runtime.MemStats) {
	for range 6 { // stacks shrink by half at each collection
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m
}
