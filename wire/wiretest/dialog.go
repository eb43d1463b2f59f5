// Package wiretest runs dialogues against servers of line protocols. A dialogue is a text file that
// looks as RFCs print one:
//
//	# RFC 5321 section 3.3: DATA without a valid recipient is refused and the session goes on.
//	S: 220 *
//	C: MAIL FROM:<ann@client.example>
//	S: 250 2.1.0 *
//	C: DATA
//	S: 503 5.5.1 *
//
// C lines are sent with CRLF, all that stand together in one write. "C~" sends a quoted Go string as
// it is, without CRLF. S lines are what the server answers, "*" standing for any text; a server that
// says more or less fails. "S." means that the server closes the connection. A digit names one of
// several connections: "C2: NOOP". "T: 5m" lets time pass, "C." closes the client's side.
//
// Time is that of testing/synctest: a server that delays an answer costs none.
package wiretest

import (
	"context"
	"flag"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var update = flag.Bool("update", false, "rewrite the replies in dialogue files by what servers say")

// patience is how long a server may take to answer, in the time of the bubble.
const patience = 30 * time.Second

// Run runs every dialogue that glob matches, each against fresh connections served by serve, which
// returns when its connection is over. It is called within the test's bubble.
func Run(t *testing.T, glob string, serve func(t *testing.T) func(ctx context.Context, nc net.Conn)) {
	t.Helper()
	files, err := filepath.Glob(glob)
	if err != nil || len(files) == 0 {
		t.Fatalf("no dialogues at %s: %v", glob, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".dialog"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &dialogue{t: t, file: file, serve: serve(t), clients: map[string]*client{}}
				defer d.close()
				d.run()
			})
		})
	}
}

type dialogue struct {
	t       *testing.T
	file    string
	serve   func(ctx context.Context, nc net.Conn)
	clients map[string]*client
	servers sync.WaitGroup
	out     []string // the file as -update writes it
}

var directive = regexp.MustCompile(`^([CST])(\d?)([:~.])(?: (.*))?$`)

// a step is one line of the file.
type step struct {
	line             int
	who, conn, punct string
	text             string
	raw              string
}

func (d *dialogue) run() {
	data, err := os.ReadFile(d.file)
	if err != nil {
		d.t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	for i := 0; i < len(lines); {
		s, ok := parse(lines[i], i+1)
		if !ok {
			if text := strings.TrimSpace(lines[i]); text != "" && text[0] != '#' {
				d.t.Fatalf("%s:%d: not a line of a dialogue: %q", d.file, i+1, text)
			}
			d.out = append(d.out, lines[i])
			i++
			continue
		}
		group := []step{s}
		for i++; i < len(lines) && !d.t.Failed(); i++ {
			next, ok := parse(lines[i], i+1)
			if !ok || next.who != s.who || next.conn != s.conn {
				break
			}
			group = append(group, next)
		}
		d.do(group)
		if d.t.Failed() {
			return
		}
	}
	d.finish()
}

func parse(line string, number int) (step, bool) {
	m := directive.FindStringSubmatch(line)
	if m == nil {
		return step{}, false
	}
	return step{line: number, who: m[1], conn: m[2], punct: m[3], text: m[4], raw: line}, true
}

func (d *dialogue) do(group []step) {
	c := d.client(group[0].conn)
	switch group[0].who {
	case "T":
		d.keep(group)
		for _, s := range group {
			wait, err := time.ParseDuration(s.text)
			if err != nil {
				d.t.Fatalf("%s:%d: %v", d.file, s.line, err)
			}
			time.Sleep(wait)
		}
	case "C":
		d.keep(group)
		d.send(c, group)
		synctest.Wait()
		if *update {
			time.Sleep(patience)
			d.observe(c, group[0].conn)
		}
	case "S":
		if *update {
			synctest.Wait()
			d.observe(c, group[0].conn)
			return
		}
		for _, s := range group {
			d.expect(c, s)
		}
	}
}

func (d *dialogue) keep(group []step) {
	for _, s := range group {
		d.out = append(d.out, s.raw)
	}
}

func (d *dialogue) send(c *client, group []step) {
	var b strings.Builder
	for _, s := range group {
		switch s.punct {
		case ".":
			c.write(b.String())
			c.conn.Close()
			return
		case "~":
			raw, err := strconv.Unquote(s.text)
			if err != nil {
				d.t.Fatalf("%s:%d: want a quoted string: %v", d.file, s.line, err)
			}
			b.WriteString(raw)
		default:
			b.WriteString(s.text + "\r\n")
		}
	}
	c.write(b.String())
}

// expect waits for the answer that s describes.
func (d *dialogue) expect(c *client, s step) {
	deadline := time.Now().Add(patience)
	for {
		synctest.Wait()
		line, state := c.next()
		switch {
		case state == lineHere && s.punct == ":" && matches(s.text, line):
			return
		case state == lineHere:
			d.t.Errorf("%s:%d: got %q, want %q", d.file, s.line, line, s.raw)
			return
		case state == closed && s.punct == ".":
			return
		case state == closed || time.Now().After(deadline):
			d.t.Errorf("%s:%d: got nothing (closed: %v, rest %q), want %q", d.file, s.line, state == closed, line, s.raw)
			return
		}
		time.Sleep(time.Second)
	}
}

// observe writes down what the server said.
func (d *dialogue) observe(c *client, name string) {
	for {
		line, state := c.next()
		switch {
		case state == lineHere:
			d.out = append(d.out, "S"+name+": "+line)
			continue
		case state == closed && !c.told:
			c.told = true
			d.out = append(d.out, "S"+name+".")
		}
		return
	}
}

// finish checks that nothing was said that the file does not have.
func (d *dialogue) finish() {
	synctest.Wait()
	for name, c := range d.clients {
		if line, state := c.next(); state == lineHere {
			d.t.Errorf("%s: at the end the server also says on connection %q: %q", d.file, name, line)
		}
	}
	if *update {
		if err := os.WriteFile(d.file, []byte(strings.Join(d.out, "\n")+"\n"), 0o644); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *dialogue) close() {
	for _, c := range d.clients {
		c.conn.Close()
	}
	d.servers.Wait()
}

// client returns the connection of a name, opened at its first use.
func (d *dialogue) client(name string) *client {
	if c := d.clients[name]; c != nil {
		return c
	}
	near, far := net.Pipe()
	c := &client{conn: near}
	d.clients[name] = c
	d.servers.Go(func() { d.serve(d.t.Context(), far); far.Close() })
	d.servers.Go(c.read)
	return c
}

// matches tells whether line is pattern, in which "*" stands for any text.
func matches(pattern, line string) bool {
	parts := strings.Split(pattern, "*")
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(p)
	}
	return regexp.MustCompile(`^(?s:` + strings.Join(parts, ".*") + `)$`).MatchString(line)
}

// client is the near end of a connection and what came through it.
type client struct {
	conn net.Conn
	told bool // the closing is in the file

	mu   sync.Mutex // guards the two below
	got  []byte
	done bool
}

func (c *client) read() {
	buf := make([]byte, 4096)
	for {
		n, err := c.conn.Read(buf)
		c.mu.Lock()
		c.got = append(c.got, buf[:n]...)
		c.done = c.done || err != nil
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// write sends without waiting for the server to read all: it may have stopped.
func (c *client) write(s string) {
	if s != "" {
		go io.WriteString(c.conn, s)
	}
}

type state int

const (
	nothing state = iota
	lineHere
	closed
)

// next takes the next line that came, or tells that there is none, or will be none.
func (c *client) next() (string, state) {
	c.mu.Lock()
	defer c.mu.Unlock()
	line, rest, ok := strings.Cut(string(c.got), "\r\n")
	switch {
	case ok:
		c.got = []byte(rest)
		return line, lineHere
	case c.done:
		return line, closed
	}
	return line, nothing
}
