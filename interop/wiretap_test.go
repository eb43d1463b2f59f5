package interop

import (
	"bytes"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A cut says where connections break. The zero cut breaks none.
type cut struct {
	name, claim string
	client      string // what the client says last: a regular expression, of which nothing arrives
	server      string // what the server says last: a regular expression, of which only the first pass bytes arrive
	pass        int
	reset       bool // with RST instead of FIN
	taken       bool // the server may have taken the message all the same
	times       int  // how many connections break; then the line is well
}

// endOfMessage is how all of these servers say that a message is theirs now.
const endOfMessage = `(?m)^250 [^\r\n]*(queued as|id=|accepted for delivery|accepted as)`

// The marks of cuttable letters.
const (
	halfwayMark = "HALFWAY THROUGH"
	lastMark    = "THE LAST LINE"
)

// cuts are the phases in which connections break.
var cuts = [...]cut{
	{name: "banner", claim: "before the greeting", server: `(?s).`, times: 2},
	{name: "ehlo", claim: "in place of the reply to EHLO", server: `250-`, times: 2},
	{name: "mail", claim: "at MAIL", client: `(?i)MAIL FROM`, reset: true, times: 2},
	{name: "rcpt", claim: "at RCPT", client: `(?i)RCPT TO`, times: 2},
	{name: "data", claim: "at DATA or BDAT", client: `(?i)(DATA\r\n|BDAT )`, times: 2},
	{name: "half", claim: "in the middle of the content", client: halfwayMark, reset: true, times: 2},
	{name: "last", claim: "before the end of the content", client: lastMark, times: 2},
	{name: "dot", claim: "after the end of the content, before its reply", server: endOfMessage, taken: true, times: 2},
	{name: "dotrst", claim: "by a reset in place of the reply to the content", server: endOfMessage, reset: true, taken: true, times: 1},
	{name: "torn", claim: "in the middle of the reply to the content", server: endOfMessage, pass: 6, taken: true, times: 1},
	{name: "quit", claim: "at QUIT", client: `QUIT\r\n$`, taken: true, times: 1},
}

// allCuts returns them, with more broken connections in the long form of the tests.
func allCuts() []cut {
	const more = 4
	all := slices.Clone(cuts[:])
	if os.Getenv("POSTHASTE_TORTURE") != "" {
		for i := range all {
			if all[i].name != "quit" { // breaks when all is done, so only once
				all[i].times += more
			}
		}
	}
	return all
}

// A wiretap stands between two mail hosts. It keeps them from TLS, so that it can hear what they say,
// and breaks connections.
type wiretap struct {
	ln       net.Listener
	upstream string
	cut      cut
	client   *regexp.Regexp // nil: no cut there
	server   *regexp.Regexp

	mu    sync.Mutex // guards what follows
	left  int        // connections still to be cut
	said  []utterance
	conns map[net.Conn]bool
	done  bool
}

// An utterance is what one side said before the other did.
type utterance struct {
	client bool
	text   string // its beginning
}

// tap listens on a free port and leads to upstream until the test ends.
func tap(t *testing.T, upstream string, c cut) *wiretap {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	w := &wiretap{ln: ln, upstream: upstream, cut: c, left: c.times, conns: map[net.Conn]bool{}}
	if c.client != "" {
		w.client = regexp.MustCompile(c.client)
	}
	if c.server != "" {
		w.server = regexp.MustCompile(c.server)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { w.connect(conn) })
		}
	})
	t.Cleanup(func() { w.close(); serving.Wait() })
	return w
}

func (w *wiretap) port() int { return w.ln.Addr().(*net.TCPAddr).Port }

func (w *wiretap) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = true
	w.ln.Close()
	for conn := range w.conns {
		conn.Close()
	}
}

// keep has conn closed at the end of the test, and tells whether that has not come.
func (w *wiretap) keep(conn net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns[conn] = true
	return !w.done
}

func (w *wiretap) connect(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", w.upstream)
	if err != nil || !w.keep(client) || !w.keep(server) {
		return
	}
	defer server.Close() // after both are done: a client may end its half and still listen
	var both sync.WaitGroup
	both.Go(func() { w.carry(client, server, true) })
	both.Go(func() { w.carry(server, client, false) })
	both.Wait()
}

// carry takes what one side says to the other until it ends or breaks.
func (w *wiretap) carry(from, to net.Conn, client bool) {
	defer to.(*net.TCPConn).CloseWrite()
	const memory = 200 // bytes before a block in which a match may begin
	var tail []byte
	block := make([]byte, 64<<10)
	for {
		n, err := from.Read(block)
		if n > 0 {
			text := bytes.ReplaceAll(block[:n], []byte("STARTTLS"), []byte("XNOTHING"))
			seen := append(tail, text...)
			if at := w.breaks(seen, client); at >= 0 {
				if at > len(tail) {
					to.Write(seen[len(tail):at])
				}
				w.reset(from, to)
				return
			}
			w.note(client, text)
			if _, err := to.Write(text); err != nil {
				return
			}
			tail = append([]byte(nil), seen[max(0, len(seen)-memory):]...)
		}
		if err != nil {
			return
		}
	}
}

// breaks returns how much of what one side said arrives before the connection is cut, or -1.
func (w *wiretap) breaks(seen []byte, client bool) int {
	pattern, pass := w.server, w.cut.pass
	if client {
		pattern, pass = w.client, 0
	}
	if pattern == nil {
		return -1
	}
	found := pattern.FindIndex(seen)
	w.mu.Lock()
	defer w.mu.Unlock()
	if found == nil || w.left == 0 {
		return -1
	}
	w.left--
	return found[0] + pass
}

func (w *wiretap) reset(conns ...net.Conn) {
	for _, conn := range conns {
		if w.cut.reset {
			conn.(*net.TCPConn).SetLinger(0)
		}
		conn.Close()
	}
}

func (w *wiretap) note(client bool, text []byte) {
	const most = 400
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.said); n > 0 && w.said[n-1].client == client {
		last := &w.said[n-1]
		last.text += string(text[:min(len(text), max(0, most-len(last.text)))])
		return
	}
	w.said = append(w.said, utterance{client, string(text[:min(len(text), most)])})
}

// uncut returns how many connections are still to be cut.
func (w *wiretap) uncut() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.left
}

// dialogue returns what was said, as RFCs write it.
func (w *wiretap) dialogue() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	for _, u := range w.said {
		side := "S: "
		if u.client {
			side = "C: "
		}
		b.WriteString(side + strconv.Quote(u.text) + "\n")
	}
	return b.String()
}

// pipelined tells whether the client said MAIL and RCPT in one breath.
func (w *wiretap) pipelined() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, u := range w.said {
		if u.client && strings.Contains(u.text, "MAIL FROM") && strings.Contains(u.text, "RCPT TO") {
			return true
		}
	}
	return false
}
