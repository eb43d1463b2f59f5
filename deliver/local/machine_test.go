package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"posthaste/directory"
	"posthaste/helper"
	"posthaste/kv/memkv"
	"posthaste/mail"
	"posthaste/srs"
)

// A shop does the jobs of the helper for tests: it keeps what programs and files got.
type shop struct {
	mu   sync.Mutex
	jobs []string // "user program|file", in order
	got  map[string]string
	exit map[string]int // by program
}

func (s *shop) Run(_ context.Context, job helper.Job) (helper.Result, error) {
	what := strings.TrimSpace(job.User + " " + strings.Join(job.Program, " ") + job.File)
	content, err := io.ReadAll(job.Content)
	if err != nil {
		return helper.Result{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs = append(s.jobs, what)
	s.got[what] = string(content) + strings.Join(job.Env, ";")
	if strings.HasPrefix(job.File, "/refused") {
		return helper.Result{}, mail.NewStatus(550, "5.7.1", "not listed")
	}
	return helper.Result{Exit: s.exit[what]}, nil
}

// PutFailed takes what is told to senders.
func (h *house) PutFailed(_ context.Context, parent mail.QueueID, why *mail.Status, env mail.Envelope, content mail.Content) (mail.QueueID, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fail != nil {
		return "", h.fail
	}
	h.failed = append(h.failed, fmt.Sprintf("%s: %s %s, %v", env.From, env.Recipients[0].Address, env.Recipients[0].ORcpt, why))
	return "0000000000000000", nil
}

// names is a layer of fixed targets in the domain machine.test.
type names map[string]directory.Target

func (n names) Domain(_ context.Context, domain string) (bool, error) {
	return domain == "machine.test", nil
}

func (n names) Find(_ context.Context, a mail.Address) (directory.Target, error) {
	if a.Domain != "machine.test" {
		return directory.Target{}, nil
	}
	return n[a.Local], nil
}

func branch(kind directory.Kind, user, text string) directory.Branch {
	return directory.Branch{Address: address("alias@machine.test"), Target: directory.Target{Kind: kind, User: user, Text: text}}
}

func alias(branches []directory.Branch, to ...string) directory.Target {
	t := directory.Target{Kind: directory.KindAlias, Branches: branches}
	for _, s := range to {
		t.Addresses = append(t.Addresses, address(s))
	}
	return t
}

// onMachine gives h a machine with names, and a shop.
func onMachine(h *house, n names, cfg Config) *shop {
	s := &shop{got: map[string]string{}, exit: map[string]int{}}
	cfg.Store, cfg.Directory, cfg.Forward, cfg.Runner = h.store, directory.NewLayers(h.directory, n), h, s
	h.agent = New(cfg)
	return s
}

func TestMachineTargets(t *testing.T) {
	h := newHouse(t, memkv.New())
	h.account("bob@north.test", 0)
	program, file := branch(directory.KindProgram, "", "/bin/prog -x"), branch(directory.KindFile, "bob", "/var/archive")
	shop := onMachine(h, names{
		"alias":   alias([]directory.Branch{program}),
		"both":    alias([]directory.Branch{program, file}, "bob@north.test"),
		"ux":      {Kind: directory.KindUnix, User: "ux", Text: "/home/ux/Maildir/"},
		"drop":    {Kind: directory.KindDiscard},
		"gone":    {Kind: directory.KindFail, Status: mail.NewStatus(550, "5.1.6", "gone")},
		"shut":    {Kind: directory.KindDefer, Status: mail.NewStatus(451, "4.2.1", "later")},
		"dead":    alias(nil, "gone@machine.test", "bob@north.test"),
		"refused": alias([]directory.Branch{branch(directory.KindFile, "", "/refused")}),
		"moved":   {Kind: directory.KindMoved, Addresses: []mail.Address{address("bob@north.test")}, Status: mail.NewStatus(251, "2.1.5", "moved")},
		"left":    {Kind: directory.KindMoved, Addresses: []mail.Address{address("bob@north.test")}, Status: mail.NewStatus(551, "5.1.6", "moved")},
	}, Config{Separator: '+'})
	for i, c := range []struct {
		claim, to, want string
		jobs            []string
		bob             int // messages of bob's
	}{
		{"a program", "alias@machine.test", "250 2.0.0", []string{"/bin/prog -x"}, 0},
		{"a program, a file and an account", "both@machine.test", "250", []string{"/bin/prog -x", "bob /var/archive"}, 1},
		{"the mailbox of a Unix user", "ux@machine.test", "250 2.0.0 delivered to the mailbox /home/ux/Maildir/", []string{"ux /home/ux/Maildir/"}, 0},
		{"nowhere", "drop@machine.test", "250 2.0.0", nil, 0},
		{"a refusal", "gone@machine.test", "550 5.1.6 gone", nil, 0},
		{"a delay", "shut@machine.test", "451 4.2.1 later", nil, 0},
		{"a member that is gone does not harm the others", "dead@machine.test", "250", nil, 1},
		{"a file that is not listed", "refused@machine.test", "550 5.7.1 not listed", []string{"/refused"}, 0},
		{"an owner who moved", "moved@machine.test", "250", nil, 1},
		{"an owner who moved, without forwarding", "left@machine.test", "551 5.1.6 moved", nil, 0},
	} {
		shop.jobs = nil
		before := len(h.inbox("bob@north.test"))
		got := h.deliver(mail.NewQueueID(time.Now(), 1, uint32(i)), letter, c.to)
		slices.Sort(shop.jobs)
		if !strings.HasPrefix(got[0].Error(), c.want) || !slices.Equal(shop.jobs, c.jobs) || len(h.inbox("bob@north.test"))-before != c.bob {
			t.Errorf("%s: %v, jobs %q; want %s, %q", c.claim, got[0], shop.jobs, c.want, c.jobs)
		}
	}
	want := "Return-Path: <ann@south.test>\r\nDelivered-To: alias@machine.test\r\nReceived: here\r\n" + letter
	if got := shop.got["/bin/prog -x"]; !strings.HasPrefix(got, want) || !strings.Contains(got, "RECIPIENT=alias@machine.test") {
		t.Errorf("the program got %q, want %q", got, want)
	}
	for to, want := range map[string]int{"gone@machine.test": 550, "shut@machine.test": 451, "left@machine.test": 551, "both@machine.test": 250} {
		if s := mail.StatusOf(h.agent.CheckRecipient(t.Context(), address(to))); s.Code != want {
			t.Errorf("RCPT of %s: %v, want %d", to, s, want)
		}
	}
}

func TestNothingRunsWithoutHelper(t *testing.T) {
	h := newHouse(t, memkv.New())
	onMachine(h, names{"alias": alias([]directory.Branch{branch(directory.KindProgram, "", "/bin/prog")})}, Config{})
	h.agent.runner = nil
	if s := h.deliver("0000000000000001", letter, "alias@machine.test"); s[0].Code != 550 || s[0].Enhanced != "5.7.1" {
		t.Errorf("%v", s[0])
	}
}

// A client is not kept waiting by a program: the queue runs it.
func TestProgramsAreLeftToTheQueue(t *testing.T) {
	h := newHouse(t, memkv.New())
	h.account("bob@north.test", 0)
	shop := onMachine(h, names{"alias": alias([]directory.Branch{branch(directory.KindProgram, "", "/bin/prog")}, "bob@north.test")}, Config{})
	env := mail.Envelope{ID: mail.NewQueueID(time.Now(), 1, 1), Recipients: []mail.Recipient{{Address: address("alias@machine.test")}}}
	for _, waiting := range []bool{true, false} {
		want := 250
		if waiting {
			want = 451
		}
		s := h.agent.Deliver(t.Context(), Message{Envelope: env, Content: mail.Bytes(letter), Waiting: waiting})
		if s[0].Code != want || waiting && len(shop.jobs) > 0 {
			t.Errorf("while a client waits (%t): %v, ran %q", waiting, s[0], shop.jobs)
		}
	}
	if len(shop.jobs) != 1 || len(h.inbox("bob@north.test")) != 1 {
		t.Errorf("ran %q, bob has %d", shop.jobs, len(h.inbox("bob@north.test")))
	}
}

// While one target has to wait, the recipient does; a program that has the message gets it once.
func TestRepeatRunsNoProgramTwice(t *testing.T) {
	h := newHouse(t, memkv.New())
	one, two := branch(directory.KindProgram, "", "/bin/one"), branch(directory.KindProgram, "", "/bin/two")
	shop := onMachine(h, names{"alias": alias([]directory.Branch{one, two}, "dan@west.test")}, Config{Ledger: NewLedger(memkv.New())})
	id := mail.NewQueueID(time.Now(), 1, 1)
	shop.exit["/bin/two"] = 75
	if s := h.deliver(id, letter, "alias@machine.test"); !s[0].Temporary() {
		t.Errorf("with a program that fails for now: %v", s[0])
	}
	shop.exit["/bin/two"] = 0
	if s := h.deliver(id, letter, "alias@machine.test"); !s[0].OK() {
		t.Errorf("repeated: %v", s[0])
	}
	slices.Sort(shop.jobs)
	if want := []string{"/bin/one", "/bin/two", "/bin/two"}; !slices.Equal(shop.jobs, want) || len(h.sent) != 1 {
		t.Errorf("ran %q and sent %d, want %q and 1", shop.jobs, len(h.sent), want)
	}
	h.deliver(mail.NewQueueID(time.Now(), 1, 2), letter, "alias@machine.test")
	if len(shop.jobs) != 5 {
		t.Errorf("another message ran %q", shop.jobs)
	}
}

// A target that fails for good is told to the sender by itself; the others keep what they have.
func TestOneTargetFails(t *testing.T) {
	h := newHouse(t, memkv.New())
	h.account("bob@north.test", 0)
	h.account("small@north.test", 100)
	h.alias("team@north.test", "bob@north.test", "small@north.test")
	id := mail.NewQueueID(time.Now(), 1, 1)
	h.fail = errors.New("the queue is away")
	if s := h.deliver(id, letter, "team@north.test"); !s[0].Temporary() {
		t.Errorf("what cannot be told must be tried again, not %v", s[0])
	}
	h.fail = nil
	if s := h.deliver(id, letter, "team@north.test"); !s[0].OK() || len(h.inbox("bob@north.test")) != 1 {
		t.Errorf("%v, bob has %d", s[0], len(h.inbox("bob@north.test")))
	}
	want := []string{"ann@south.test: small@north.test rfc822;team@north.test, 552 5.2.2 the mailbox of small@north.test is full"}
	if !slices.Equal(h.failed, want) {
		t.Errorf("told %q, want %q", h.failed, want)
	}
	if s := h.deliver(mail.NewQueueID(time.Now(), 1, 2), letter, "small@north.test"); s[0].Code != 552 {
		t.Errorf("alone: %v, want 552", s[0])
	}
	env := mail.Envelope{ID: mail.NewQueueID(time.Now(), 1, 3), Recipients: []mail.Recipient{{Address: address("team@north.test")}}}
	if s := h.agent.Deliver(t.Context(), Message{Envelope: env, Content: mail.Bytes(letter)}); !s[0].OK() || len(h.failed) != 1 {
		t.Errorf("of a report: %v, told %q", s[0], h.failed)
	}
}

func TestForwardWithCopy(t *testing.T) {
	h := newHouse(t, memkv.New())
	h.account("bob@north.test", 0)
	for i, c := range []struct {
		claim string
		set   directory.Forward
		bob   int
		sent  int
	}{
		{"away only", directory.Forward{To: []mail.Address{address("dan@west.test")}}, 0, 1},
		{"with a copy", directory.Forward{To: []mail.Address{address("dan@west.test")}, Keep: true}, 1, 1},
		{"with a copy, by naming itself", directory.Forward{To: []mail.Address{address("bob@north.test"), address("dan@west.test")}}, 1, 1},
		{"ended", directory.Forward{}, 1, 0},
	} {
		if err := h.directory.SetForward(t.Context(), address("bob@north.test"), c.set); err != nil {
			t.Fatal(err)
		}
		clear(h.sent)
		before := len(h.inbox("bob@north.test"))
		s := h.deliver(mail.NewQueueID(time.Now(), 1, uint32(i)), letter, "bob+tag@north.test")
		if got := h.inbox("bob@north.test"); !s[0].OK() || len(got)-before != c.bob || len(h.sent) != c.sent {
			t.Errorf("%s: %v, bob got %d, sent %d", c.claim, s[0], len(got)-before, len(h.sent))
		} else if c.bob > 0 && !strings.Contains(got[len(got)-1], "Delivered-To: bob+tag@north.test\r\n") {
			t.Errorf("%s: the tag is lost in %q", c.claim, got[len(got)-1])
		}
	}
}

func TestSenderOfForwardedMail(t *testing.T) {
	h := newHouse(t, memkv.New())
	h.account("own@north.test", 0)
	h.alias("dan@north.test", "dan@west.test")
	h.alias("list@north.test", "dan@west.test")
	h.alias("owner-list@north.test", "own@north.test")
	rewriter, err := srs.New(srs.Config{Domain: "north.test", Secrets: [][]byte{[]byte("0123456789abcdef")}})
	if err != nil {
		t.Fatal(err)
	}
	onMachine(h, names{}, Config{SRS: rewriter})
	for i, c := range []struct{ claim, from, to, want string }{
		{"of another host gets a return path of ours", "ann@south.test", "dan@north.test", "SRS0="},
		{"of our own stays", "own@north.test", "dan@north.test", "own@north.test"},
		{"of a report stays", "", "dan@north.test", ""},
		{"of a list with an owner is the owner", "ann@south.test", "list@north.test", "owner-list@north.test"},
		{"of a report to a list stays", "", "list@north.test", ""},
	} {
		clear(h.sent)
		env := mail.Envelope{ID: mail.NewQueueID(time.Now(), 1, uint32(i)), From: mail.ReversePath{Address: address(c.from)},
			Recipients: []mail.Recipient{{Address: address(c.to)}}}
		h.agent.Deliver(t.Context(), Message{Envelope: env, Content: mail.Bytes(letter)})
		for _, m := range h.sent {
			if from := m.env.From.String(); !strings.HasPrefix(from, c.want) || from != "" && c.want == "" {
				t.Errorf("a sender %s: sent from %q, want %q", c.claim, from, c.want)
			}
		}
		if len(h.sent) != 1 {
			t.Errorf("a sender %s: sent %d", c.claim, len(h.sent))
		}
	}
}

func TestLedgerForgets(t *testing.T) {
	l := NewLedger(memkv.New())
	old := mail.NewQueueID(time.Now().Add(-2*ledgerAge), 1, 1)
	if err := l.Note(t.Context(), old, "x"); err != nil {
		t.Fatal(err)
	}
	if done, err := l.Done(t.Context(), old, "x"); err != nil || !done {
		t.Errorf("noted: %t, %v", done, err)
	}
	for i := range uint32(500) { // some in the partition of old
		if err := l.Note(t.Context(), mail.NewQueueID(time.Now(), 1, i), "x"); err != nil {
			t.Fatal(err)
		}
	}
	if done, err := l.Done(t.Context(), old, "x"); err != nil || done {
		t.Errorf("after its time: %t, %v", done, err)
	}
}
