package remote

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"posthaste/dns"
	"posthaste/dns/dnstest"
	"posthaste/mail"
	"posthaste/trace"
)

// A host is an SMTP server that answers as it is told. The key of a reply is "greeting", a verb,
// a whole line such as "RCPT TO:<bob@south.test>", or "." for the end of the content; the replies to
// a key come in turn, the last one stays. "drop" closes the connection, "hang" never answers.
type host struct {
	offers  []string
	replies map[string][]string
	tls     *tls.Config // for STARTTLS
	noTLS   bool        // closes the connection in the handshake
	lmtp    bool
	answer  func(line string) string // tried before replies; "" is no opinion
	login   func(tls.ConnectionState) interface {
		Step(string) (string, error)
		Valid() bool
	} // makes one side of SCRAM; nil: replies answer AUTH

	mu       sync.Mutex // guards what follows
	lines    []string   // commands that came
	messages []string   // contents that came, as taken off the wire
	conns    int
}

func (h *host) say(key string, fallback string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.answer != nil {
		if r := h.answer(key); r != "" {
			return r
		}
	}
	turns := h.replies[key]
	if len(turns) == 0 {
		return fallback
	}
	if len(turns) > 1 {
		h.replies[key] = turns[1:]
	}
	return turns[0]
}

func (h *host) seen() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.lines)
}

func (h *host) taken() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.messages)
}

// serve plays one connection to its end.
func (h *host) serve(conn net.Conn) {
	h.mu.Lock()
	h.conns++
	h.mu.Unlock()
	d := &dialogue{host: h, conn: conn, in: bufio.NewReader(conn)}
	defer func() { d.conn.Close() }()
	if !d.reply(h.say("greeting", "220 mx.test ESMTP")) {
		return
	}
	for d.command() {
	}
}

// A dialogue is one connection of a host.
type dialogue struct {
	*host
	conn   net.Conn
	in     *bufio.Reader
	rcpts  int
	chunks string
}

// reply sends text, each of its lines ended, and returns whether the dialogue goes on.
func (d *dialogue) reply(text string) bool {
	switch text {
	case "drop":
		return false
	case "hang":
		io.Copy(io.Discard, d.in)
		return false
	}
	_, err := io.WriteString(d.conn, strings.ReplaceAll(text, "\n", "\r\n")+"\r\n")
	return err == nil && !strings.HasPrefix(text, "421")
}

func (d *dialogue) command() bool {
	line, err := d.in.ReadString('\n')
	if err != nil {
		return false
	}
	line = strings.TrimSuffix(line, "\r\n")
	d.mu.Lock()
	d.lines = append(d.lines, line)
	d.mu.Unlock()
	verb, _, _ := strings.Cut(line, " ")
	switch verb {
	case "EHLO", "LHLO":
		return d.reply(d.say(verb, "250-mx.test\n"+strings.Join(append(slices.Clone(d.offers), "250 HELP"), "\n")))
	case "QUIT":
		d.reply("221 2.0.0 bye")
		return false
	case "RCPT":
		text := d.say(line, d.say("RCPT", "250 2.1.5 ok"))
		if text[0] == '2' {
			d.rcpts++
		}
		return d.reply(text)
	case "STARTTLS":
		return d.startTLS()
	case "DATA":
		return d.data()
	case "BDAT":
		return d.bdat(line)
	case "AUTH":
		if d.login != nil {
			return d.auth(line)
		}
	case "MAIL", "RSET":
		d.rcpts, d.chunks = 0, ""
	}
	return d.reply(d.say(verb, "250 2.0.0 ok"))
}

// auth does the host's side of SCRAM.
func (d *dialogue) auth(line string) bool {
	server := d.login(d.conn.(*tls.Conn).ConnectionState())
	text := line[strings.LastIndexByte(line, ' ')+1:]
	for range 2 {
		message, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return d.reply("501 5.5.2 no base64")
		}
		challenge, err := server.Step(string(message))
		if err != nil {
			return d.reply("535 5.7.8 " + err.Error())
		}
		if !d.reply("334 " + base64.StdEncoding.EncodeToString([]byte(challenge))) {
			return false
		}
		if text, err = d.in.ReadString('\n'); err != nil {
			return false
		}
		text = strings.TrimSuffix(text, "\r\n")
	}
	if !server.Valid() {
		return d.reply("535 5.7.8 no")
	}
	return d.reply("235 2.7.0 welcome")
}

func (d *dialogue) startTLS() bool {
	text := d.say("STARTTLS", "220 2.0.0 go")
	if !d.reply(text) || text[0] != '2' {
		return text[0] != '2'
	}
	if d.noTLS {
		return false
	}
	secure := tls.Server(d.conn, d.tls)
	d.conn, d.in = secure, bufio.NewReader(secure)
	return secure.Handshake() == nil
}

func (d *dialogue) data() bool {
	fallback := "354 go"
	if d.rcpts == 0 {
		fallback = "503 5.5.1 no recipients"
	}
	text := d.say("DATA", fallback)
	if !d.reply(text) || !strings.HasPrefix(text, "354") {
		return text != "drop" && text != "hang" && !strings.HasPrefix(text, "421")
	}
	var content strings.Builder
	for {
		line, err := d.in.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		content.WriteString(line)
		switch text := d.say("content", ""); text {
		case "":
		case "drop":
			return false
		default:
			d.reply(text)
			return false
		}
	}
	return d.end(content.String())
}

func (d *dialogue) bdat(line string) bool {
	var size int
	fmt.Sscanf(line, "BDAT %d", &size)
	chunk := make([]byte, size)
	if _, err := io.ReadFull(d.in, chunk); err != nil {
		return false
	}
	d.chunks += string(chunk)
	if strings.HasSuffix(line, " LAST") {
		return d.end(d.chunks)
	}
	return d.reply(d.say("BDAT", "250 2.0.0 more"))
}

// end takes the message and answers, once for each recipient in LMTP.
func (d *dialogue) end(content string) bool {
	d.mu.Lock()
	d.messages = append(d.messages, content)
	d.mu.Unlock()
	times := 1
	if d.lmtp {
		times = d.rcpts
	}
	d.rcpts = 0
	for range times {
		if !d.reply(d.say(".", "250 2.0.0 taken")) {
			return false
		}
	}
	return true
}

// A world is a DNS and hosts by address, and an agent among them.
type world struct {
	dns   *dnstest.Server
	hosts map[string]*host // by "192.0.2.1:25"; others refuse connections
	pipes bool             // connections within the process, for virtual time
	agent *Agent
	story *story

	mu     sync.Mutex // guards dialed
	dialed []string   // "tcp 192.0.2.1:25"
}

// story is a trace.Recorder that remembers.
type story struct {
	mu     sync.Mutex
	events []trace.Event
}

func (s *story) Record(e trace.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

func (s *story) texts() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, e := range s.events {
		fmt.Fprintf(&b, "%s %v: %s\n", e.Step, e.OK, e.Text)
	}
	return b.String()
}

// newWorld makes south.test with mx1 (192.0.2.1) before mx2 (192.0.2.2), played by hosts.
func newWorld(t *testing.T, cfg Config, hosts ...*host) *world {
	t.Helper()
	w := &world{dns: dnstest.New(), hosts: make(map[string]*host), story: new(story)}
	for i, h := range hosts {
		name, ip := fmt.Sprintf("mx%d.south.test", i+1), fmt.Sprintf("192.0.2.%d", i+1)
		w.dns.MX("south.test", uint16(10*(i+1)), name)
		w.dns.Addr(name, ip)
		if h != nil {
			w.hosts[ip+":25"] = h
		}
	}
	resolver, err := dns.New(dns.Config{Servers: []string{"192.0.2.53"}, Exchange: w.dns.Exchange})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Hostname, cfg.Resolver, cfg.Dial, cfg.Trace = "mail.north.test", resolver, w.dial, w.story
	w.agent = New(cfg)
	t.Cleanup(w.agent.Close)
	return w
}

func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dialed = append(w.dialed, network+" "+address)
	w.mu.Unlock()
	h := w.hosts[address]
	if h == nil {
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	near, far, err := w.link()
	if err != nil {
		return nil, err
	}
	go h.serve(far)
	return near, nil
}

func (w *world) link() (near, far net.Conn, err error) {
	if w.pipes {
		near, far = net.Pipe()
		return near, far, nil
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer ln.Close()
	near, err = net.DialTimeout("tcp", ln.Addr().String(), 5*time.Second)
	if err != nil {
		return nil, nil, err
	}
	far, err = ln.Accept()
	return near, far, err
}

const plainContent = "Subject: hi\r\n\r\nhello\r\n.\r\n..dots\r\n"

// send delivers content from ann@north.test and returns the outcomes as text.
func (w *world) send(t *testing.T, env mail.Envelope, content string, to ...string) []string {
	t.Helper()
	dest, err := w.agent.Route(t.Context(), env.ID, "south.test")
	if err != nil {
		return []string{err.Error()}
	}
	return w.sendTo(t.Context(), dest, env, content, to...)
}

func (w *world) sendTo(ctx context.Context, dest Destination, env mail.Envelope, content string, to ...string) []string {
	if env.From.Null() {
		env.From = mail.ReversePath{Address: mail.Address{Local: "ann", Domain: "north.test"}}
	}
	env.ID = "0123456789abcdef"
	var rcpts []mail.Recipient
	for _, local := range to {
		rcpts = append(rcpts, mail.Recipient{Address: mail.Address{Local: local, Domain: "south.test"}})
	}
	var texts []string
	for _, status := range w.agent.Deliver(ctx, env, rcpts, mail.Bytes(content), dest) {
		texts = append(texts, status.Error())
	}
	return texts
}
