package mailfile

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// maildirFlags are the letters after ":2," in a file's name, in the order they stand there.
var maildirFlags = []struct {
	letter byte
	flag   string
}{{'D', `\Draft`}, {'F', `\Flagged`}, {'P', "$Forwarded"}, {'R', `\Answered`}, {'S', `\Seen`}, {'T', `\Deleted`}}

type maildirFile struct {
	path    string
	isNew   bool
	size    int64
	arrived time.Time
}

func openMaildir(dir string) (iter.Seq2[Message, error], int64, error) {
	if !isMaildir(dir) {
		return nil, 0, fmt.Errorf("mailfile: %s: %w: a Maildir has folders cur and new", dir, ErrFormat)
	}
	files, size, err := listMaildir(dir)
	if err != nil {
		return nil, 0, err
	}
	keywords := dovecotKeywords(dir)
	return func(yield func(Message, error) bool) {
		for _, f := range files {
			m, err := f.read(keywords)
			if errors.Is(err, fs.ErrNotExist) {
				continue // another program moved or removed it meanwhile
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}, size, nil
}

func listMaildir(dir string) (files []maildirFile, size int64, err error) {
	for _, sub := range []string{"cur", "new"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, 0, fmt.Errorf("mailfile: %w", err)
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil || !info.Mode().IsRegular() || strings.HasPrefix(e.Name(), ".") {
				continue
			}
			files = append(files, maildirFile{filepath.Join(dir, sub, e.Name()), sub == "new", info.Size(), info.ModTime()})
			size += info.Size()
		}
	}
	slices.SortFunc(files, func(a, b maildirFile) int {
		return cmp.Or(a.arrived.Compare(b.arrived), strings.Compare(filepath.Base(a.path), filepath.Base(b.path)))
	})
	return files, size, nil
}

func (f maildirFile) read(keywords map[byte]string) (Message, error) {
	if f.size > MaxMessage {
		return Message{}, fmt.Errorf("mailfile: %s has %d bytes, more than a message may have", f.path, f.size)
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return Message{}, fmt.Errorf("mailfile: %w", err)
	}
	m := Message{Content: toCRLF(text), Received: f.arrived}
	if _, info, ok := strings.Cut(filepath.Base(f.path), ":2,"); ok && !f.isNew {
		m.Flags = flagsOf(info, keywords)
	}
	return m, nil
}

func flagsOf(letters string, keywords map[byte]string) (flags []string) {
	for _, f := range maildirFlags {
		if strings.IndexByte(letters, f.letter) >= 0 {
			flags = append(flags, f.flag)
		}
	}
	for i := range len(letters) {
		if name := keywords[letters[i]]; name != "" {
			flags = append(flags, name)
		}
	}
	return flags
}

// dovecotKeywords reads the names that Dovecot keeps for the letters a to z, if there are any.
func dovecotKeywords(dir string) map[byte]string {
	file, err := os.Open(filepath.Join(dir, "dovecot-keywords"))
	if err != nil {
		return nil
	}
	defer file.Close()
	names := map[byte]string{}
	for s := bufio.NewScanner(file); s.Scan(); {
		var n int
		var name string
		if _, err := fmt.Sscanf(s.Text(), "%d %s", &n, &name); err == nil && n >= 0 && n < 26 {
			names['a'+byte(n)] = name
		}
	}
	return names
}

// A Maildir writes messages into a folder.
type Maildir struct {
	dir   string
	count int
}

// CreateMaildir makes an empty Maildir at dir, which must not hold anything yet.
func CreateMaildir(dir string) (*Maildir, error) {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("mailfile: %s is not empty: name a folder that is not there yet", dir)
	}
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("mailfile: %w", err)
		}
	}
	return &Maildir{dir: dir}, nil
}

// Write adds m. Its file's time is when m was received.
func (d *Maildir) Write(m Message) error {
	d.count++
	letters := ""
	for _, f := range maildirFlags {
		if slices.Contains(m.Flags, f.flag) {
			letters += string(f.letter)
		}
	}
	name := fmt.Sprintf("%d.M%dP%d.posthaste:2,%s", m.Received.Unix(), d.count, os.Getpid(), letters)
	path := filepath.Join(d.dir, "cur", name)
	if err := os.WriteFile(path, toLF(m.Content), 0o600); err != nil {
		return fmt.Errorf("mailfile: %w", err)
	}
	return os.Chtimes(path, m.Received, m.Received)
}

// Close ends the writing.
func (d *Maildir) Close() error { return nil }
