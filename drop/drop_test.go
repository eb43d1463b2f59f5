package drop

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"posthaste/mail"
)

// shelf takes submissions as the queue does: an origin once.
type shelf struct {
	mu      sync.Mutex // guards what follows while a picker runs
	tries   int
	origins map[string]bool
	taken   []identified
	err     error
}

func (s *shelf) Submit(_ context.Context, user mail.Address, origin string, env mail.Envelope, content mail.Content) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	if s.err != nil {
		return s.err
	}
	if s.origins == nil {
		s.origins = map[string]bool{}
	}
	if !s.origins[origin] {
		s.origins[origin] = true
		s.taken = append(s.taken, identified{user, env, append([]byte(nil), content.Bytes()...)})
	}
	return nil
}

// counts returns how many messages s has taken, and how many times it was asked.
func (s *shelf) counts() (taken, tries int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.taken), s.tries
}

// fail makes s refuse messages with err, or take them again.
func (s *shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// picker returns a picker of a new directory, in which uid 0 is the login given.
func picker(t *testing.T, login string) (*Picker, *shelf) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "drop")
	if err := Prepare(dir, os.Getuid(), os.Getgid()); err != nil {
		t.Fatal(err)
	}
	s := new(shelf)
	return NewPicker(Config{Dir: dir, Domain: "north.test", Submit: s, Login: func(uint32) (string, string) { return login, "Ann Example" }}), s
}

func to(text string) []mail.Recipient {
	a, _ := ParseAddress(text)
	return []mail.Recipient{{Address: a}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (p *Picker) files(t *testing.T, sub string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(p.cfg.Dir, sub))
	must(t, err)
	var names []string
	for _, e := range entries {
		if e.Name() != badDir {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestAMessageIsPickedUpAndRemoved(t *testing.T) {
	p, s := picker(t, "root")
	must(t, Write(p.cfg.Dir, Submission{Recipients: to("bob")}, strings.NewReader("Subject: x\n\nhello\n")))
	must(t, p.Scan(t.Context()))
	if len(s.taken) != 1 || len(p.files(t, "")) != 0 {
		t.Fatalf("taken %d, left %v", len(s.taken), p.files(t, ""))
	}
	m := s.taken[0]
	if want := "From: Ann Example <root@north.test>\r\nSubject: x\r\n\r\nhello\r\n"; string(m.content) != want {
		t.Errorf("content %q, want %q", m.content, want)
	}
	if m.env.From.String() != "root@north.test" || m.env.Recipients[0].Address.String() != "bob" {
		t.Errorf("envelope %+v", m.env)
	}
}

func TestAFileThatTheCrashBroughtBackIsSubmittedOnce(t *testing.T) {
	p, s := picker(t, "root")
	must(t, Write(p.cfg.Dir, Submission{Recipients: to("bob")}, strings.NewReader("x\n")))
	name := p.files(t, "")[0]
	path := filepath.Join(p.cfg.Dir, name)
	kept := filepath.Join(t.TempDir(), "kept") // another name keeps the inode, as a lost unlink does
	must(t, os.Link(path, kept))
	if err := p.submit(t.Context(), path, name); !isFormat(err) {
		t.Fatalf("with two names: %v", err)
	}
	must(t, os.Remove(kept))
	file, st, err := p.read(path)
	must(t, err)
	must(t, p.submit(t.Context(), path, name))
	must(t, os.WriteFile(path, file, 0o600))
	must(t, os.Chtimes(path, time.Unix(st.Mtim.Sec, st.Mtim.Nsec), time.Unix(st.Mtim.Sec, st.Mtim.Nsec)))
	_, again, err := p.read(path)
	must(t, err)
	if again.Ino != st.Ino {
		t.Skip("SKIPPED: this file system gave the file another inode")
	}
	must(t, p.submit(t.Context(), path, name))
	if len(s.taken) != 1 {
		t.Errorf("submitted %d times", len(s.taken))
	}
}

func TestWhatCannotBeUsedIsSetAsideAndBlocksNothing(t *testing.T) {
	for claim, make := range map[string]func(path string) error{
		"garbage":         func(p string) error { return os.WriteFile(p, []byte("hello"), 0o600) },
		"an empty file":   func(p string) error { return os.WriteFile(p, nil, 0o600) },
		"a symbolic link": func(p string) error { return os.Symlink("/etc/passwd", p) },
		"a folder":        func(p string) error { return os.Mkdir(p, 0o700) },
		"a size that is wrong": func(p string) error {
			return os.WriteFile(p, []byte(magic+"\nto 0 bob\nsize 7\n\nhello"), 0o600)
		},
		"no recipient": func(p string) error { return os.WriteFile(p, []byte(magic+"\nsize 0\n\n"), 0o600) },
		"a file of two names": func(p string) error {
			if err := os.WriteFile(p+".other", []byte(magic+"\nto 0 bob\nsize 0\n\n"), 0o600); err != nil {
				return err
			}
			return os.Link(p+".other", p)
		},
	} {
		p, s := picker(t, "root")
		bad := filepath.Join(p.cfg.Dir, newPrefix+"0")
		if err := make(bad); err != nil {
			t.Fatalf("%s: %v", claim, err)
		}
		os.Rename(bad+".other", filepath.Join(t.TempDir(), "other"))
		must(t, Write(p.cfg.Dir, Submission{Recipients: to("bob")}, strings.NewReader("x\n")))
		must(t, p.Scan(t.Context()))
		reason, err := os.ReadFile(filepath.Join(p.cfg.Dir, badDir, newPrefix+"0"+reasonSuffix))
		if len(s.taken) != 1 || len(p.files(t, "")) != 0 || err != nil || len(reason) < 20 {
			t.Errorf("%s: taken %d, left %v, reason %q, %v", claim, len(s.taken), p.files(t, ""), reason, err)
		}
		if _, err := os.Lstat(filepath.Join(p.cfg.Dir, badDir, newPrefix+"0")); err != nil {
			t.Errorf("%s: was not kept: %v", claim, err)
		}
	}
}

func TestTroubleKeepsTheMessageAndARefusalSetsItAside(t *testing.T) {
	p, s := picker(t, "root")
	must(t, Write(p.cfg.Dir, Submission{Recipients: to("bob")}, strings.NewReader("x\n")))
	s.err = errors.New("the disk is full")
	must(t, p.Scan(t.Context()))
	if len(p.files(t, "")) != 1 || len(p.later) != 1 {
		t.Fatalf("after trouble: %v, to be tried again: %v", p.files(t, ""), p.later)
	}
	clear(p.later)
	s.err = mail.NewStatus(554, "5.4.6", "a loop")
	must(t, p.Scan(t.Context()))
	if len(p.files(t, "")) != 0 || len(p.files(t, badDir)) != 2 {
		t.Errorf("after a refusal: %v, aside %v", p.files(t, ""), p.files(t, badDir))
	}
}

func TestWhoSubmitsIsTheOwnerOfTheFile(t *testing.T) {
	eve := &mail.ReversePath{Address: mail.Address{Local: "eve", Domain: "else.test"}}
	self := &mail.ReversePath{Address: mail.Address{Local: "ann"}}
	for _, c := range []struct {
		claim          string
		uid            uint32
		login          string
		from           *mail.ReversePath
		header         string
		sender, inside string
	}{
		{"a user sends as the user", 1000, "ann", nil, "", "ann@north.test", "From: Full Name <ann@north.test>"},
		{"-f of another does not count", 1000, "ann", eve, "", "ann@north.test", "From: Full Name <ann@north.test>"},
		{"-f of the user's own counts", 1000, "ann", self, "", "ann@north.test", ""},
		{"the null sender is not the user's", 1000, "ann", new(mail.ReversePath), "", "ann@north.test", ""},
		{"From of another gets the true Sender", 1000, "ann", nil, "From: eve@else.test\nSender: eve@else.test\n", "ann@north.test", "Sender: ann@north.test\r\nFrom: eve@else.test\r\n\r\n"},
		{"the user's own From stays alone", 1000, "ann", nil, "From: Ann <ann@north.test>\n", "ann@north.test", "From: Ann <ann@north.test>\r\n\r\n"},
		{"root names any sender", 0, "root", eve, "From: eve@else.test\n", "eve@else.test", "From: eve@else.test\r\n\r\n"},
		{"a trusted user names any sender", 33, "www-data", eve, "From: eve@else.test\n", "eve@else.test", "From: eve@else.test\r\n\r\n"},
		{"root may send reports", 0, "root", new(mail.ReversePath), "", "", "From: Full Name <root@north.test>"},
	} {
		p := NewPicker(Config{Domain: "north.test", Trusted: []string{"www-data"}, Login: func(uint32) (string, string) { return c.login, "Full Name" }})
		m := p.identify(&Submission{From: c.from, Recipients: to("bob")}, c.uid, []byte(c.header+"\nbody"))
		if m.env.From.String() != c.sender || !strings.Contains(string(m.content), c.inside) {
			t.Errorf("%s: sender %q, content %q", c.claim, m.env.From.String(), m.content)
		}
	}
}

func TestContentIsBroughtIntoForm(t *testing.T) {
	for in, want := range map[string]string{
		"Subject: x\n\nbody\n":               "Subject: x\r\n\r\nbody\r\n",
		"Subject: x\r\n\r\nbody":             "Subject: x\r\n\r\nbody\r\n",
		"Subject: x\rBcc: y\r\rbody":         "Subject: x\r\nBcc: y\r\n\r\nbody\r\n",
		"just text\n":                        "\r\njust text\r\n",
		"Subject: x\n folded\njust text: no": "Subject: x\r\n folded\r\n\r\njust text: no\r\n",
		"From ann Mon\nSubject: x\n\nb\n":    "Subject: x\r\n\r\nb\r\n",
		"":                                   "\r\n",
		"Subject: x\n":                       "Subject: x\r\n\r\n",
	} {
		if got := string(normal([]byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestAFileReadsBackAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Submission{
			Name: rapid.StringMatching(`[A-Za-z ,.]{0,40}`).Draw(t, "name"),
			Body: rapid.SampledFrom([]mail.BodyType{"", mail.Body7Bit, mail.Body8Bit}).Draw(t, "body"),
			Ret:  rapid.SampledFrom([]mail.Ret{"", mail.RetFull, mail.RetHdrs}).Draw(t, "ret"),
		}
		for range rapid.IntRange(1, 5).Draw(t, "recipients") {
			s.Recipients = append(s.Recipients, mail.Recipient{
				Address: mail.Address{Local: rapid.StringMatching(`[a-z"\\ ]{1,20}`).Draw(t, "local"), Domain: "north.test"},
				Notify:  mail.Notify(rapid.IntRange(0, 15).Draw(t, "notify")),
			})
		}
		content := rapid.SliceOf(rapid.Byte()).Draw(t, "content")
		head, err := s.head(int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		got, body, err := parse(append(head, content...))
		if err != nil || string(body) != string(content) || got.Name != s.Name || got.Body != s.Body || got.Ret != s.Ret {
			t.Fatalf("%+v, %q, %v", got, body, err)
		}
		for i, r := range got.Recipients {
			if r != s.Recipients[i] {
				t.Errorf("recipient %+v, want %+v", r, s.Recipients[i])
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(magic + "\nfrom ann@north.test\nto 0 bob\nsize 2\n\nhi"))
	f.Add([]byte(magic + "\nfrom \nname A B\nbody 8BITMIME\nret FULL\nenvid x\nsmtputf8 1\nto 4 \"a b\"@x.test\nsize 0\n\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		s, content, err := parse(file)
		if err != nil {
			return
		}
		head, err := s.head(int64(len(content)))
		if err != nil {
			t.Fatalf("cannot be written again: %v", err)
		}
		again, body, err := parse(append(head, content...))
		if err != nil || string(body) != string(content) || len(again.Recipients) != len(s.Recipients) {
			t.Fatalf("%q reads back as %+v, %v", head, again, err)
		}
		p := NewPicker(Config{Domain: "north.test", Login: func(uint32) (string, string) { return "ann", "" }})
		if m := p.identify(s, 1000, content); m.env.From.String() != "ann@north.test" {
			t.Fatalf("sender %q", m.env.From.String())
		}
	})
}
