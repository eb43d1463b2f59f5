package interop

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"posthaste/dns/dnstest"
)

// A lab is some posthaste processes, each on a loopback address of its own, and a name server that
// knows them. All speak SMTP on one port, which stands for 25.
type lab struct {
	t    *testing.T
	dns  *dnstest.Server
	port int
	dir  string
}

func newLab(t *testing.T) *lab {
	l := &lab{t: t, dns: dnstest.New(), port: freePort(t), dir: t.TempDir()}
	must(t, l.dns.Listen("127.0.0.1:0"))
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { l.dns.Serve(ctx) })
	t.Cleanup(func() { cancel(); serving.Wait() })
	return l
}

// A labNode is one process of a lab.
type labNode struct {
	*site
	lab *lab
	ip  string
}

// node starts a node of a name at a loopback address; extra is TOML for the end of its configuration.
func (l *lab) node(name, ip, retry, extra string) *labNode {
	l.t.Helper()
	l.dns.Host(name, ip)
	dir := filepath.Join(l.dir, name)
	must(l.t, os.Mkdir(dir, 0o700))
	text := fmt.Sprintf(`hostname = %q
data = %q
[log]
format = "json"
[tls]
plaintext_auth = true
[dns]
servers = [%q]
[remote]
port = %d
source = %q
connect_timeout = "2s"
[queue]
retry = %q
retry_max = %[6]q
[[listen]]
service = "mx"
address = "%[5]s:%[4]d"
[[listen]]
service = "submission"
address = "%[5]s:0"
`, name, filepath.Join(dir, "data"), l.dns.Address(), l.port, ip, retry)
	n := &labNode{&site{dir: dir, dns: l.dns, log: &nodeLog{addresses: map[string]string{}}}, l, ip}
	n.config = writeFile(l.t, filepath.Join(dir, "posthaste.toml"), text+extra)
	n.start(l.t)
	return n
}

// kill ends the node as a loss of power does to its process.
func (n *labNode) kill() {
	process := n.process
	n.process = nil
	process.Process.Kill()
	<-n.ended
}

// restart starts the node again.
func (n *labNode) restart() { must(n.lab.t, n.run()) }

// dial opens SMTP to the MX of the node from a loopback address.
func (n *labNode) dial(from string) *smtp.Client {
	t := n.lab.t
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	nc, err := d.Dial("tcp", n.address("mx"))
	must(t, err)
	must(t, nc.SetDeadline(time.Now().Add(patience)))
	c, err := smtp.NewClient(nc, host)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.Hello("stranger.test"))
	return c
}

// rcpt returns the node's answer to a recipient of a stranger, and sends nothing.
func (n *labNode) rcpt(from, to string) (code int, text string) {
	n.lab.t.Helper()
	c := n.dial("127.0.0.1")
	defer c.Close()
	must(n.lab.t, c.Mail(from))
	err := c.Rcpt(to)
	if err == nil {
		return 250, ""
	}
	reply, ok := err.(*textproto.Error)
	if !ok {
		n.lab.t.Fatalf("RCPT TO:<%s>: %v", to, err)
	}
	return reply.Code, reply.Msg
}

// wantRcpt asks for the code of that answer.
func (n *labNode) wantRcpt(code int, to, when string) {
	n.lab.t.Helper()
	if got, text := n.rcpt("eve@victim.test", to); got != code {
		n.lab.t.Errorf("RCPT TO:<%s> %s: %d %s, want %d", to, when, got, text, code)
	}
}

// submit hands mail in as a user of the node. Each message has its Message-ID.
func (n *labNode) submit(from, to string, ids ...string) {
	t := n.lab.t
	t.Helper()
	nc, err := net.Dial("tcp", n.address("submission"))
	must(t, err)
	must(t, nc.SetDeadline(time.Now().Add(patience)))
	c, err := smtp.NewClient(nc, "localhost")
	must(t, err)
	defer c.Close()
	must(t, c.Auth(smtp.PlainAuth("", from, password, "localhost")))
	for i, id := range ids {
		must(t, c.Mail(from))
		must(t, c.Rcpt(to))
		data, err := c.Data()
		must(t, err)
		size := 1000
		if i%20 == 7 {
			size = 300_000 // kept as a blob
		}
		fmt.Fprintf(data, "From: <%s>\r\nTo: <%s>\r\nMessage-ID: <%s@lab.test>\r\nSubject: %[3]s\r\n\r\n%s\r\n", from, to, id, text(size))
		must(t, data.Close())
	}
	must(t, c.Quit())
}

// text returns lines of so many bytes.
func text(size int) string { return strings.Repeat(strings.Repeat("x", 70)+"\r\n", 1+size/72) }

// count returns how often each Message-ID stands in the INBOX of an address.
func (n *labNode) count(address string) map[string]int {
	t := n.lab.t
	t.Helper()
	file := filepath.Join(t.TempDir(), "mbox")
	n.cli(t, "mailbox", "export", address, "INBOX", "mbox", file)
	content, err := os.ReadFile(file)
	must(t, err)
	seen := map[string]int{}
	for line := range bytes.Lines(content) {
		if id, ok := strings.CutPrefix(string(line), "Message-ID: <"); ok {
			id, _, _ = strings.Cut(id, "@")
			seen[id]++
		}
	}
	return seen
}

// queued returns how many entries the node's queue has.
func (n *labNode) queued() int {
	return strings.Count(n.cli(n.lab.t, "queue", "list", "--json"), "\n")
}

// ids returns names of messages.
func ids(prefix string, count int) (all []string) {
	for i := range count {
		all = append(all, fmt.Sprintf("%s%d", prefix, i))
	}
	return all
}

// wantAll complains about messages that are not there exactly once.
func wantAll(t *testing.T, seen map[string]int, ids []string) {
	t.Helper()
	for _, id := range ids {
		if seen[id] != 1 {
			t.Errorf("message %s arrived %d times", id, seen[id])
		}
	}
}

// The people of the backup's story.
const (
	annNorth = "ann@north.test"
	bobSouth = "bob@south.test"
	joySouth = "joy@south.test"
)

// A relay is the story's cast: a sender, a primary and its backup, which retries that often.
type relayStory struct {
	*lab
	north, primary, backup *labNode
}

func newRelayStory(t *testing.T, backupRetry, backupExtra string) *relayStory {
	s := &relayStory{lab: newLab(t)}
	s.dns.MX("north.test", 10, "mx.north.test")
	s.dns.MX("south.test", 10, "mx1.south.test")
	s.dns.MX("south.test", 20, "mx2.south.test")
	s.dns.MX("victim.test", 10, "mx.north.test") // who would get reports to forged senders
	s.primary = s.node("mx1.south.test", "127.0.0.21", "300ms", "")
	s.backup = s.node("mx2.south.test", "127.0.0.22", backupRetry, backupExtra)
	s.north = s.node("mx.north.test", "127.0.0.23", "300ms", "")
	for _, domain := range []string{"north.test", "victim.test"} {
		s.north.cli(t, "domain", "add", domain)
	}
	for _, address := range []string{annNorth, "eve@victim.test"} {
		s.north.cliInput(t, password+"\n", "account", "add", address, "--password-stdin")
	}
	s.primary.cli(t, "domain", "add", "south.test")
	for _, address := range []string{bobSouth, joySouth} {
		s.primary.cliInput(t, password+"\n", "account", "add", address, "--password-stdin")
	}
	s.backup.cli(t, "domain", "add", "south.test", "--relay")
	return s
}

// TestABackupHoldsAndHandsOn runs three processes: the primary MX of south.test dies, its backup takes
// the mail of north.test, is killed itself in between, and hands all on once the primary is back, by
// itself or at the primary's ETRN. Call-ahead verification keeps it from taking mail for nobody.
func TestABackupHoldsAndHandsOn(t *testing.T) {
	for name, c := range map[string]struct {
		retry string
		back  func(s *relayStory)
	}{
		"by itself": {"300ms", func(*relayStory) {}},
		"at ETRN":   {"1h", (*relayStory).etrn},
	} {
		t.Run(name, func(t *testing.T) {
			s := newRelayStory(t, c.retry, `[smtp]
etrn = true
[relay]
networks = ["127.0.0.21/32"]
`)
			s.verifiesWhileUp()
			s.primary.kill()
			first := ids("first", 60)
			s.north.submit(annNorth, bobSouth, first...)
			eventually(t, "the backup holds the mail", func() bool { return s.north.queued() == 0 && s.backup.queued() == len(first) })
			s.remembersWhileDown()
			s.backup.kill()
			second := ids("second", 20)
			s.north.submit(annNorth, bobSouth, second...) // both are away
			s.backup.restart()
			eventually(t, "the backup holds that too", func() bool { return s.north.queued() == 0 && s.backup.queued() == len(first)+len(second) })
			s.primary.restart()
			c.back(s)
			eventually(t, "the primary has all", func() bool { return s.backup.queued() == 0 })
			wantAll(t, s.primary.count(bobSouth), append(first, second...))
			s.noReports()
		})
	}
}

// verifiesWhileUp: the backup takes who exists and refuses who does not, as the primary says.
func (s *relayStory) verifiesWhileUp() {
	s.t.Helper()
	s.backup.wantRcpt(250, bobSouth, "while the primary is up")
	s.backup.wantRcpt(550, "nobody@south.test", "while the primary is up")
	s.backup.wantRcpt(550, "ann@elsewhere.test", "of a domain that is not relayed")
}

// remembersWhileDown: what the primary said still counts; whom it was not asked about is taken.
func (s *relayStory) remembersWhileDown() {
	s.t.Helper()
	s.backup.wantRcpt(250, bobSouth, "while the primary is down")
	s.backup.wantRcpt(550, "nobody@south.test", "while the primary is down")
	s.backup.wantRcpt(250, joySouth, "while the primary is down")
}

// etrn has the primary ask for its mail, which nobody else may.
func (s *relayStory) etrn() {
	t := s.t
	t.Helper()
	for _, try := range []struct {
		from, domain string
		code         int
	}{
		{"127.0.0.1", "south.test", 459},
		{"127.0.0.21", "elsewhere.test", 459},
		{"127.0.0.21", "south.test", 253},
	} {
		c := s.backup.dial(try.from)
		id, err := c.Text.Cmd("ETRN %s", try.domain)
		must(t, err)
		c.Text.StartResponse(id)
		code, said, _ := c.Text.ReadResponse(0)
		c.Text.EndResponse(id)
		c.Close()
		if code != try.code {
			t.Errorf("ETRN %s from %s: %d %s, want %d", try.domain, try.from, code, said, try.code)
		}
	}
}

// noReports: nobody was told of anything.
func (s *relayStory) noReports() {
	s.t.Helper()
	eventually(s.t, "the queues are empty", func() bool { return s.primary.queued()+s.backup.queued()+s.north.queued() == 0 })
	for _, address := range []string{annNorth, "eve@victim.test"} {
		if got := s.north.count(address); len(got) > 0 {
			s.t.Errorf("%s got mail: %v", address, got)
		}
	}
}

// TestACautiousBackupSendsNoBackscatter: with relay.unverified = "defer" the backup takes nobody that it
// cannot know of, and whom it took it knows of: a forged sender hears nothing, ever.
func TestACautiousBackupSendsNoBackscatter(t *testing.T) {
	s := newRelayStory(t, "300ms", "[relay]\nunverified = \"defer\"\n")
	s.verifiesWhileUp()
	s.primary.kill()
	s.backup.wantRcpt(250, bobSouth, "while the primary is down")
	s.backup.wantRcpt(550, "nobody@south.test", "while the primary is down")
	s.backup.wantRcpt(450, "whoever@south.test", "while the primary is down")
	forged := s.backup.dial("127.0.0.1")
	must(t, forged.Mail("eve@victim.test"))
	for _, to := range []string{bobSouth, "nobody@south.test", "whoever@south.test"} {
		forged.Rcpt(to) // some are refused, as asked for above
	}
	data, err := forged.Data()
	must(t, err)
	fmt.Fprintf(data, "From: <eve@victim.test>\r\nMessage-ID: <forged@lab.test>\r\n\r\nbuy!\r\n")
	must(t, data.Close())
	s.primary.restart()
	eventually(t, "the primary has it", func() bool { return s.primary.count(bobSouth)["forged"] == 1 })
	s.noReports()
}
