package killtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"posthaste/dns/dnstest"
	"posthaste/sim"
)

// kills returns how often the program is killed: few times, or with POSTHASTE_TORTURE=1 many.
func kills(few, many int) int {
	if os.Getenv("POSTHASTE_TORTURE") != "" {
		return many
	}
	return few
}

// newFar runs a DNS and the mail host of far.test, and returns the configuration to reach it.
func newFar(t *testing.T) (*sink, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	names := dnstest.New()
	names.Host("mx.far.test", "127.0.0.1")
	names.MX("far.test", 10, "mx.far.test")
	if err := names.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); names.Serve(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return serveSink(t, ln), fmt.Sprintf(`
[tls]
plaintext_auth = true
[dns]
servers = [%q]
[remote]
port = %d
[queue]
retry = "500ms"
retry_max = "1s"
`, names.Address(), ln.Addr().(*net.TCPAddr).Port)
}

// TestKillsLoseNothing kills the program under load of SMTP, in both directions, and of IMAP.
func TestKillsLoseNothing(t *testing.T) {
	seed := sim.Seed(t)
	t.Logf("POSTHASTE_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	far, config := newFar(t)
	s := newServer(t, config)
	s.start()
	s.populate("ann", "amy", "bob", "bea", "kim", "kai")
	senders := []*sender{
		{name: "out1", service: "mx", from: "fay@far.test", to: [][]string{{"ann@north.test"}, {"amy@north.test", "bob@north.test", "bea@north.test"}}},
		{name: "out2", service: "mx", from: "", to: [][]string{{"bob@north.test"}}},
		{name: "ann", service: "submission", from: "ann@north.test", to: [][]string{{"fay@far.test"}, {"bob@north.test", "fay@far.test"}}},
		{name: "amy", service: "submission", from: "amy@north.test", to: [][]string{{"fred@far.test", "ann@north.test", "fay@far.test"}}},
	}
	keepers := []*keeper{newKeeper(t, "kim@north.test", seed), newKeeper(t, "kai@north.test", seed+1)}
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for _, sender := range senders {
		load.Go(func() { sender.run(ctx, s) })
	}
	for _, keeper := range keepers {
		load.Go(func() { keeper.run(ctx, s) })
	}
	n := kills(5, 200)
	for range n {
		time.Sleep(time.Duration(rng.Int64N(int64(700 * time.Millisecond))))
		s.kill()
		s.start()
	}
	time.Sleep(200 * time.Millisecond)
	stop()
	load.Wait()
	s.settle()
	s.checkAccounts()
	checkLetters(t, s, far, senders, n)
	for _, k := range keepers {
		k.last(s)
		t.Logf("%s: %d changes acknowledged, compared %d times", k.login, k.changes, k.looks)
	}
}

// settle waits until the queue is empty.
func (s *server) settle() {
	s.t.Helper()
	for limit := time.Now().Add(time.Minute); ; {
		waiting := listed[map[string]any](s, "queue", "list")
		if len(waiting) == 0 {
			return
		}
		if time.Now().After(limit) {
			s.t.Fatalf("%d entries stay in the queue: %v", len(waiting), waiting[0])
		}
	}
}

// last looks once more.
func (k *keeper) last(s *server) {
	ctx, stop := context.WithCancel(k.t.Context())
	stop()
	if err := k.session(ctx, s); err != nil {
		k.t.Errorf("%s: %v", k.login, err)
	}
}

// checkLetters asks where each letter is: promised ones somewhere, and none more often than replies
// were lost. The reply of the other host is lost where the program was killed, so that it may get a
// letter again for each kill.
func checkLetters(t *testing.T, s *server, far *sink, senders []*sender, kills int) {
	mailboxes := map[string]int{}
	for _, user := range []string{"ann", "amy", "bob", "bea"} {
		address := user + "@north.test"
		for _, content := range s.export(address, "INBOX") {
			mailboxes[idOf(content)+" "+address]++
		}
	}
	promised, twice, again := 0, 0, 0
	for _, sender := range senders {
		for _, l := range sender.sent {
			for _, to := range l.To {
				copies, most := mailboxes[l.ID+" "+to], 1+l.lost
				if strings.HasSuffix(to, "@far.test") {
					copies, most = far.copies(l.ID, to), most+kills
				}
				if l.promised {
					promised++
				}
				if copies == 0 && l.promised || copies > most {
					t.Errorf("%s to %s: promised %v, %d replies lost, %d copies", l.ID, to, l.promised, l.lost, copies)
				}
				if strings.HasSuffix(to, "@far.test") {
					again += max(0, copies-1)
				} else {
					twice += max(0, copies-1)
				}
			}
		}
	}
	t.Logf("%d kills, %d deliveries promised; more than once: %d in mailboxes, whose 250 was lost, and %d at the other host", kills, promised, twice, again)
	if promised < kills {
		t.Errorf("only %d deliveries were promised: too little load to prove anything", promised)
	}
}

// export returns the messages of a mailbox.
func (s *server) export(address, mailbox string) []string {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "export")
	s.run("", "mailbox", "export", address, mailbox, "mbox", file)
	text, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	var contents []string
	for part := range strings.SplitSeq("\n"+string(text), "\nFrom ") {
		if strings.TrimSpace(part) != "" {
			contents = append(contents, part)
		}
	}
	return contents
}
