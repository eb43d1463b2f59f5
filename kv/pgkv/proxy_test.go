package pgkv

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"posthaste/kv/pgkv/pgtest"
)

// What a proxy does from when it is told, with each connection that the client then writes on.
const (
	passAll      = iota
	cutAnswers   // the server gets what the client writes, the connection ends instead of the answer
	cutQuestions // the connection ends before the server gets anything
)

// A proxy stands between store and database and cuts connections.
type proxy struct {
	url  string
	fate atomic.Int32
}

func newProxy(t *testing.T, c *pgtest.Cluster, schema string) *proxy {
	t.Helper()
	dir, err := os.MkdirTemp("", "proxy-") // not t.TempDir: names of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", pgtest.SocketIn(dir))
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{url: pgtest.URL(dir, schema)}
	var all sync.WaitGroup
	t.Cleanup(func() { ln.Close(); all.Wait(); os.RemoveAll(dir) })
	all.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() { p.serve(client, c.Socket()) })
		}
	})
	return p
}

func (p *proxy) serve(client net.Conn, socket string) {
	defer client.Close()
	server, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer server.Close()
	var questions sync.WaitGroup
	defer questions.Wait()
	questions.Go(func() {
		defer server.(*net.UnixConn).CloseWrite()
		p.pass(server, client, cutQuestions)
	})
	p.pass(client, server, cutAnswers)
	client.Close()
}

// pass copies until an end, or until there is something to copy that fate forbids.
func (p *proxy) pass(to io.Writer, from net.Conn, fate int32) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && p.fate.Load() == fate {
			return
		}
		if _, writeErr := to.Write(buf[:n]); err != nil || writeErr != nil {
			return
		}
	}
}
