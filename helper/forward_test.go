package helper

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWhichForwardFileIsBelieved(t *testing.T) {
	regular := func(mode os.FileMode, text string) func(string) error {
		return func(p string) error {
			if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
				return err
			}
			return os.Chmod(p, mode)
		}
	}
	for _, c := range []struct {
		claim  string
		make   func(path string) error
		uid    int
		text   string
		unsafe string
	}{
		{"one of the user", regular(0o600, "bob\n"), os.Getuid(), "bob\n", ""},
		{"one that all may read", regular(0o644, "bob\n"), os.Getuid(), "bob\n", ""},
		{"an empty one", regular(0o600, ""), os.Getuid(), "", ""},
		{"one that the group may write", regular(0o660, "bob\n"), os.Getuid(), "", "chmod go-w"},
		{"one that all may write", regular(0o602, "bob\n"), os.Getuid(), "", "chmod go-w"},
		{"one of 64 KiB", regular(0o600, strings.Repeat("x", maxForward)), os.Getuid(), strings.Repeat("x", maxForward), ""},
		{"one that is larger", regular(0o600, strings.Repeat("x", maxForward+1)), os.Getuid(), "", "65537 bytes"},
		{"a link", func(p string) error { return os.Symlink("/etc/passwd", p) }, os.Getuid(), "", "symbolic link"},
		{"a folder", func(p string) error { return os.Mkdir(p, 0o700) }, os.Getuid(), "", "no regular file"},
		{"a FIFO", func(p string) error { return unix.Mkfifo(p, 0o600) }, os.Getuid(), "", "no regular file"},
	} {
		f := forwardSpec{Path: filepath.Join(t.TempDir(), forwardName), UID: c.uid}
		if err := c.make(f.Path); err != nil {
			t.Fatal(err)
		}
		got, err := f.read()
		if err != nil || got.Missing || string(got.Text) != c.text || (got.Unsafe != "") != (c.unsafe != "") || !strings.Contains(got.Unsafe, c.unsafe) {
			t.Errorf("%s: %+v, %v", c.claim, got, err)
		}
	}
	missing := forwardSpec{Path: filepath.Join(t.TempDir(), "gone", forwardName)}
	if got, err := missing.read(); err != nil || !got.Missing {
		t.Errorf("none: %+v, %v", got, err)
	}
}

func TestAForwardFileOfAnotherUserIsNotBelieved(t *testing.T) {
	if !isRoot() {
		t.Skip("SKIPPED: only root can make files of others")
	}
	for owner, believed := range map[int]bool{1: true, 2: false, 0: true} {
		f := forwardSpec{Path: filepath.Join(t.TempDir(), forwardName), UID: 1}
		if err := errors.Join(os.WriteFile(f.Path, []byte("bob"), 0o644), os.Chown(f.Path, owner, -1)); err != nil {
			t.Fatal(err)
		}
		if got, err := f.read(); err != nil || (got.Unsafe == "") != believed {
			t.Errorf("of uid %d: %+v, %v", owner, got, err)
		}
	}
}

// The helper reads for listed users alone, and only where it was told so at its start.
func TestForwardsOfListedUsersAreRead(t *testing.T) {
	if !isRoot() {
		t.Skip("SKIPPED: the helper becomes others only as root")
	}
	h := start(t, Config{Users: []string{"nobody"}, Forwards: true})
	if _, err := h.Forward(t.Context(), "nobody"); !errors.Is(err, fs.ErrNotExist) { // it has no home
		t.Errorf("nobody: %v", err)
	}
	for _, user := range []string{"daemon", "root", "../etc", ""} {
		if text, err := h.Forward(t.Context(), user); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %q, %v", user, text, err)
		}
	}
	silent := start(t, Config{Users: []string{"nobody"}})
	if _, err := silent.Forward(t.Context(), "nobody"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without leave: %v", err)
	}
}
