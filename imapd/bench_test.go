package imapd

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"iter"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"posthaste/kv/pebblekv"
	"posthaste/store"
)

// benchMessages is how many messages the mailbox of the benchmarks has: 20,000 of 4 KB as in the table
// of goals, or fewer with -short.
func benchMessages() int {
	if testing.Short() {
		return 2000
	}
	return 20_000
}

// words makes mail that compresses like text.
var words = strings.Fields("the of and to in a is that for it as was with be by on not he this are or his from at which but have an " +
	"had they you were their one all we can her has there been if more when will would who so no said what up its about into than " +
	"them only other new some could time these two may then do first any my now such like our over man me even most made after also")

func benchMessage(random *rand.Rand, i int) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "Return-Path: <sender%d@south.test>\r\nReceived: from mx.south.test (mx.south.test [192.0.2.7])\r\n\tby mail.north.test with ESMTPS id %016x\r\n"+
		"\tfor <ann@north.test>; Mon, 5 Feb 2024 10:00:00 +0100\r\n"+
		"Date: Mon, 5 Feb 2024 10:00:00 +0100\r\nFrom: Sender %d <sender%d@south.test>\r\nTo: Ann <ann@north.test>\r\n"+
		"Subject: message %d about %s\r\nMessage-ID: <%d.%x@south.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n",
		i%97, random.Uint64(), i%97, i%97, i, words[random.IntN(len(words))], i, random.Uint64())
	for line := 0; b.Len() < 4096; {
		word := words[random.IntN(len(words))]
		b.WriteString(word)
		if line += len(word) + 1; line > 70 {
			b.WriteString("\r\n")
			line = 0
		} else {
			b.WriteByte(' ')
		}
	}
	b.WriteString("\r\n")
	return []byte(b.String())
}

// fill imports n messages.
func (s *site) fill(b *testing.B, n int) {
	b.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	var messages iter.Seq2[store.Append, error] = func(yield func(store.Append, error) bool) {
		for i := range n {
			message, err := s.store.Prepare(context.Background(), benchMessage(random, i))
			if !yield(store.Append{Message: message, Received: time.Unix(int64(1_700_000_000+i), 0)}, err) {
				return
			}
		}
	}
	if done, err := s.account.Import(b.Context(), store.Inbox, messages); err != nil || done != n {
		b.Fatalf("import: %d, %v", done, err)
	}
}

// A benchClient sends commands and reads until their tagged response, counting bytes.
type benchClient struct {
	net.Conn
	r *bufio.Reader
}

func newBenchClient(b *testing.B, s *site) *benchClient {
	conn := dial(b, s.listen(b))
	conn.SetDeadline(time.Now().Add(10 * time.Minute))
	c := &benchClient{conn, bufio.NewReaderSize(conn, 1<<20)}
	c.do(b, fmt.Sprintf("LOGIN %s \"%s\"", testLogin, testPassword))
	return c
}

func (c *benchClient) do(b *testing.B, command string) (bytes int) {
	fmt.Fprintf(c, "zz %s\r\n", command)
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			b.Fatalf("%s: %v", command, err)
		}
		bytes += len(line)
		if len(line) > 6 && string(line[:3]) == "zz " {
			if string(line[3:5]) != "OK" {
				b.Fatalf("%s: %s", command, line)
			}
			return bytes
		}
		if n := len(line); n > 3 && line[n-3] == '}' {
			size := 0
			for _, d := range line[strings.LastIndexByte(string(line), '{')+1 : n-3] {
				size = size*10 + int(d-'0')
			}
			if _, err := c.r.Discard(size); err != nil {
				b.Fatal(err)
			}
			bytes += size
		}
	}
}

// BenchmarkAccess measures the operations of the table "Access" in goals.
func BenchmarkAccess(b *testing.B) {
	keys, err := pebblekv.Open(pebblekv.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	site := newSiteOn(b, keys, nil)
	n := benchMessages()
	site.fill(b, n)
	c := newBenchClient(b, site)
	c.do(b, "SELECT INBOX")
	operations := []struct {
		name, command string
		messages      int
	}{
		{"select", "SELECT INBOX", 0},
		{"headers", "FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE)", n},
		{"flags", "FETCH 1:* (UID FLAGS)", n},
		{"fields", "FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (From To Subject Date)])", n},
		{"bodies", "FETCH 1:* (BODY.PEEK[])", n},
		{"search-unseen", "SEARCH UNSEEN", n},
		{"search-subject", "SEARCH SUBJECT nosuchword", n},
		{"store-silent", "STORE 1:* +FLAGS.SILENT (\\Flagged)", n},
		{"noop", "NOOP", 0},
	}
	for _, op := range operations {
		b.Run(op.name, func(b *testing.B) {
			b.ReportAllocs()
			bytes, rounds := 0, 0
			for b.Loop() {
				if op.name == "store-silent" && rounds%2 == 1 {
					bytes = c.do(b, strings.Replace(op.command, "+", "-", 1))
				} else {
					bytes = c.do(b, op.command)
				}
				rounds++
			}
			b.SetBytes(int64(bytes))
			if op.messages > 0 {
				b.ReportMetric(float64(op.messages)*float64(rounds)/b.Elapsed().Seconds(), "msgs/s")
			}
		})
	}
}

// BenchmarkIdle reports the memory that a session in IDLE holds, the client's side of the connection
// in the same process included.
func BenchmarkIdle(b *testing.B) {
	const sessions = 1000
	for _, secure := range []bool{false, true} {
		b.Run(fmt.Sprintf("tls=%v", secure), func(b *testing.B) {
			config, pool := testTLS(b)
			site := newSite(b, func(c *Config) {
				if c.ImplicitTLS = secure; secure {
					c.TLS = config
				}
			})
			addr := site.listen(b)
			before := memory()
			var raw []net.Conn
			for range sessions {
				raw = append(raw, idleClient(b, addr, secure, pool))
			}
			for b.Loop() {
				b.ReportMetric(float64(memory()-before)/sessions, "B/session")
			}
			for _, conn := range raw {
				conn.Close()
			}
		})
	}
}

// idleClient logs in, selects INBOX and begins IDLE. It keeps nothing but the plain connection.
func idleClient(b *testing.B, addr string, secure bool, pool *x509.CertPool) net.Conn {
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	var conn net.Conn = raw
	if secure {
		conn = tls.Client(raw, &tls.Config{RootCAs: pool, ServerName: "mail.north.test"})
	}
	c := &benchClient{conn, bufio.NewReader(conn)}
	c.do(b, fmt.Sprintf("LOGIN %s \"%s\"", testLogin, testPassword))
	c.do(b, "SELECT INBOX")
	fmt.Fprintf(c, "zz IDLE\r\n")
	if line, err := c.r.ReadString('\n'); err != nil || line != "+ idling\r\n" {
		b.Fatalf("IDLE: %q, %v", line, err)
	}
	return raw
}

// memory returns the bytes of heap and stacks in use.
func memory() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc + stats.StackInuse)
}

// BenchmarkAppend appends 4 KB messages to one mailbox over one or ten connections.
func BenchmarkAppend(b *testing.B) {
	for _, clients := range []int{1, 10} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			keys, err := pebblekv.Open(pebblekv.Config{Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			site := newSiteOn(b, keys, nil)
			addr := site.listen(b)
			content := benchMessage(rand.New(rand.NewPCG(1, 2)), 1)
			command := fmt.Sprintf("APPEND INBOX (\\Seen) {%d+}\r\n%s", len(content), content)
			var next atomic.Int64
			var all sync.WaitGroup
			b.ResetTimer()
			for range clients {
				conn := dial(b, addr)
				c := &benchClient{conn, bufio.NewReader(conn)}
				all.Go(func() {
					c.do(b, fmt.Sprintf("LOGIN %s \"%s\"", testLogin, testPassword))
					for next.Add(1) <= int64(b.N) {
						c.do(b, command)
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}
