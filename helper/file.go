package helper

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// A fileSpec tells a child which file to write.
type fileSpec struct {
	Path     string        `json:"path"`
	Format   Format        `json:"format"`
	Patterns []string      `json:"patterns"` // what is listed, to check where links lead
	Home     string        `json:"home"`
	UID      int           `json:"uid"`
	Spool    bool          `json:"spool"` // the folder holds the mailboxes of many
	Sender   string        `json:"sender"`
	ID       string        `json:"id"`
	Fresh    bool          `json:"fresh"`
	Received time.Time     `json:"received"`
	Within   time.Duration `json:"within"`
}

// write adds the message on standard input.
func (f *fileSpec) write() error {
	// A write past the largest size of a file is to be an error, not the end.
	signal.Ignore(syscall.SIGXFSZ, syscall.SIGHUP, syscall.SIGINT)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, f.Within)
	defer cancel()
	content, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	if f.Received.IsZero() {
		f.Received = time.Now()
	}
	if f.Format == Maildir {
		return f.writeMaildir(content)
	}
	if err := f.follow(); err != nil {
		return err
	}
	return f.appendMbox(ctx, content)
}

// follow replaces links in the folder of the path by where they lead, which must be listed as well.
func (f *fileSpec) follow() error {
	dir := filepath.Dir(f.Path)
	real, err := filepath.EvalSymlinks(dir)
	if err != nil || real == dir {
		return err
	}
	path := filepath.Join(real, filepath.Base(f.Path))
	if !allowsFile(f.Patterns, path, f.Home) {
		return fmt.Errorf("%s leads to %s, which is not listed", dir, real)
	}
	f.Path = path
	return nil
}

// syncDir makes the names in a folder durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
