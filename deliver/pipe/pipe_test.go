package pipe

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"posthaste/helper"
	"posthaste/mail"
)

func TestMain(m *testing.M) {
	helper.Main()
	os.Exit(m.Run())
}

const letter = "Subject: x\r\n\r\n.dot\r\nFrom me\r\n"

func envelope() mail.Envelope {
	return mail.Envelope{ID: "0123456789abcdef", From: mail.ReversePath{Address: mail.Address{Local: "ann", Domain: "north.test"}},
		Received: time.Unix(1700000000, 0)}
}

func recipients(locals ...string) (list []mail.Recipient) {
	for _, l := range locals {
		list = append(list, mail.Recipient{Address: mail.Address{Local: l, Domain: "south.test"}})
	}
	return list
}

// deliver runs one delivery by a real helper and returns the answers, and what the program printed into
// its file.
func deliver(t *testing.T, cfg Config, env mail.Envelope, rcpts []mail.Recipient) ([]*mail.Status, string) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pipe")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	user := ""
	if os.Getuid() == 0 {
		user = "nobody"
	}
	h, err := helper.Start(helper.Config{Programs: []string{"/bin/sh"}, User: user})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	cfg.Name = "test"
	const script = `out=$1; shift; { printf '%s\n' "$@"; echo --; cat; echo ==; } >> "$out"`
	if len(cfg.Command) == 0 || cfg.Command[0] != "/bin/sh" {
		cfg.Command = append([]string{"/bin/sh", "-c", strings.ReplaceAll(script, "$", "$$"), "sh", out}, cfg.Command...)
	}
	a, err := New(h, []Config{cfg})
	if err != nil {
		t.Fatal(err)
	}
	answers := a.Deliver(context.Background(), env, rcpts, mail.Bytes(letter), "test")
	text, _ := os.ReadFile(out)
	return answers, string(text)
}

func TestWordsAndFlags(t *testing.T) {
	const body = "Subject: x\n\n.dot\nFrom me\n"
	null := envelope()
	null.From = mail.ReversePath{}
	for _, c := range []struct {
		claim string
		cfg   Config
		env   mail.Envelope
		rcpts []mail.Recipient
		want  string
	}{
		{"a run for each recipient", Config{Command: []string{"-r", "${recipient}"}}, envelope(), recipients("bob", "eve"),
			"-r\nbob@south.test\n--\n" + body + "==\n-r\neve@south.test\n--\n" + body + "==\n"},
		{"one run for several, with a word for each", Config{Command: []string{"${sender}", "${user}", "$size"}, Recipients: 5}, envelope(), recipients("bob", "eve"),
			"ann@north.test\nbob\neve\n29\n--\n" + body + "==\n"},
		{"the extension apart", Config{Command: []string{"$(user):${extension}:${mailbox}@${domain}"}, Separator: '+'}, envelope(), recipients("bob+x"),
			"bob:x:bob+x@south.test\n--\n" + body + "==\n"},
		{"the null sender", Config{Command: []string{"${sender}"}}, null, recipients("bob"), "MAILER-DAEMON\n--\n" + body + "==\n"},
		{"letters of a shell as they are", Config{Command: []string{"${user}"}}, envelope(), recipients("$(id);x"), "$(id);x\n--\n" + body + "==\n"},
		{"lower case", Config{Command: []string{"${recipient}"}, Flags: "u"}, envelope(), recipients("BoB"), "bob@south.test\n--\n" + body + "==\n"},
		{"all flags of the content", Config{Command: []string{"x"}, Flags: "FRDO.>B"}, envelope(), recipients("bob"),
			"x\n--\nFrom ann@north.test Tue Nov 14 22:13:20 2023\nReturn-Path: <ann@north.test>\nX-Original-To: bob@south.test\nDelivered-To: bob@south.test\nSubject: x\n\n..dot\n>From me\n\n==\n"},
		{"lines as they came", Config{Command: []string{"x"}, CRLF: true}, envelope(), recipients("bob"), "x\n--\n" + letter + "==\n"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			answers, got := deliver(t, c.cfg, c.env, c.rcpts)
			if got != c.want {
				t.Errorf("got\n%q, want\n%q", got, c.want)
			}
			if len(answers) != len(c.rcpts) || slices.ContainsFunc(answers, func(s *mail.Status) bool { return !s.OK() }) {
				t.Errorf("answers %v", answers)
			}
		})
	}
}

func TestWhatIsRefused(t *testing.T) {
	loop := recipients("bob")
	for _, c := range []struct {
		claim string
		cfg   Config
		rcpts []mail.Recipient
		want  string
	}{
		{"an address that would be an option", Config{Command: []string{"${user}"}}, recipients("-rf"), "5.1.3"},
		{"a message that is too large", Config{Command: []string{"x"}, MaxSize: 10}, loop, "5.3.4"},
		{"a program that fails", Config{Command: []string{"/bin/sh", "-c", "exit 67"}}, loop, "5.1.1"},
		{"a program that has no time", Config{Command: []string{"/bin/sh", "-c", "exit 75"}}, loop, "4.3.0"},
	} {
		answers, out := deliver(t, c.cfg, envelope(), c.rcpts)
		if answers[0].Enhanced != c.want || out != "" {
			t.Errorf("%s: %v, %q", c.claim, answers[0], out)
		}
	}
}

func TestALoopIsSeen(t *testing.T) {
	p, err := newPipe(Config{Name: "x", Command: []string{"/bin/x"}, Flags: "D"})
	if err != nil {
		t.Fatal(err)
	}
	env := envelope()
	if _, err := p.content(&env, recipients("bob"), []byte("Subject: x\r\ndelivered-to: bob@south.test\r\n\r\n")); err != errLoop {
		t.Errorf("got %v", err)
	}
	if _, err := p.content(&env, recipients("bob"), []byte("Subject: x\r\n\r\nDelivered-To: bob@south.test\r\n")); err != nil {
		t.Errorf("a line of the body: %v", err)
	}
}

func TestWrongPipesAreRefused(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no name":               {Command: []string{"/bin/x"}},
		"no command":            {Name: "x"},
		"a relative program":    {Name: "x", Command: []string{"x"}},
		"an unknown value":      {Name: "x", Command: []string{"/bin/x", "${nobody}"}},
		"a program that varies": {Name: "x", Command: []string{"/bin/${user}"}},
		"an unknown flag":       {Name: "x", Command: []string{"/bin/x"}, Flags: "Z"},
		"D for several":         {Name: "x", Command: []string{"/bin/x"}, Flags: "D", Recipients: 2},
	} {
		if _, err := New(nil, []Config{cfg}); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	a, _ := New(nil, nil)
	if s := a.Deliver(t.Context(), envelope(), recipients("bob"), mail.Bytes(letter), "gone"); s[0].Enhanced != "4.3.5" {
		t.Errorf("a pipe that is not there: %v", s[0])
	}
}

func FuzzFill(f *testing.F) {
	f.Add("a${user}b$$", "x")
	f.Add("${user}", "-x")
	f.Fuzz(func(t *testing.T, word, user string) {
		got, err := fill(word, nil, map[string]string{"user": user})
		if err == nil && strings.HasPrefix(got, "-") && !strings.HasPrefix(word, "-") {
			t.Errorf("%q with %q becomes the option %q", word, user, got)
		}
	})
}
