package interop

import (
	"fmt"
	"io/fs"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
)

// An mta is a mail transfer agent of others that runs from the folder its package was unpacked into.
// It delivers the mail of its domain into Maildirs and hands other mail to us.
type mta interface {
	traits() traits

	// start runs it with Maildirs for users. Mail to the address of a hop goes that way, all mail to
	// north.test else goes to our MX over TLS that is verified.
	start(t *testing.T, w *site, users []string, hops []hop)

	log() string
	waiting() int // files in its queue
	hurry()       // tries at once what waits
}

// traits say what an mta is called and what it can do.
type traits struct {
	domain, host string
	dir          string // holds mail/USER/new/…
	port         int    // takes mail as MX of domain
	login        int    // takes mail of those who log in over TLS
	utf8         bool   // SMTPUTF8, to and from us
	pipelining   bool   // offers it
	pipelines    bool   // uses it
	chunking     bool   // offers it
	chunks       bool   // uses it
	noTLS        bool   // offers STARTTLS but cannot do it
	breaksLines  bool   // sends lines beyond 998 bytes in pieces
}

// A hop is a way from an mta to us, for mail to [hop.address].
type hop struct {
	name   string
	port   int
	source string // address to connect from
	helo   string
	tapped bool // through a wiretap that breaks connections as cut says
	cut    cut
	login  bool // as ann, over TLS that is verified; else TLS where it is offered
}

func (h hop) address() string { return "ann+" + h.name + "@" + domain }

const (
	peerLogin    = "posthaste" // our name at a peer
	peerPassword = "south-wind-7"
)

// A pairing is a posthaste and an mta that send each other mail, directly and through wiretaps.
type pairing struct {
	*site
	mta
	peer  traits
	users []string            // of mta
	out   []outgoing          // what we send it
	in    []incoming          // what it sends us
	rules string              // the folder of tables
	taps  map[string]*wiretap // by scenario
}

// at returns the address of a scenario at the peer.
func (p *pairing) at(name string) string { return name + "@" + p.peer.domain }

func TestMTAs(t *testing.T) {
	for _, row := range []struct {
		name string
		open func(*testing.T) mta
	}{
		{"Postfix", func(t *testing.T) mta { return newPostfixMTA(t) }},
		{"Exim", func(t *testing.T) mta { return newExim(t) }},
		{"OpenSMTPD", func(t *testing.T) mta { return newOpenSMTPD(t) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := newPairing(t, row.open(t))
			p.sendOut(t)
			p.sendIn(t)
			t.Run("takes from us", p.checkOut)
			t.Run("sends to us", p.checkIn)
			t.Run("and nothing is left", p.checkEmpty)
		})
	}
}

func newPairing(t *testing.T, m mta) *pairing {
	t.Helper()
	p := &pairing{mta: m, peer: m.traits(), taps: map[string]*wiretap{}}
	p.out, p.in = p.outgoings(), p.incomings()
	rules := t.TempDir() // beside the configuration, where a confined node may read
	text := p.openOut(t, rules) + p.openIn(t, rules)
	p.site = prepareSite(t, settings{dir: rules, remotePort: p.peer.port, smtp: "max_size = \"" + strconv.Itoa(sizeLimit) + "\"\n", extra: text})
	p.site.env = []string{"SSL_CERT_FILE=" + p.caFile}
	p.dns.Host(p.peer.host, "127.0.0.1")
	p.dns.Host("other."+p.peer.domain, "127.0.0.1")
	p.dns.MX(p.peer.domain, 10, p.peer.host)
	p.site.start(t)
	p.cli(t, "domain", "add", domain)
	for _, address := range []string{ann, bob} {
		p.cliInput(t, password+"\n", "account", "add", address, "--password-stdin")
	}
	p.cli(t, "alias", "add", jürgen+domain, ann)
	p.mta.start(t, p.site, p.users, p.hops(t))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of %s:\n%s", p.peer.host, p.log())
		}
	})
	return p
}

// checkEmpty proves that no message was forgotten in a queue.
func (p *pairing) checkEmpty(t *testing.T) {
	eventually(t, "our queue is empty", func() bool { return p.queue(t) == "" })
	eventually(t, "the peer's queue is empty", func() bool { p.hurry(); return p.waiting() == 0 })
}

// queue lists what waits with us, a line per message.
func (p *pairing) queue(t *testing.T) string {
	t.Helper()
	return p.cli(t, "queue", "list", "--json")
}

// queued returns the line of our queue that names address.
func (p *pairing) queued(t *testing.T, address string) string {
	t.Helper()
	for line := range strings.Lines(p.queue(t)) {
		if strings.Contains(line, `"`+address+`"`) {
			return line
		}
	}
	return ""
}

// delivered returns the messages in a Maildir of the peer.
func (p *pairing) delivered(t *testing.T, user string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.peer.dir, "mail", user, "new", "*"))
	must(t, err)
	slices.Sort(files) // names begin with the time
	var all []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(t, err)
		all = append(all, string(text))
	}
	return all
}

// reached waits for at least one message in a Maildir of the peer.
func (p *pairing) reached(t *testing.T, user string) []string {
	t.Helper()
	slowly(t, "mail reaches "+p.at(user), func() bool { return len(p.delivered(t, user)) > 0 })
	return p.delivered(t, user)
}

// found returns the messages of a mailbox of ours that have a value in a field of the header.
func (p *pairing) found(t *testing.T, user, field, value string) []string {
	t.Helper()
	c := p.imap(t, user, nil)
	defer c.Close()
	_, err := c.Select("INBOX", &imap.SelectOptions{ReadOnly: true}).Wait()
	must(t, err)
	var all []string
	slowly(t, user+" gets a message with "+field+" "+value, func() bool {
		data, err := c.UIDSearch(&imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: field, Value: value}}}, nil).Wait()
		must(t, err)
		if len(data.AllUIDs()) == 0 {
			p.hurry()
			return false
		}
		fetched, err := c.Fetch(imap.UIDSetNum(data.AllUIDs()...), &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}}}).Collect()
		must(t, err)
		for _, f := range fetched {
			all = append(all, string(f.BodySection[0].Bytes))
		}
		return true
	})
	return all
}

// slowly is eventually for what is costly to ask.
func slowly(t *testing.T, what string, done func() bool) {
	t.Helper()
	const interval = 250 * time.Millisecond
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for limit := time.After(patience); !done(); {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("still not after %v: %s", patience, what)
		}
	}
}

// same fails the test unless got is want below lines that hosts added on the way. Maildirs hold lines as
// Unix has them.
func same(t *testing.T, what, got, want string) {
	t.Helper()
	got, want = strings.ReplaceAll(got, "\r\n", "\n"), strings.ReplaceAll(want, "\r\n", "\n")
	if strings.HasSuffix(got, want) {
		return
	}
	for i := range min(len(got), len(want)) {
		if g, w := got[len(got)-1-i], want[len(want)-1-i]; g != w {
			t.Errorf("%s: %d bytes differ from the %d sent, first at %d from the end: got … %.100q, want … %.100q", what, len(got), len(want), i,
				got[len(got)-1-i:], want[len(want)-1-i:])
			return
		}
	}
	t.Errorf("%s: %d bytes, only the end of the %d sent", what, len(got), len(want))
}

// submitted hands a message to our submission service from an address of ann's.
func (p *pairing) submitted(t *testing.T, from, content string, to ...string) {
	t.Helper()
	c, err := smtp.Dial(p.address("submission"))
	must(t, err)
	defer c.Close()
	must(t, c.StartTLS(p.clientTLS()))
	must(t, c.Auth(smtp.PlainAuth("", ann, password, "127.0.0.1")))
	send(t, c, from, content, to...)
}

// handed gives a message to the peer.
func (p *pairing) handed(t *testing.T, from, content string, to ...string) {
	t.Helper()
	c, err := smtp.Dial(local(p.peer.port))
	must(t, err)
	defer c.Close()
	send(t, c, from, content, to...)
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func portOf(address string) int {
	_, text, _ := net.SplitHostPort(address)
	port, _ := strconv.Atoi(text)
	return port
}

func listens(port int) bool {
	conn, err := net.Dial("tcp", local(port))
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// filesBelow counts the files below folders.
func filesBelow(folders ...string) int {
	n := 0
	for _, folder := range folders {
		filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
			if err == nil && entry.Type().IsRegular() {
				n++
			}
			return nil
		})
	}
	return n
}

// template reads a configuration below testdata/mta and fills in what stands for $NAMES.
func template(t *testing.T, name string, values ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata/mta", name))
	must(t, err)
	filled := strings.NewReplacer(values...).Replace(string(text))
	return filled
}

// letter returns a message with a whole header, so that nobody has to add to it.
func letter(from, to, subject, body string) string {
	return fmt.Sprintf("From: %s\r\nTo: %s\r\nSubject: %s\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <%s.%d@letters.test>\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nX-Folded: one\r\n\ttwo  \r\n three\r\n\r\n%s",
		from, to, subject, subject, len(body), body)
}

// The bodies of letters.
var (
	oddBody = ".\r\n..\r\n. x\r\nFrom here on\r\n>From there\r\n\ttab \t \r\nGrüße aus dem Süden, \xe4\xff in Latin-1\r\n" +
		strings.Repeat("0123456789", 99) + "12345678\r\n" + "\r\n.leading\r\n\r\n\r\n"
	longBody = "short\r\n" + strings.Repeat("x1234567", 600) + "\r\n.\r\n" + strings.Repeat("y", 1999) + "\r\nend\r\n"
	markBody = numbered(300<<10) + halfwayMark + "\r\n" + numbered(300<<10) + lastMark + "\r\n"
)

// numbered returns n bytes or a little more of lines that are all different.
func numbered(n int) string {
	var b strings.Builder
	filler := strings.Repeat("and so on, ", 80)
	for i := 0; b.Len() < n; i++ {
		b.WriteString(strconv.Itoa(i))
		b.WriteString(filler)
		b.WriteString(strconv.Itoa(i * i))
		b.WriteString("\r\n")
	}
	return b.String()
}

// log returns what the mta logged.
func (p *pairing) log() string { return p.mta.log() }
