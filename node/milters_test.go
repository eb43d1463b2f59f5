package node

import (
	"fmt"
	"net"
	"net/netip"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	library "github.com/emersion/go-milter"

	"posthaste/config"
	"posthaste/store"
)

// A refuser is a milter of another hand, github.com/emersion/go-milter, that refuses what says so in its
// name, and adds a field that tells of whom it heard.
type refuser struct {
	library.NoOpMilter
	hang  chan struct{} // what a recipient that says so waits for
	heard []string
}

func (r *refuser) hear(word string) (library.Response, error) {
	r.heard = append(r.heard, word)
	switch {
	case strings.Contains(word, "bad"):
		return library.NewResponseStr('y', "550 5.7.1 "+word+" is not wanted"), nil
	case strings.Contains(word, "later"):
		return library.RespTempFail, nil
	case strings.Contains(word, "hang"):
		<-r.hang
	}
	return library.RespContinue, nil
}

func (r *refuser) Connect(_, _ string, _ uint16, addr net.IP, _ *library.Modifier) (library.Response, error) {
	if addr.String() == "192.0.2.66" {
		return r.hear("bad client")
	}
	return r.hear(addr.String())
}

func (r *refuser) Helo(name string, _ *library.Modifier) (library.Response, error) {
	return r.hear(name)
}

func (r *refuser) MailFrom(from string, _ *library.Modifier) (library.Response, error) {
	r.heard = r.heard[:min(len(r.heard), 2)]
	return r.hear(from)
}

func (r *refuser) RcptTo(to string, _ *library.Modifier) (library.Response, error) { return r.hear(to) }

func (r *refuser) Body(m *library.Modifier) (library.Response, error) {
	return library.RespAccept, m.AddHeader("X-Heard", strings.Join(append(r.heard, m.Macros["i"]), " "))
}

// serveRefuser serves it and returns its address, and what ends it with all its sessions.
func serveRefuser(t *testing.T) (address string, end func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hang := make(chan struct{})
	server := library.Server{NewMilter: func() library.Milter { return &refuser{hang: hang} }, Actions: library.OptAddHeader}
	var mu sync.Mutex // guards conns
	var conns []net.Conn
	var serving sync.WaitGroup
	serving.Go(func() {
		server.Serve(keeper{ln, func(c net.Conn) { mu.Lock(); conns = append(conns, c); mu.Unlock() }})
	})
	end = sync.OnceFunc(func() {
		close(hang)
		ln.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	t.Cleanup(end)
	return ln.Addr().String(), end
}

// A keeper tells of the connections that it accepts.
type keeper struct {
	net.Listener
	keep func(net.Conn)
}

func (k keeper) Accept() (net.Conn, error) {
	c, err := k.Listener.Accept()
	if err == nil {
		k.keep(c)
	}
	return c, err
}

// hearingNode is a node whose mx service has a milter of stage session at address.
func hearingNode(t *testing.T, address, onFailure string) *Node {
	t.Helper()
	n := startNode(t, func(c *config.Config) {
		c.Milters = []config.Milter{{Name: "refuser", Address: "inet:" + address, Stage: "session",
			Timeout: config.Duration(500 * time.Millisecond), OnFailure: onFailure}}
		c.SMTP.ProxyNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		c.Listen[0].Proxy = true
		c.Listen = append(c.Listen, config.Listen{Service: "lmtp", Address: "127.0.0.1:0"})
	})
	return n
}

// A caller speaks SMTP as a client of an address of the documentation networks.
type caller struct {
	*textproto.Conn
	t *testing.T
}

func call(t *testing.T, n *Node, ip string) caller {
	t.Helper()
	conn, err := net.Dial("tcp", n.Address("mx"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(conn, "PROXY TCP4 %s 192.0.2.9 1000 25\r\n", ip)
	return caller{textproto.NewConn(conn), t}
}

// dialogue says each line and checks what its reply begins with; an empty line says nothing.
func (c caller) dialogue(pairs ...string) {
	c.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] != "" {
			c.PrintfLine("%s", pairs[i])
		}
		code, text, err := c.ReadResponse(0)
		if got := fmt.Sprintf("%d %s", code, text); !strings.HasPrefix(got, pairs[i+1]) || code == 0 {
			c.t.Fatalf("%q is answered %q, %v; want %q", pairs[i], got, err, pairs[i+1])
		}
	}
}

// mailOf returns the messages in the INBOX of the account that login belongs to.
func mailOf(t *testing.T, n *Node, login string) (all []string) {
	t.Helper()
	account, err := n.directory.AccountByLogin(t.Context(), login)
	if err != nil {
		t.Fatal(err)
	}
	a := n.store.Account(account.ID)
	view, err := a.View(t.Context(), store.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	for i := range view.Len() {
		content, err := a.Content(t.Context(), view.At(i).Email)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(content))
	}
	return all
}

const ordinary = "From: carl@client.test\r\nDate: Mon, 30 Nov 2026 22:00:00 +0000\r\nMessage-ID: <1@client.test>\r\nSubject: hello\r\n\r\nbody\r\n."

func TestSessionMilterIsAskedAtEachStep(t *testing.T) {
	address, _ := serveRefuser(t)
	n := hearingNode(t, address, "accept")
	c := call(t, n, "192.0.2.1")
	c.dialogue("", "220 ",
		"EHLO bad.client.test", "550 5.7.1 bad.client.test is not wanted",
		"EHLO client.test", "250 ",
		"MAIL FROM:<bad@client.test>", "550 5.7.1 ",
		"MAIL FROM:<carl@client.test>", "250 ",
		"RCPT TO:<bad@north.test>", "550 5.1.1 ", // nobody: that we know ourselves
		"RCPT TO:<ann+bad@north.test>", "550 5.7.1 ann+bad@north.test is not wanted",
		"RCPT TO:<ann+later@north.test>", "451 4.7.1 ",
		"RCPT TO:<bob@north.test>", "250 ",
		"DATA", "354 ", ordinary, "250 ",
		"MAIL FROM:<carl@client.test>", "250 ",
		"RCPT TO:<bob@north.test>", "250 ",
		"RSET", "250 ",
		"EHLO again.test", "250 ",
		"MAIL FROM:<dora@client.test>", "250 ",
		"RCPT TO:<bob@north.test>", "250 ",
		"DATA", "354 ", ordinary, "250 ",
		"QUIT", "221 ")
	if got := mailOf(t, n, "ann"); len(got) != 0 {
		t.Errorf("ann, who was refused, has %q", got)
	}
	bobs := mailOf(t, n, "bob")
	if len(bobs) != 2 {
		t.Fatalf("bob has %d messages, want 2: %q", len(bobs), bobs)
	}
	for i, want := range []string{
		"bob@north.test", // the library forgets what it refused, and all before
		"dora@client.test bob@north.test",
	} {
		_, heard, _ := strings.Cut(bobs[i], "X-Heard: ")
		heard, _, _ = strings.Cut(heard, "\r\n")
		at := strings.LastIndex(heard, " ")
		if at < 0 || !strings.HasSuffix(heard[:at], want) || !strings.Contains(bobs[i], "id"+heard[at:]) {
			t.Errorf("message %d: the milter heard %q, want it to end in %q and our ID: %q", i, heard, want, bobs[i])
		}
	}
}

func TestSessionMilterTurnsAClientAway(t *testing.T) {
	address, _ := serveRefuser(t)
	n := hearingNode(t, address, "accept")
	call(t, n, "192.0.2.66").dialogue("", "554 5.7.1 bad client is not wanted")
}

// A queue in front of us is not to blame for what it was given: its sessions hear nothing from milters,
// which see its messages whole.
func TestSessionMilterSeesMailOfLMTPWhole(t *testing.T) {
	address, _ := serveRefuser(t)
	n := hearingNode(t, address, "accept")
	got := talk(t, n, "lmtp", "LHLO bad.test\r\nMAIL FROM:<carl@client.test>\r\nRCPT TO:<bob@north.test>\r\nDATA\r\n"+ordinary+"\r\nQUIT\r\n", 0)
	if strings.Count(got, "\n250 2.0.0 ") != 1 {
		t.Fatalf("the session went %q", got)
	}
}

func TestSessionMilterThatGoesAwayIsSilent(t *testing.T) {
	for _, row := range []struct {
		claim, onFailure, recipient string
	}{
		{"accept goes on", "accept", "250 "},
		{"defer puts each recipient off", "defer", "451 4.7.1 a filter cannot be asked now"},
	} {
		t.Run(row.claim, func(t *testing.T) {
			address, end := serveRefuser(t)
			n := hearingNode(t, address, row.onFailure)
			c := call(t, n, "192.0.2.1")
			c.dialogue("", "220 ", "EHLO client.test", "250 ", "MAIL FROM:<carl@client.test>", "250 ")
			end()
			c.dialogue("RCPT TO:<bob@north.test>", row.recipient)
			if row.onFailure == "accept" {
				c.dialogue("DATA", "354 ", ordinary, "250 ")
				if bobs := mailOf(t, n, "bob"); len(bobs) != 1 || !strings.Contains(bobs[0], "ENGINE_SILENT") {
					t.Errorf("bob has %q", bobs)
				}
			}
			c.dialogue("RSET", "250 ", "MAIL FROM:<carl@client.test>", map[string]string{"accept": "250 ", "defer": "451 4.7.1 "}[row.onFailure])
		})
	}
}

func TestSessionMilterMayNotKeepAClientWaiting(t *testing.T) {
	address, _ := serveRefuser(t)
	n := hearingNode(t, address, "defer")
	c := call(t, n, "192.0.2.1")
	began := time.Now()
	c.dialogue("", "220 ", "EHLO client.test", "250 ", "MAIL FROM:<carl@client.test>", "250 ", "RCPT TO:<bob+hang@north.test>", "451 4.7.1 ")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the client waited %v", took)
	}
	c.dialogue("RSET", "250 ", "MAIL FROM:<carl@client.test>", "250 ", "RCPT TO:<bob@north.test>", "250 ", "DATA", "354 ", ordinary, "250 ")
}

// A milter that does not listen is no reason to be silent to a client, and none to keep it at the door.
func TestSessionMilterThatIsNotThere(t *testing.T) {
	address, end := serveRefuser(t)
	end()
	call(t, hearingNode(t, address, "accept"), "192.0.2.1").dialogue("", "220 ", "EHLO client.test", "250 ",
		"MAIL FROM:<carl@client.test>", "250 ", "RCPT TO:<bob@north.test>", "250 ", "DATA", "354 ", ordinary, "250 ")
	call(t, hearingNode(t, address, "defer"), "192.0.2.1").dialogue("", "220 ", "EHLO client.test", "250 ",
		"MAIL FROM:<carl@client.test>", "451 4.7.1 ")
}
