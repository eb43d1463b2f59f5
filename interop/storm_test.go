package interop

import (
	"fmt"
	"net/smtp"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"posthaste/filter/filtertest"
	"posthaste/filter/virus/clamdtest"
)

// Sizes of a storm.
const (
	senders    = 4
	before     = 100                    // letters at each site until its engine is killed
	missed     = 20                     // letters that meet no engine until it comes back
	after      = 100                    // letters once it is asked again
	most       = 2000                   // letters of one sender until then
	pace       = 5 * time.Millisecond   // between letters of a sender
	retryPause = 100 * time.Millisecond // of a sender that was put off
)

// TestEnginesAreKilledUnderLoad kills each engine by SIGKILL while mail flows through two sites: one that
// goes on without it, and one that takes no mail without it.
func TestEnginesAreKilledUnderLoad(t *testing.T) {
	for _, name := range []string{"clamd", "opendkim", "spamd", "rspamd"} {
		t.Run(name, func(t *testing.T) {
			if name != "clamd" && !filtertest.Torture() {
				t.Skip("POSTHASTE_TORTURE is not set: clamd stands for all")
			}
			stormOver(t, engines[name](t))
		})
	}
}

func stormOver(t *testing.T, e engine) {
	storms := make([]*storm, 0, 2)
	for _, onFailure := range []string{"accept", "defer"} {
		w := newSite(t, settings{extra: fmt.Sprintf(e.config, onFailure)})
		storms = append(storms, &storm{site: w, engine: e, closed: onFailure == "defer",
			enough: make(chan struct{}), back: make(chan struct{}), taken: map[string]bool{}})
	}
	var flows sync.WaitGroup
	each := func(do func(s *storm)) {
		for _, s := range storms {
			do(s)
		}
	}
	each(func(s *storm) {
		for i := range senders {
			flows.Go(func() { s.send(i) })
		}
	})
	each(func(s *storm) { s.wait(t, "mail flows", func() bool { return len(s.taken) >= before }) })
	e.kill()
	each(func(s *storm) {
		had := s.progress()
		s.wait(t, "mail meets no engine", func() bool { return s.progressLocked() >= had+missed })
		close(s.enough)
	})
	e.start(t)
	back := time.Now()
	each(func(s *storm) { s.recover(t) })
	t.Logf("asked again %v after the restart", time.Since(back).Round(10*time.Millisecond))
	flows.Wait()
	each(func(s *storm) { s.check(t) })
}

// A storm is mail that flows into a site whose engine is killed.
type storm struct {
	*site
	engine engine
	closed bool          // it takes no mail that its engine did not see
	enough chan struct{} // closed once enough mail met no engine
	back   chan struct{} // closed once the engine is asked again
	probes int

	mu    sync.Mutex // guards what follows
	taken map[string]bool
	put   int // answers that put a letter off
	wrong []error
}

// send is one sender: it hands over its letters, again and again while they are put off.
func (s *storm) send(sender int) {
	c, err := s.dialMX()
	if err != nil {
		s.note("", err)
		return
	}
	defer c.Close()
	settle := func(when string, n int) {
		for !s.deliver(c, fmt.Sprintf("%s-%d-%d", when, sender, n), "steady") {
			time.Sleep(retryPause) // as a sender does that is put off
		}
		time.Sleep(pace)
	}
	for n := range most {
		select {
		case <-s.enough:
		default:
			settle("early", n)
		}
	}
	<-s.back
	for n := range after / senders {
		settle("late", n)
	}
}

// deliver hands a letter over and tells whether that is settled.
func (s *storm) deliver(c *smtp.Client, id, body string) bool {
	return s.note(id, hand(c, "carl@client.test", ann, note(id, body)))
}

// note counts an answer, and tells whether the letter is settled.
func (s *storm) note(id string, err error) (settled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.taken[id] = true
	case s.closed && code(err) == 451:
		s.put++
		return false
	default:
		s.wrong = append(s.wrong, fmt.Errorf("%s: %w", id, err))
	}
	return true
}

// progress counts the letters that met no engine, while it is away.
func (s *storm) progress() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.progressLocked()
}

func (s *storm) progressLocked() int {
	if s.closed {
		return s.put
	}
	return len(s.taken)
}

func (s *storm) wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	eventually(t, what, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return done()
	})
}

// recover sends letters until one is seen by the engine again.
func (s *storm) recover(t *testing.T) {
	t.Helper()
	c, err := s.dialMX()
	must(t, err)
	defer c.Close()
	eventually(t, s.engine.name+" is asked again", func() bool {
		s.probes++
		id := fmt.Sprintf("probe-%d", s.probes)
		if !s.deliver(c, id, "steady") {
			time.Sleep(retryPause)
			return false
		}
		out, status := command{args: s.posthaste("explain", "message", id+"@client.test")}.run(t)
		return status == 0 && !strings.Contains(out, "ENGINE_SILENT")
	})
	close(s.back)
	if s.engine.name == "clamd" {
		if err := hand(c, "carl@client.test", ann, note("virus", clamdtest.Signature)); code(err) != 554 {
			t.Errorf("a virus after the storm is answered %v", err)
		}
	}
}

var subjectField = regexp.MustCompile(`(?m)^Subject: (\S+)`)

// check holds what is in mailboxes against what was answered.
func (s *storm) check(t *testing.T) {
	t.Helper()
	for _, err := range s.wrong {
		t.Errorf("closed %v: %v", s.closed, err)
	}
	there, silent := map[string]int{}, 0
	for _, mailbox := range []string{"INBOX", "Junk"} {
		for _, m := range s.mailbox(t, ann, mailbox) {
			id := subjectField.FindStringSubmatch(m.content)[1]
			there[id]++
			switch unseen := strings.Contains(m.content, "ENGINE_SILENT"); {
			case unseen && (s.closed || strings.HasPrefix(id, "late")):
				t.Errorf("closed %v: %s was taken unseen", s.closed, id)
			case unseen:
				silent++
			case !strings.Contains(m.content, s.engine.sign):
				t.Errorf("%s does not show what %s said:\n%s", id, s.engine.name, m.content)
			}
		}
	}
	for id := range s.taken {
		if there[id] != 1 {
			t.Errorf("closed %v: %s was answered 250 and is there %d times", s.closed, id, there[id])
		}
		delete(there, id)
	}
	if len(there) > 0 {
		t.Errorf("closed %v: nobody was told 250 for %v", s.closed, there)
	}
	if len(s.taken) < before+after || !s.closed && silent == 0 || s.closed && s.put < missed {
		t.Errorf("closed %v: %d taken, %d unseen, %d put off: that was no storm", s.closed, len(s.taken), silent, s.put)
	}
	t.Logf("closed %v: %d taken, %d of them unseen, %d times put off", s.closed, len(s.taken), silent, s.put)
}
