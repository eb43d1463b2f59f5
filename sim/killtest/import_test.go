package killtest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"posthaste/sim"
)

// importMails is how many messages an mbox of this test has.
const importMails = 4000

// writeMbox writes an mbox of letters, with lines that end in LF, as other programs do.
func writeMbox(t *testing.T) string {
	var text strings.Builder
	for n := range importMails {
		letter := sim.Letter{ID: fmt.Sprintf("import-%d", n), From: "fay@far.test", To: []string{"ann@north.test"}, Body: strings.Repeat("y", n%5000)}
		fmt.Fprintf(&text, "From fay@far.test Sat Jan  1 00:00:00 2000\n%s\n", strings.ReplaceAll(letter.Content(), "\r\n", "\n"))
	}
	file := filepath.Join(t.TempDir(), "mbox")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestKilledImportsLeaveAPrefix kills imports: with a node that runs, the node; without, the import
// itself. What is there afterwards is the first messages of the file, each once; all of them where the
// import said so.
func TestKilledImportsLeaveAPrefix(t *testing.T) {
	seed := sim.Seed(t)
	t.Logf("POSTHASTE_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	mbox := writeMbox(t)
	s := newServer(t, "")
	s.populate("ann")
	finished, partly := 0, 0
	for n := range kills(2, 60) {
		mailbox := fmt.Sprintf("Import %d", n)
		done := s.killedImport(n%2 == 0, 50*time.Millisecond+time.Duration(rng.Int64N(int64(300*time.Millisecond))), mailbox, mbox)
		got := s.imported(mailbox)
		for i, id := range got {
			if want := fmt.Sprintf("import-%d", i); id != want {
				t.Fatalf("%s: message %d is %s, want %s", mailbox, i, id, want)
			}
		}
		switch {
		case done && len(got) != importMails:
			t.Errorf("%s: the import said it was done, but %d of %d messages are there", mailbox, len(got), importMails)
		case done:
			finished++
		case len(got) > 0:
			partly++
		}
	}
	s.checkAccounts()
	t.Logf("%d imports finished, %d were cut in the middle", finished, partly)
}

// killedImport imports mbox and kills the node, or the import where there is no node, after some time.
// It tells whether the import said that all is done.
func (s *server) killedImport(online bool, after time.Duration, mailbox, mbox string) bool {
	s.t.Helper()
	if online {
		s.start()
	}
	c := s.command("mailbox", "import", "ann@north.test", mailbox, mbox)
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	victim := c
	if online {
		victim = s.process
	}
	timer := time.AfterFunc(after, func() { victim.Process.Kill() })
	err := c.Wait()
	timer.Stop()
	s.kill()
	return err == nil
}

// imported returns the IDs of the messages in a mailbox, which may not have come to be.
func (s *server) imported(mailbox string) (ids []string) {
	s.t.Helper()
	for _, box := range listed[struct{ Name string }](s, "mailbox", "list", "ann@north.test") {
		if box.Name == mailbox {
			for _, content := range s.export("ann@north.test", mailbox) {
				ids = append(ids, idOf(content))
			}
		}
	}
	return ids
}

// checkAccounts asks whether every account holds what it says it holds.
func (s *server) checkAccounts() {
	s.t.Helper()
	type account struct {
		Address      string
		Used, Emails int64
	}
	for _, a := range listed[account](s, "account", "list") {
		var size, emails int64
		for _, box := range listed[struct{ Emails, Size int64 }](s, "mailbox", "list", a.Address) {
			size += box.Size
			emails += box.Emails
		}
		if size != a.Used || emails != a.Emails {
			s.t.Errorf("%s says it holds %d bytes in %d emails, its mailboxes hold %d in %d", a.Address, a.Used, a.Emails, size, emails)
		}
	}
}
