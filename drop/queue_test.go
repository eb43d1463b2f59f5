package drop_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/drop"
	"posthaste/kv/memkv"
	"posthaste/mail"
	"posthaste/queue"
	"posthaste/route"
	"posthaste/submit"
)

// A system is a drop directory with a real queue behind it. Its users are all ann.
type system struct {
	t   *testing.T
	dir string
	kv  *memkv.Store
	q   *queue.Queue

	mu        sync.Mutex // guards what follows
	delivered []queue.Job
}

func newSystem(t *testing.T) *system {
	s := &system{t: t, dir: filepath.Join(t.TempDir(), "drop"), kv: memkv.New()}
	must(t, drop.Prepare(s.dir, os.Getuid(), os.Getgid()))
	s.boot()
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// boot makes a queue on what is stored.
func (s *system) boot() {
	s.q = queue.New(queue.Config{KV: s.kv, Hostname: "mx.north.test"})
}

// local is the submission into the queue.
func (s *system) local() submit.Local {
	return submit.Local{Submitter: submit.New(submit.Config{Hostname: "mx.north.test", Domain: "north.test", Queue: s.q}), Queue: s.q}
}

// scan has a picker that knows nothing of others look once, by way of to.
func (s *system) scan(to drop.Submitter) {
	s.t.Helper()
	p := drop.NewPicker(drop.Config{Dir: s.dir, Domain: "north.test", Submit: to, Login: func(uint32) (string, string) { return "ann", "Ann" }})
	must(s.t, p.Scan(s.t.Context()))
}

// write submits a message to addresses without domain.
func (s *system) write(content string, to ...string) {
	s.t.Helper()
	var m drop.Submission
	for _, local := range to {
		m.Recipients = append(m.Recipients, mail.Recipient{Address: mail.Address{Local: local}})
	}
	must(s.t, drop.Write(s.dir, m, strings.NewReader(content)))
}

// deliver runs the queue for a minute, in which what it holds is delivered.
func (s *system) deliver() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	must(s.t, s.q.Run(ctx, s, map[string]queue.Agent{"sink": s}))
}

// Route sends all to the sink, but what has failed already.
func (s *system) Route(ctx context.Context, q queue.Query) (queue.Route, error) {
	t, err := route.New(route.Config{}).Find(ctx, route.Query{To: q.To, Reroute: q.Reroute})
	if err == nil && t.Kind == route.Error {
		err = t.Status
	}
	return queue.Route{Agent: "sink", Destination: "sink"}, err
}

// Deliver takes everything.
func (s *system) Deliver(_ context.Context, job queue.Job) []*mail.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	job.Content = mail.Bytes(append([]byte(nil), job.Content.Bytes()...))
	s.delivered = append(s.delivered, job)
	answers := make([]*mail.Status, len(job.Envelope.Recipients))
	for i := range answers {
		answers[i] = mail.NewStatus(250, "2.1.5", "taken")
	}
	return answers
}

// left returns how many files wait.
func (s *system) left() int {
	names, err := filepath.Glob(filepath.Join(s.dir, "new.*"))
	must(s.t, err)
	return len(names)
}

// TestFromTheDirectoryIntoTheQueue goes the whole way of a message from sendmail.
func TestFromTheDirectoryIntoTheQueue(t *testing.T) {
	s := newSystem(t)
	s.write("Subject: x\nBcc: carl@south.test\n\nhello\n", "root")
	s.scan(s.local())
	count := 0
	for e, err := range s.q.List(t.Context(), queue.Filter{}) {
		must(t, err)
		count++
		if to := e.Recipients[0].Address.String(); to != "root@north.test" || e.Envelope.From.String() != "ann@north.test" {
			t.Errorf("from %s to %s", e.Envelope.From, to)
		}
		content, err := s.q.ReadContent(t.Context(), e.ID)
		must(t, err)
		text := string(content.Bytes())
		for _, part := range []string{"Received: by mx.north.test", "id " + string(e.ID), "From: Ann <ann@north.test>\r\n", "Date: ", "Message-ID: <"} {
			if !strings.Contains(text, part) {
				t.Errorf("no %q in %q", part, text)
			}
		}
		if strings.Contains(text, "Bcc") {
			t.Errorf("Bcc is in %q", text)
		}
	}
	if count != 1 {
		t.Errorf("%d entries", count)
	}
}

// crash is a Submitter that submits, and then the machine stops before its caller hears of it.
type crash struct{ submit.Local }

func (c crash) Submit(ctx context.Context, user mail.Address, origin string, env mail.Envelope, content mail.Content) error {
	return errors.Join(c.Local.Submit(ctx, user, origin, env, content), errors.New("the power is gone"))
}

func TestAMessageIsDeliveredOnceThroughACrash(t *testing.T) {
	for claim, between := range map[string]func(*system){
		"the node comes back":                          func(s *system) { s.boot() },
		"it comes back, delivers and goes down again":  func(s *system) { s.boot(); s.deliver(); s.boot() },
		"it crashes at the same point three times":     func(s *system) { s.scan(crash{s.local()}); s.boot(); s.scan(crash{s.local()}) },
		"it delivers, and a day later crashes anew":    func(s *system) { s.deliver(); time.Sleep(24 * time.Hour); s.scan(crash{s.local()}); s.boot() },
		"nothing is lost where the queue took nothing": func(s *system) { s.kv = memkv.New(); s.boot() },
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSystem(t)
			s.write("Subject: x\n\nhello\n", "bob")
			s.scan(crash{s.local()})
			if s.left() != 1 {
				t.Fatalf("%s: %d files after the crash", claim, s.left())
			}
			between(s)
			s.scan(s.local())
			s.deliver()
			if s.left() != 0 || len(s.delivered) != 1 {
				t.Errorf("%s: %d files left, delivered %d times", claim, s.left(), len(s.delivered))
			}
		})
	}
}

// A message in a loop will never be taken: its user hears of it, once however often we crash.
func TestARefusedMessageComesBackToItsUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		s.write(strings.Repeat("Received: from a by b\n", submit.DefaultMaxHops+1)+"From: eve@else.test\nSubject: round\n\nhello\n", "bob", "carl", "dora")
		s.scan(crashReturn{s.local()})
		if s.left() != 1 {
			t.Fatalf("%d files after the crash", s.left())
		}
		s.boot()
		s.scan(s.local())
		s.deliver()
		if s.left() != 0 || len(s.delivered) != 1 {
			t.Fatalf("%d files left, %d reports", s.left(), len(s.delivered))
		}
		report := s.delivered[0]
		if to := report.Envelope.Recipients[0].Address.String(); to != "ann@north.test" || !report.Envelope.From.Null() {
			t.Errorf("from %s to %s", report.Envelope.From, to)
		}
		for _, part := range []string{"Subject: Not delivered: round", "bob@north.test", "5.4.6", "to 2 more recipients", "\r\n\r\nhello\r\n"} {
			if !strings.Contains(string(report.Content.Bytes()), part) {
				t.Errorf("no %q in %s", part, report.Content.Bytes())
			}
		}
		if kept, err := filepath.Glob(filepath.Join(s.dir, "bad", "new.*")); len(kept) != 2 || err != nil {
			t.Errorf("kept for the operator: %v, %v", kept, err)
		}
	})
}

// crashReturn crashes after it has told the user.
type crashReturn struct{ submit.Local }

func (c crashReturn) Return(ctx context.Context, user mail.Address, origin string, why *mail.Status, env mail.Envelope, content mail.Content) error {
	return errors.Join(c.Local.Return(ctx, user, origin, why, env, content), errors.New("the power is gone"))
}
