package wire

import (
	"crypto/tls"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// parkedConns is how many connections the measurement of memory parks: two descriptors each.
const parkedConns = 400

// BenchmarkParked reports what an idle connection costs of our memory, its goroutine included, after a
// dialogue has gone over it: B/conn. Goal: 9 KB with all that a session adds.
func BenchmarkParked(b *testing.B) {
	b.Run("plain", func(b *testing.B) { benchmarkParked(b, nil, nil) })
	serverConfig, clientConfig := tlsConfigs(b)
	b.Run("tls", func(b *testing.B) { benchmarkParked(b, serverConfig, clientConfig) })
}

func benchmarkParked(b *testing.B, serverConfig, clientConfig *tls.Config) {
	for b.Loop() {
		before := memory()
		var clients []int // bare descriptors: what a client costs is not ours
		var servers []*Conn
		var parked sync.WaitGroup
		for range parkedConns {
			fd, nc := rawPair(b)
			c := New(nc, Config{})
			servers = append(servers, c)
			clients = append(clients, talkTo(b, fd, c, serverConfig, clientConfig))
			parked.Go(func() { c.Park(b.Context(), time.Hour) })
		}
		for range 6 { // stacks shrink by half at each collection
			runtime.GC()
		}
		b.ReportMetric(float64(memory()-before)/parkedConns, "B/conn")
		for i, c := range servers {
			c.Wake()
			syscall.Close(clients[i])
		}
		parked.Wait()
		for _, c := range servers {
			c.nc.Close()
		}
	}
}

func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// rawPair returns a connection and the descriptor of a client's end.
func rawPair(b *testing.B) (fd int, nc net.Conn) {
	client, server := tcpPairNoCleanup(b)
	f, err := client.(*net.TCPConn).File()
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	client.Close()
	fd, err = syscall.Dup(int(f.Fd()))
	if err != nil {
		b.Fatal(err)
	}
	return fd, server
}

func tcpPairNoCleanup(b *testing.B) (client, server net.Conn) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	if client, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		b.Fatal(err)
	}
	if server, err = ln.Accept(); err != nil {
		b.Fatal(err)
	}
	return client, server
}

// fdConn is a client's end as a net.Conn for its handshake.
type fdConn struct {
	net.Conn
	fd int
}

func (c fdConn) Read(p []byte) (int, error)       { return syscall.Read(c.fd, p) }
func (c fdConn) Write(p []byte) (int, error)      { return syscall.Write(c.fd, p) }
func (c fdConn) SetDeadline(time.Time) error      { return nil }
func (c fdConn) SetReadDeadline(time.Time) error  { return nil }
func (c fdConn) SetWriteDeadline(time.Time) error { return nil }

// talkTo goes through TLS, where configured, and a few lines, with a client on fd.
func talkTo(b *testing.B, fd int, c *Conn, serverConfig, clientConfig *tls.Config) int {
	syscall.SetNonblock(fd, false)
	var client net.Conn = fdConn{fd: fd}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if clientConfig != nil {
			client = tls.Client(client, clientConfig)
		}
		reply := make([]byte, 100)
		for range 3 {
			client.Write([]byte("NOOP\r\n"))
			client.Read(reply)
		}
	}()
	if serverConfig != nil {
		if err := c.StartTLS(b.Context(), serverConfig, true); err != nil {
			b.Fatal(err)
		}
	}
	for range 3 {
		if line, err := c.ReadLine(); string(line) != "NOOP" || err != nil {
			b.Fatal(string(line), err)
		}
		c.WriteString("250 OK\r\n")
		c.Flush()
	}
	<-done
	return fd
}
