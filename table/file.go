package table

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"
)

// Bounds on files. A list of patterns is compiled, which takes many times its size.
const (
	maxFileBytes    = 256 << 20
	maxPatternBytes = 16 << 20
)

// settled is how long a changed file must have been left alone before its new content counts, so that
// one that is being written is not taken for whole.
const settled = time.Second

// A content is a file that has been read.
type content interface {
	find(key string) (value string, found bool)
}

// A file is a table in a file, which is read again when the file changes. The new content replaces the
// old at once and whole; where it has errors, the old goes on to serve and the log says so. A file that
// is gone or cannot be read is an error.
type file struct {
	path     string
	maxBytes int64
	parse    func(name, text string) (content, error)
	log      *slog.Logger

	mu      sync.Mutex // guards what follows
	current content
	loaded  stamp     // of the file that current was read from, or that had errors
	changed stamp     // what was seen instead of loaded,
	since   time.Time // and since when
	wrong   error     // why the content at loaded is not current; nil when it is
}

// A stamp tells whether a file is still the same.
type stamp struct {
	inode   uint64
	size    int64
	modTime int64 // Unix nanoseconds
}

func stampOf(info os.FileInfo) stamp {
	s := stamp{size: info.Size(), modTime: info.ModTime().UnixNano()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode = sys.Ino
	}
	return s
}

// open reads the file for the first time.
func (f *file) open() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, s, err := f.read()
	if err != nil {
		return err
	}
	f.current, f.loaded = c, s
	return nil
}

func (f *file) find(key string) (value string, found bool, err error) {
	c, err := f.latest(time.Now())
	if err != nil {
		return "", false, err
	}
	value, found = c.find(key)
	return value, found, nil
}

// latest returns what the file holds now.
func (f *file) latest(now time.Time) (content, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, err
	}
	s := stampOf(info)
	if s == f.loaded {
		return f.current, nil
	}
	if s != f.changed {
		f.changed, f.since = s, now
	}
	if now.Sub(f.since) < settled && now.Sub(info.ModTime()).Abs() < settled {
		return f.current, nil
	}
	return f.reread(s)
}

// reread takes the content of the file, whose stamp is s.
func (f *file) reread(s stamp) (content, error) {
	c, now, err := f.read()
	switch {
	case errors.As(err, new(*os.PathError)):
		return nil, err
	case err == nil && now != s: // it changes under our eyes: later
		return f.current, nil
	case err != nil:
		f.log.Error("a table file has errors, its previous content goes on to serve", "file", f.path, "error", err)
	default:
		f.current = c
	}
	f.loaded, f.wrong = s, err
	return f.current, nil
}

// problem returns what is wrong with the file as it is now.
func (f *file) problem() error {
	if _, err := f.latest(time.Now()); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wrong
}

func (f *file) read() (content, stamp, error) {
	in, err := os.Open(f.path)
	if err != nil {
		return nil, stamp{}, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return nil, stamp{}, err
	}
	if !info.Mode().IsRegular() {
		return nil, stamp{}, fmt.Errorf("%s is no regular file", f.path)
	}
	text, err := io.ReadAll(io.LimitReader(in, f.maxBytes+1))
	if err != nil {
		return nil, stamp{}, err
	}
	if int64(len(text)) > f.maxBytes {
		return nil, stamp{}, fmt.Errorf("%s is larger than %d MiB: use sql, ldap or http for so many keys", f.path, f.maxBytes>>20)
	}
	c, err := f.parse(f.path, string(text))
	return c, stampOf(info), err
}
