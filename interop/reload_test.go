package interop

import (
	"fmt"
	"io"
	"net"
	"net/smtp"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"
	"golang.org/x/sync/errgroup"
)

// southAddress is where mail of south.test goes.
const southAddress = "127.0.0.32"

// reloads is how often each of two nodes reloads its configuration.
const reloads = 100

// A reloading node takes over one configuration after the other.
type reloading struct {
	*labNode
	base  string // its configuration as it began
	extra string // address of a listener that comes and goes
}

func (l *lab) reloading(name, ip, extra string) *reloading {
	n := l.node(name, ip, "300ms", extra)
	base, err := os.ReadFile(n.config)
	must(l.t, err)
	return &reloading{n, string(base), fmt.Sprintf("%s:%d", ip, freePort(l.t))}
}

// variant returns the i-th configuration: limits, shapes, routes, rules and listeners change.
func (r *reloading) variant(i int) string {
	text := r.base + fmt.Sprintf("[limits]\nsessions_per_ip = %d\n[smtp]\nmax_recipients = %d\n", 100+i%7, 100+i)
	text += fmt.Sprintf("[[shape]]\nmatch = [\"*.south.test\"]\nconcurrency = %d\n", 5+i%5)
	if i%2 == 1 && r.ip != southAddress {
		text += fmt.Sprintf("[route]\ntransports = [\"inline:{south.test = smtp:[%s]:%d}\"]\n", southAddress, r.lab.port)
	}
	if i%3 == 1 {
		text += "[[access]]\nstage = \"sender\"\ntable = \"inline:{nobody.test = reject}\"\n"
	}
	if i%4 >= 2 {
		text += fmt.Sprintf("[[listen]]\nservice = \"submission\"\naddress = %q\n", r.extra)
	}
	return text
}

// hears tells whether the listener that comes and goes is there.
func (r *reloading) hears() bool {
	nc, err := net.Dial("tcp", r.extra)
	if err == nil {
		nc.Close()
	}
	return err == nil
}

// become has the node take over its i-th configuration, by signal or by command, and checks that it did.
func (r *reloading) become(i int) {
	t := r.lab.t
	t.Helper()
	writeFile(t, r.config, r.variant(i))
	if i%10 == 0 {
		r.cli(t, "reload")
	} else {
		before := r.log.count("the configuration was reloaded")
		must(t, r.process.Process.Signal(syscall.SIGHUP))
		eventually(t, "the configuration is in force", func() bool { return r.log.count("the configuration was reloaded") > before })
	}
	if want := i%4 >= 2; r.hears() != want {
		t.Errorf("after reload %d the further listener is there: %v, want %v", i, !want, want)
	}
}

// refuse has the node read broken configurations, and checks that it says why and changes nothing.
func (r *reloading) refuse(i int, taken net.Addr) {
	t := r.lab.t
	t.Helper()
	for _, broken := range []struct{ change, why string }{
		{"[route]\nno_such_key = 1\n", "no_such_key"},
		{"[relay]\ndomains = [\"file:/nowhere/at/all\"]\n", "/nowhere/at/all"},
		{"[[listen]]\nservice = \"mx\"\naddress = \"" + taken.String() + "\"\n", "in use"},
		{"[trace]\nkeep = \"3d\"\n", "restart"},
		{"[[shape]]\nmatch = [\"x\"]\nrate = \"fast\"\n", "shape"},
	} {
		writeFile(t, r.config, r.base+broken.change)
		out, status := command{args: []string{binary, "--config", r.config, "reload"}}.run(t)
		if status == 0 || !strings.Contains(out, broken.why) {
			t.Errorf("reload with %q: exit status %d, %q: want a refusal that names %q", broken.change, status, out, broken.why)
		}
		if want := i%4 >= 2; r.hears() != want {
			t.Errorf("a reload that was refused, with %q, changed the listeners", broken.change)
		}
	}
}

// count returns how many lines hold text.
func (l *nodeLog) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.read()
	return strings.Count(l.text.String(), text)
}

// A flow sends letters over one connection until it is told to stop.
type flow struct {
	name, from string
	slow       bool // its letters take long, so that reloads come in their midst
	sent       []string
}

// run sends until stop is closed. Whatever fails, fails the test: a reload cuts nobody.
func (f *flow) run(address string, login bool, stop <-chan struct{}) error {
	nc, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer nc.Close()
	c, err := smtp.NewClient(nc, "localhost")
	if err != nil {
		return err
	}
	if login {
		if err := c.Auth(smtp.PlainAuth("", f.from, password, "localhost")); err != nil {
			return err
		}
	}
	pause := time.NewTicker(15 * time.Millisecond)
	defer pause.Stop()
	for {
		id := fmt.Sprintf("%s%d", f.name, len(f.sent))
		if err := f.letter(c, id, pause); err != nil {
			return fmt.Errorf("%s: letter %s: %w", f.name, id, err)
		}
		f.sent = append(f.sent, id)
		select {
		case <-stop:
			return c.Quit()
		case <-pause.C:
		}
	}
}

func (f *flow) letter(c *smtp.Client, id string, pause *time.Ticker) error {
	if err := c.Mail(f.from); err != nil {
		return err
	}
	if err := c.Rcpt(bobSouth); err != nil {
		return err
	}
	data, err := c.Data()
	if err != nil {
		return err
	}
	fmt.Fprintf(data, "From: <%s>\r\nTo: <%s>\r\nMessage-ID: <%s@lab.test>\r\nSubject: %[3]s\r\n\r\n", f.from, bobSouth, id)
	if f.slow {
		for range 20 {
			<-pause.C
			io.WriteString(data, text(1000))
		}
	}
	return data.Close()
}

// idlers are IMAP sessions that idle in bob's INBOX and count what they are told of.
type idlers struct {
	t        *testing.T
	sessions []*imapclient.Client
	seen     []*atomic.Uint32
	idling   []*imapclient.IdleCommand
}

func (l *idlers) add(address string) {
	seen := new(atomic.Uint32)
	c, err := imapclient.DialInsecure(address, &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(data *imapclient.UnilateralDataMailbox) {
			if data.NumMessages != nil {
				seen.Store(*data.NumMessages)
			}
		},
	}})
	must(l.t, err)
	l.t.Cleanup(func() { c.Close() })
	must(l.t, c.Login(bobSouth, password).Wait())
	_, err = c.Select("INBOX", nil).Wait()
	must(l.t, err)
	idle, err := c.Idle()
	must(l.t, err)
	l.sessions, l.seen, l.idling = append(l.sessions, c), append(l.seen, seen), append(l.idling, idle)
}

// wantAlive: each session was told of all messages, and still answers.
func (l *idlers) wantAlive(messages int) {
	l.t.Helper()
	for i, c := range l.sessions {
		eventually(l.t, "an IMAP session hears of all messages", func() bool { return l.seen[i].Load() == uint32(messages) })
		must(l.t, l.idling[i].Close())
		must(l.t, l.idling[i].Wait())
		must(l.t, c.Noop().Wait())
	}
}

// TestReloadsUnderLoad reloads two nodes a hundred times each while mail goes from one to the other, and
// from outside, and IMAP sessions idle. No session is cut, and each message comes once.
func TestReloadsUnderLoad(t *testing.T) {
	l := newLab(t)
	l.dns.MX("north.test", 10, "mx.north.test")
	l.dns.MX("south.test", 10, "mx.south.test")
	south := l.reloading("mx.south.test", southAddress, "[[listen]]\nservice = \"imap\"\naddress = \"127.0.0.32:0\"\n")
	north := l.reloading("mx.north.test", "127.0.0.31", "")
	for n, user := range map[*reloading]string{south: bobSouth, north: annNorth} {
		_, domain, _ := strings.Cut(user, "@")
		n.cli(t, "domain", "add", domain)
		n.cliInput(t, password+"\n", "account", "add", user, "--password-stdin")
	}
	sessions := &idlers{t: t}
	for range 5 {
		sessions.add(south.address("imap"))
	}
	taken, err := net.Listen("tcp", "127.0.0.33:0")
	must(t, err)
	defer taken.Close()

	stop := make(chan struct{})
	halt := sync.OnceFunc(func() { close(stop) })
	defer halt()
	var mail errgroup.Group
	flows := []*flow{{name: "users", from: annNorth}, {name: "patient-users", from: annNorth, slow: true},
		{name: "strangers", from: "eve@victim.test"}, {name: "patient-strangers", from: "eve@victim.test", slow: true}}
	for i, f := range flows {
		mail.Go(func() error {
			if i < 2 {
				return f.run(north.address("submission"), true, stop)
			}
			return f.run(south.address("mx"), false, stop)
		})
	}
	for i := range reloads {
		south.become(i)
		north.become(i)
		if i%50 == 20 {
			south.refuse(i, taken.Addr())
		}
	}
	halt()
	must(t, mail.Wait())
	var sent []string
	for _, f := range flows {
		sent = append(sent, f.sent...)
	}
	eventually(t, "the queues are empty", func() bool { return north.queued()+south.queued() == 0 })
	seen := south.count(bobSouth)
	wantAll(t, seen, sent)
	sessions.wantAlive(len(sent))
	t.Logf("%d reloads; %d messages came once each, through %d connections; %d IMAP sessions heard of all", 2*reloads, len(sent), len(flows), len(sessions.sessions))
}
