package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// both runs f over a pipe, which has no file descriptor, and over TCP.
func both(t *testing.T, f func(t *testing.T, client net.Conn, c *Conn)) {
	t.Run("pipe", func(t *testing.T) {
		client, server := net.Pipe()
		c := New(server, Config{MaxLine: 100})
		defer client.Close()
		defer c.Close()
		f(t, client, c)
	})
	t.Run("tcp", func(t *testing.T) {
		client, server := tcpPair(t)
		f(t, client, New(server, Config{MaxLine: 100}))
	})
}

func tcpPair(t testing.TB) (client, server net.Conn) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if client, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

func TestReadLine(t *testing.T) {
	long := strings.Repeat("x", 99)
	for _, c := range []struct {
		claim, input, want string
		err                error
	}{
		{"CRLF ends a line", "NOOP\r\n", "NOOP", nil},
		{"an empty line is a line", "\r\n", "", nil},
		{"LF alone ends a line that is marked", "NOOP\n", "NOOP", ErrBareLF},
		{"a bare CR stays", "NO\rOP\r\n", "NO\rOP", nil},
		{"CR before CRLF stays", "NOOP\r\r\n", "NOOP\r", nil},
		{"NUL stays", "N\x00\r\n", "N\x00", nil},
		{"a line of exactly the limit fits", long[:98] + "\r\n", long[:98], nil},
		{"a line one over is dropped", long + "\r\n", "", ErrLineTooLong},
		{"a line far over is dropped", strings.Repeat(long, 1000) + "\r\n", "", ErrLineTooLong},
	} {
		both(t, func(t *testing.T, client net.Conn, conn *Conn) {
			go io.WriteString(client, c.input+"next\r\n")
			got, err := conn.ReadLine()
			if string(got) != c.want || err != c.err {
				t.Errorf("%s: got %q, %v; want %q, %v", c.claim, got, err, c.want, c.err)
			}
			if got, err := conn.ReadLine(); string(got) != "next" || err != nil {
				t.Errorf("%s: then got %q, %v; want the next line", c.claim, got, err)
			}
		})
	}
}

func TestLongLineBeyondOneBuffer(t *testing.T) {
	client, server := tcpPair(t)
	c := New(server, Config{MaxLine: 100000})
	want := strings.Repeat("0123456789", 9999)
	go io.WriteString(client, want+"\r\nnext\r\n")
	if got, err := c.ReadLine(); string(got) != want || err != nil {
		t.Errorf("got %d bytes, %v; want %d", len(got), err, len(want))
	}
	if got, err := c.ReadLine(); string(got) != "next" || err != nil {
		t.Errorf("then got %q, %v", got, err)
	}
}

func TestEndOfInputWithinALineIsUnexpected(t *testing.T) {
	both(t, func(t *testing.T, client net.Conn, c *Conn) {
		go func() { io.WriteString(client, "one\r\nhal"); client.Close() }()
		if _, err := c.ReadLine(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.ReadLine(); err != io.ErrUnexpectedEOF {
			t.Errorf("got %v, want unexpected EOF", err)
		}
	})
}

func TestReadFlushesBeforeItWaits(t *testing.T) {
	both(t, func(t *testing.T, client net.Conn, c *Conn) {
		go func() {
			b := make([]byte, 4)
			io.ReadFull(client, b)
			client.Write(append(b, "\r\n"...))
		}()
		c.WriteString("echo")
		if got, err := c.ReadLine(); string(got) != "echo" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestTimeoutCountsForTheWholeLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		c := New(server, Config{ReadTimeout: time.Minute})
		var trickle sync.WaitGroup
		defer trickle.Wait()
		trickle.Go(func() {
			for _, err := client.Write([]byte("x")); err == nil; _, err = client.Write([]byte("x")) {
				time.Sleep(10 * time.Second)
			}
		})
		start := time.Now()
		_, err := c.ReadLine()
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("got %v after %v, want a timeout after a minute", err, time.Since(start))
		}
		c.Close()
	})
}

func TestParkEnds(t *testing.T) {
	for _, c := range []struct {
		claim string
		act   func(client net.Conn, c *Conn, cancel func())
		want  error
	}{
		{"with input", func(client net.Conn, _ *Conn, _ func()) { io.WriteString(client, "x\r\n") }, nil},
		{"at the end of input", func(client net.Conn, _ *Conn, _ func()) { client.Close() }, io.EOF},
		{"when woken", func(_ net.Conn, c *Conn, _ func()) { c.Wake() }, ErrWoken},
		{"with its context", func(_ net.Conn, _ *Conn, cancel func()) { cancel() }, context.Canceled},
		{"in time", func(net.Conn, *Conn, func()) {}, os.ErrDeadlineExceeded},
	} {
		both(t, func(t *testing.T, client net.Conn, conn *Conn) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go c.act(client, conn, cancel)
			limit := 10 * time.Second
			if c.want == os.ErrDeadlineExceeded {
				limit = 10 * time.Millisecond
			}
			if err := conn.Park(ctx, limit); !errors.Is(err, c.want) {
				t.Errorf("park ends %s: got %v, want %v", c.claim, err, c.want)
			}
			if conn.in.block != nil && conn.Buffered() == 0 || conn.out.block != nil {
				t.Errorf("park ends %s: holds a buffer", c.claim)
			}
		})
	}
}

func TestWakeIsRememberedForTheNextPark(t *testing.T) {
	both(t, func(t *testing.T, client net.Conn, c *Conn) {
		c.Wake()
		if err := c.Park(t.Context(), time.Second); err != ErrWoken {
			t.Errorf("got %v, want ErrWoken", err)
		}
		go io.WriteString(client, "x\r\n")
		if err := c.Park(t.Context(), 10*time.Second); err != nil {
			t.Errorf("got %v, want input", err)
		}
		if line, err := c.ReadLine(); string(line) != "x" || err != nil {
			t.Errorf("got %q, %v", line, err)
		}
	})
}

func TestDiscardAndReadFull(t *testing.T) {
	both(t, func(t *testing.T, client net.Conn, c *Conn) {
		go io.WriteString(client, strings.Repeat("x", 50000)+"abcdrest\r\n")
		if err := c.Discard(50000); err != nil {
			t.Fatal(err)
		}
		var b [4]byte
		if err := c.ReadFull(b[:]); err != nil || string(b[:]) != "abcd" {
			t.Errorf("got %q, %v", b, err)
		}
		if line, err := c.ReadLine(); string(line) != "rest" || err != nil {
			t.Errorf("got %q, %v", line, err)
		}
	})
}

func TestLargeWrites(t *testing.T) {
	both(t, func(t *testing.T, client net.Conn, c *Conn) {
		want := strings.Repeat("0123456789abcdef", 60000)
		got := make(chan string)
		go func() {
			b := make([]byte, 3+len(want)+3)
			io.ReadFull(client, b)
			got <- string(b)
		}()
		c.WriteString("pre")
		c.Write([]byte(want))
		c.WriteString("end")
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		if g := <-got; g != "pre"+want+"end" {
			t.Errorf("got %d bytes back, not what was sent", len(g))
		}
	})
}

// FuzzReadLine reads any bytes, in blocks of any size, and gets the lines that cutting at LF gives.
func FuzzReadLine(f *testing.F) {
	f.Add("NOOP\r\nbare\nlong "+strings.Repeat("x", 40)+"\r\n\r\ncut", 3)
	f.Fuzz(func(t *testing.T, in string, size int) {
		const limit = 30
		c := New(&blockConn{in: in, size: 1 + size&63}, Config{MaxLine: limit})
		for line := range strings.SplitAfterSeq(in, "\n") {
			got, err := c.ReadLine()
			text, whole := strings.CutSuffix(line, "\n")
			plain, crlf := strings.CutSuffix(text, "\r")
			switch {
			case !whole && line == "":
				if err != io.EOF {
					t.Fatalf("%q: at the end %v", in, err)
				}
			case !whole:
				if err != io.ErrUnexpectedEOF {
					t.Fatalf("%q: within a line %v", in, err)
				}
			case len(line) > limit:
				if err != ErrLineTooLong {
					t.Fatalf("%q: %q gives %v", in, line, err)
				}
			case crlf && (err != nil || string(got) != plain), !crlf && (err != ErrBareLF || string(got) != text):
				t.Fatalf("%q: got %q, %v", line, got, err)
			}
		}
	})
}

// blockConn is input that comes in blocks.
type blockConn struct {
	net.Conn
	in   string
	size int
}

func (c *blockConn) Read(p []byte) (int, error) {
	if c.in == "" {
		return 0, io.EOF
	}
	n := copy(p, c.in[:min(c.size, len(c.in))])
	c.in = c.in[n:]
	return n, nil
}

func (c *blockConn) SetReadDeadline(time.Time) error { return nil }
