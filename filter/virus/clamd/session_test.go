package clamd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/filter/virus"
	"posthaste/mail"
)

// answering returns an Engine that talks to serve over a pipe.
func answering(t *testing.T, c Config, serve func(net.Conn)) *Engine {
	t.Helper()
	c.Address = "127.0.0.1:3310"
	c.Dial = func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			serve(theirs)
		}()
		return ours, nil
	}
	e, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// readStream reads a command and the chunks after it.
func readStream(r io.Reader) (command string, content []byte, err error) {
	one := make([]byte, 1)
	for {
		if _, err := io.ReadFull(r, one); err != nil {
			return command, nil, err
		}
		if one[0] == 0 {
			break
		}
		command += string(one)
	}
	for {
		var length uint32
		if err := binary.Read(r, binary.BigEndian, &length); err != nil || length == 0 {
			return command, content, err
		}
		chunk := make([]byte, length)
		if _, err := io.ReadFull(r, chunk); err != nil {
			return command, content, err
		}
		content = append(content, chunk...)
	}
}

func TestTheContentArrivesWhole(t *testing.T) {
	for _, size := range []int{1, chunkSize - 200, chunkSize, chunkSize + 1, 3*chunkSize + 7} {
		m := letter(strings.Repeat("x", size))
		e := answering(t, Config{}, func(c net.Conn) {
			command, content, err := readStream(c)
			if command != "zINSTREAM" || !bytes.Equal(content, m.Content) || err != nil {
				t.Errorf("clamd got %q, %d bytes, %v; want %d", command, len(content), err, len(m.Content))
			}
			io.WriteString(c, "stream: OK\x00")
		})
		if r, err := e.Scan(t.Context(), m); err != nil || r.Action != mail.Accept || len(r.Findings) != 0 {
			t.Errorf("%d bytes: got %+v, %v", size, r, err)
		}
	}
}

func TestNoClearAnswerIsAnError(t *testing.T) {
	for _, c := range []struct{ name, answer string }{
		{"an empty answer", "\x00"},
		{"an answer that ends early", "stream: O"},
		{"nothing", ""},
		{"an error of clamd", "stream: Can't allocate memory ERROR\x00"},
		{"a time-out of clamd", "COMMAND READ TIMED OUT\x00"},
		{"an answer to something else", "PONG\x00"},
		{"an answer without an end", strings.Repeat("x", 1<<20)},
		{"FOUND without a name", "stream: FOUND\x00"},
	} {
		e := answering(t, Config{Policy: virus.Policy{Found: mail.Reject}}, func(conn net.Conn) {
			readStream(conn)
			io.WriteString(conn, c.answer)
		})
		if r, err := e.Scan(t.Context(), letter("x")); err == nil {
			t.Errorf("%s: got %+v, want an error", c.name, r)
		}
	}
}

func TestAnAnswerBeforeTheEndCounts(t *testing.T) {
	e := answering(t, Config{}, func(c net.Conn) {
		io.ReadFull(c, make([]byte, 100))
		io.WriteString(c, "INSTREAM size limit exceeded. ERROR\x00")
	})
	r, err := e.Scan(t.Context(), letter(strings.Repeat("x", 1<<20)))
	if err != nil || len(r.Findings) != 1 || r.Findings[0].Rule != "VIRUS_UNSCANNED" || r.Action != mail.Accept {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestLimitsOfClamdAreNoVirus(t *testing.T) {
	e := answering(t, Config{Policy: virus.Policy{Found: mail.Reject}}, func(c net.Conn) {
		readStream(c)
		io.WriteString(c, "stream: Heuristics.Limits.Exceeded.MaxRecursion FOUND\x00")
	})
	if r, err := e.Scan(t.Context(), letter("x")); err != nil || r.Action != mail.Accept || r.Findings[0].Rule != "VIRUS_UNSCANNED" {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestALargeMessageIsNotSent(t *testing.T) {
	e := answering(t, Config{MaxSize: 1000, Policy: virus.Policy{Unscanned: mail.Reject}}, func(net.Conn) { t.Error("connected") })
	if r, err := e.Scan(t.Context(), letter(strings.Repeat("x", 1000))); err != nil || r.Action != mail.Reject || r.Reply == nil {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestASilentClamdCostsNoMoreThanTheContext(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"it reads nothing":  func(c net.Conn) { time.Sleep(time.Hour) }, // virtual
		"it says nothing":   func(c net.Conn) { readStream(c); time.Sleep(time.Hour) },
		"it says it slowly": func(c net.Conn) { readStream(c); drip(c) },
	} {
		synctest.Test(t, func(t *testing.T) {
			e := answering(t, Config{Connections: 1}, serve)
			for range 2 { // the first must give its slot back
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				start := time.Now()
				_, err := e.Scan(ctx, letter("x"))
				if d := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || d != 5*time.Second {
					t.Errorf("%s: %v after %v", name, err, d)
				}
				cancel()
			}
			time.Sleep(2 * time.Hour)
		})
	}
}

// drip sends one byte a second until nobody listens.
func drip(c net.Conn) {
	for {
		if _, err := c.Write([]byte("x")); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		open, most := 0, 0
		add := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			open += n
			most = max(most, open)
		}
		e := answering(t, Config{Connections: 3}, func(c net.Conn) {
			add(1)
			readStream(c)
			time.Sleep(time.Second)
			add(-1)
			io.WriteString(c, "stream: OK\x00")
		})
		for range 12 {
			go func() {
				if _, err := e.Scan(t.Context(), letter("x")); err != nil {
					t.Error(err)
				}
			}()
			synctest.Wait()
		}
		start := time.Now()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if most != 3 || open != 0 {
			t.Errorf("%d connections at a time, %d still open after %v", most, open, time.Since(start))
		}
	})
}

func TestAddressOfClamd(t *testing.T) {
	for _, c := range []struct{ in, network string }{
		{"/run/clamav/clamd.ctl", "unix"}, {"127.0.0.1:3310", "tcp"}, {"[::1]:3310", "tcp"}, {"clamd.example:3310", "tcp"},
		{"", ""}, {"run/clamd", ""}, {"127.0.0.1", ""}, {":3310", ""}, {"host:", ""},
	} {
		network, _, err := Address(c.in)
		if network != c.network || (err == nil) != (c.network != "") {
			t.Errorf("%q: %q, %v; want %q", c.in, network, err, c.network)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	for _, s := range []string{"stream: OK\x00", "stream: A FOUND\x00", "INSTREAM size limit exceeded. ERROR\x00", "x", "stream:\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		line, err := readAnswer(bytes.NewReader(in))
		if err != nil {
			return
		}
		a, err := parseAnswer(line)
		if err == nil && a.virus == "" && a.unscanned == "" && strings.TrimSpace(line) != "stream: OK" && strings.Join(strings.Fields(line), "") != "stream:OK" {
			t.Errorf("%q counts as clean", line)
		}
		for _, c := range a.virus + a.unscanned {
			if c < ' ' || c > '~' {
				t.Errorf("%q has a character that no reply may hold", a.virus+a.unscanned)
			}
		}
	})
}
