package mailfile

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var samples = []Message{
	{[]byte("Subject: one\r\n\r\nFrom here on\r\n>From there\r\n\r\nFrom nowhere\r\n"), time.Unix(1700000000, 0), []string{`\Seen`, `\Answered`}},
	{[]byte("Subject: two\r\n\r\n"), time.Unix(1700000001, 0), nil},
	{[]byte("Subject: three\r\nFrom: x@y.example\r\n\r\nbody\r\n\r\n\r\n"), time.Unix(1700000002, 0), []string{`\Flagged`}},
}

type writer interface {
	Write(Message) error
	Close() error
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	dir := t.TempDir()
	maildir, err := CreateMaildir(filepath.Join(dir, "maildir"))
	if err != nil {
		t.Fatal(err)
	}
	mbox, err := CreateMbox(filepath.Join(dir, "mbox"))
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range map[string]writer{"maildir": maildir, "mbox": mbox} {
		for _, m := range samples {
			if err := w.Write(m); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		messages, _, err := Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		i := 0
		for m, err := range messages {
			if err != nil {
				t.Fatal(err)
			}
			if i >= len(samples) {
				t.Fatalf("%s: more than %d messages", name, len(samples))
			}
			want := samples[i]
			if !bytes.Equal(m.Content, want.Content) {
				t.Errorf("%s: message %d is %q, want %q", name, i, m.Content, want.Content)
			}
			if !m.Received.Equal(want.Received) || len(m.Flags) != len(want.Flags) {
				t.Errorf("%s: message %d: %v %v, want %v %v", name, i, m.Received, m.Flags, want.Received, want.Flags)
			}
			for _, f := range want.Flags {
				if !slices.Contains(m.Flags, f) {
					t.Errorf("%s: message %d lost %s", name, i, f)
				}
			}
			i++
		}
		if i != len(samples) {
			t.Errorf("%s: read %d of %d messages", name, i, len(samples))
		}
	}
}

func TestFlagsInAnMboxAreNoPartOfTheMessage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox")
	mbox, err := CreateMbox(path)
	if err != nil {
		t.Fatal(err)
	}
	forged := "Subject: x\r\nStatus: RO\r\nX-Status:\r\n\tAF\r\nStatus-Report: kept\r\n\r\nStatus: kept\r\n"
	for _, flags := range [][]string{nil, {`\Flagged`, "$Label1", "work"}} {
		if err := mbox.Write(Message{Content: []byte(forged), Flags: flags}); err != nil {
			t.Fatal(err)
		}
	}
	if err := mbox.Close(); err != nil {
		t.Fatal(err)
	}
	messages, _, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var got [][]string
	for m, err := range messages {
		if err != nil || string(m.Content) != "Subject: x\r\nStatus-Report: kept\r\n\r\nStatus: kept\r\n" {
			t.Errorf("%q, %v", m.Content, err)
		}
		got = append(got, m.Flags)
	}
	if len(got) != 2 || len(got[0]) != 0 || !slices.Equal(got[1], []string{`\Flagged`, "$Label1", "work"}) {
		t.Errorf("flags %q", got)
	}
}

func TestImportTurnsLineEndsIntoCRLF(t *testing.T) {
	for in, want := range map[string]string{
		"a\nb\n":         "a\r\nb\r\n",
		"a\r\nb\n":       "a\r\nb\r\n",
		"a\rb\r\n":       "a\r\nb\r\n",
		"\n\r\n\r\r\n\n": "\r\n\r\n\r\n\r\n\r\n",
		"none":           "none",
	} {
		if got := string(toCRLF([]byte(in))); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func TestOtherFilesAreRefused(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "notes.txt")
	os.WriteFile(file, []byte("Dear diary"), 0o600)
	for _, path := range []string{dir, file} {
		if _, _, err := Open(path); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: got %v, want ErrFormat", path, err)
		}
	}
	if _, err := CreateMaildir(dir); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("writing into a folder that holds other things: %v", err)
	}
}

func FuzzReadMbox(f *testing.F) {
	f.Add([]byte("From a@b.example Mon Jan  2 15:04:05 2006\nSubject: x\nStatus: RO\n\n>From x\n\nFrom c\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for m, err := range ReadMbox(bytes.NewReader(text)) {
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Count(m.Content, []byte("\n")) != bytes.Count(m.Content, []byte("\r\n")) {
				t.Fatalf("a lone LF is left in %q", m.Content)
			}
		}
	})
}
