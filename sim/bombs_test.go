package sim

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"posthaste/admin"
	"posthaste/blob/memblob"
	"posthaste/config"
	"posthaste/directory"
	"posthaste/dns"
	"posthaste/dns/dnstest"
	"posthaste/kv"
	"posthaste/kv/memkv"
	"posthaste/mail"
	"posthaste/mailfile"
	"posthaste/node"
	"posthaste/store"
)

// A target is a node with all checks that need no other program, which takes mail over TCP.
type target struct {
	t    *testing.T
	node *node.Node
	kv   kv.Store
}

// newTarget starts a node for north.test with the account ann, that asks exchange, or the DNS of t.
func newTarget(t *testing.T, zones *dnstest.Server, exchange dns.Exchange) *target {
	t.Helper()
	c := config.Default()
	c.Hostname, c.Data = "mx.north.test", t.TempDir()
	c.Listen = []config.Listen{{Service: "mx", Address: "127.0.0.1:0"}}
	c.DNSBLs = []config.DNSBL{{Name: "LAB", Zone: "bl.test", Weight: 1, Private: true, Test: "off", Timeout: config.Duration(3 * time.Second)}}
	c.DMARC.Receive, c.ARF.Receive = []string{"reports@north.test"}, []string{"abuse@north.test"}
	c.Greylist.Enabled = false
	if exchange == nil {
		exchange = zones.Exchange
	}
	db := memkv.New()
	n, err := node.Open(t.Context(), c, slog.New(slog.DiscardHandler), node.Options{InProcess: true,
		KV: db, Blobs: memblob.New(), Listen: net.Listen, Exchange: exchange})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		if err := n.Run(ctx, func() { close(ready) }); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	<-ready
	s := &target{t: t, node: n, kv: db}
	if _, err := n.Admin().AddDomain(t.Context(), admin.DomainRequest{Name: "north.test"}); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"ann", "reports", "abuse"} {
		s.account(user)
	}
	return s
}

// account adds an account without a password, which would cost more than all the rest.
func (s *target) account(user string) mail.AccountID {
	s.t.Helper()
	d := directory.New(s.kv, directory.Config{})
	defer d.Close()
	a, err := d.AddAccount(s.t.Context(), mail.Address{Local: user, Domain: "north.test"}, directory.AccountOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	boxes, err := store.New(store.Config{KV: s.kv})
	if err == nil {
		err = boxes.Create(s.t.Context(), a.ID, 0)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return a.ID
}

// teach gives an account a model of its own for the classifier.
func (s *target) teach(address string) {
	s.t.Helper()
	for class, text := range map[bool]string{true: "cheap pills", false: "the minutes of our meeting"} {
		lessons := func(yield func(mailfile.Message, error) bool) {
			content := fmt.Sprintf("Message-ID: <%v.%s>\r\nSubject: %s\r\n\r\n%s for %s\r\n", class, address, text, strings.Repeat(text+" ", 50), address)
			yield(mailfile.Message{Content: []byte(content)}, nil)
		}
		if _, err := s.node.Admin().LearnSpam(s.t.Context(), admin.SpamRequest{Address: address, Spam: class}, lessons); err != nil {
			s.t.Fatal(err)
		}
	}
}

// send hands in a message as a client would and returns the reply to its end.
func (s *target) send(from, content string, to ...string) string {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.node.Address("mx"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(2 * time.Minute))
	r := bufio.NewReader(nc)
	reply := func() string {
		for {
			line, err := r.ReadString('\n')
			if err != nil || len(line) < 4 || line[3] != '-' {
				return strings.TrimRight(line, "\r\n")
			}
		}
	}
	reply()
	commands := []string{"EHLO mail.evil.test", "MAIL FROM:<" + from + "> BODY=8BITMIME"}
	for _, a := range to {
		commands = append(commands, "RCPT TO:<"+a+">")
	}
	for _, command := range append(commands, "DATA") {
		fmt.Fprintf(nc, "%s\r\n", command)
		if line := reply(); line == "" || line[0] > '3' {
			return line
		}
	}
	w := bufio.NewWriterSize(nc, 1<<16)
	w.WriteString(content)
	w.WriteString("\r\n.\r\n")
	w.Flush()
	return reply()
}

// A cost is what one message took.
type cost struct {
	wall, cpu time.Duration
	heap      int64 // bytes at the highest, above what was there before
	reply     string
}

// spent is the CPU time of this process: the client that sends is in it.
func spent() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// heapNow returns the bytes of objects, live or not yet swept.
func heapNow() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}

// measure tells what do costs.
func measure(do func() string) (c cost) {
	if !raceDetector { // with which collecting is slow
		defer debug.SetGCPercent(debug.SetGCPercent(20)) // what is seen is near to what is needed
	}
	runtime.GC()
	stop, watched := make(chan struct{}), make(chan int64)
	base := heapNow()
	go func() {
		highest := base
		for {
			highest = max(highest, heapNow())
			select {
			case <-stop:
				watched <- highest
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	began, cpu := time.Now(), spent()
	c.reply = do()
	c.wall, c.cpu = time.Since(began), spent()-cpu
	close(stop)
	c.heap = <-watched - base
	return c
}

// slack is by how much bounds of CPU are stretched: the race detector makes everything slow, and other
// tests run beside these.
func slack() time.Duration {
	if raceDetector {
		return 8
	}
	return 2
}

// Bounds of one message, whatever it holds. Time is that of a machine that has nothing else to do.
const (
	bombWall    = 4 * time.Second
	bombCPU     = 3 * time.Second
	bombHeap    = 160 << 20 // beside the message itself, several times over
	bombPerByte = 12        // bytes of memory for one of the message
)

// A bomb is a message made to hurt, with the DNS that it needs.
type bomb struct {
	name    string
	from    string // default: bob@evil.test
	to      []string
	content func() string
	zones   func(*dnstest.Server)
	codes   string // how replies may begin, by first digit; empty: 2 or 5
}

// TestBombs sends one hostile message after the other over TCP to a node with all its own checks on, and
// bounds what each costs. In the table, CPU and memory are those of the client too.
func TestBombs(t *testing.T) {
	var table strings.Builder
	for _, b := range bombs() {
		t.Run(b.name, func(t *testing.T) { table.WriteString(b.blast(t)) })
	}
	t.Logf("\n| what | size | time | CPU | memory | answer |\n|---|---|---|---|---|---|\n%s", table.String())
}

// blast throws b at a node of its own and returns its row of the table.
func (b bomb) blast(t *testing.T) string {
	zones := dnstest.New()
	if b.zones != nil {
		b.zones(zones)
	}
	s := newTarget(t, zones, nil)
	s.send("ann@quiet.test", "From: ann@quiet.test\r\nSubject: warm\r\n\r\nUp.\r\n", "ann@north.test")
	content := b.content()
	from, to := b.from, b.to
	if from == "" {
		from = "bob@evil.test"
	}
	if to == nil {
		to = []string{"ann@north.test"}
	}
	for _, a := range to {
		if user, _, _ := strings.Cut(a, "@"); strings.HasPrefix(user, "user") {
			s.account(user)
			s.teach(a)
		}
	}
	c := measure(func() string { return s.send(from, content, to...) })
	row := fmt.Sprintf("| %s | %.1f MB | %v | %v | %.0f MB | %.40s |\n", b.name, float64(len(content))/1e6,
		c.wall.Round(time.Millisecond), c.cpu.Round(time.Millisecond), float64(c.heap)/1e6, c.reply)
	codes := b.codes
	if codes == "" {
		codes = "25"
	}
	if c.reply == "" || !strings.ContainsRune(codes, rune(c.reply[0])) {
		t.Errorf("answered %q", c.reply)
	}
	if c.wall > bombWall*slack() || c.cpu > bombCPU*slack() {
		t.Errorf("took %v, and %v of CPU", c.wall, c.cpu)
	}
	if limit := int64(bombHeap + bombPerByte*len(content)); c.heap > limit {
		t.Errorf("took %d MB, over %d", c.heap>>20, limit>>20)
	}
	return row
}
