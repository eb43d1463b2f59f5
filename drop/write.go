package drop

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The first letters of file names.
const (
	newPrefix  = "new." // complete: to be picked up
	tempPrefix = "tmp." // being written
)

// dirMode: all may make files and reach them by name, none may list them or remove others'. New files
// get the directory's group, so that the node may read them and others may not.
const dirMode = os.ModeSticky | os.ModeSetgid | 0o733

// Prepare makes the directory, for a node that runs as uid and gid. Call it before root is given up.
func Prepare(dir string, uid, gid int) error {
	bad := filepath.Join(dir, badDir)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return cannotPrepare(err)
	}
	for _, d := range []struct {
		path string
		mode os.FileMode
	}{{dir, dirMode}, {bad, 0o700}} {
		if err := os.Mkdir(d.path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return cannotPrepare(err)
		}
		if os.Geteuid() == 0 {
			if err := os.Lchown(d.path, uid, gid); err != nil {
				return fmt.Errorf("drop: %w", err)
			}
		}
		if err := os.Chmod(d.path, d.mode); err != nil {
			return cannotPrepare(err)
		}
	}
	return nil
}

// cannotPrepare says what to do about err.
func cannotPrepare(err error) error {
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("drop: %w: start once as root with user set, or name a directory of your own as drop.directory", err)
	}
	return fmt.Errorf("drop: %w", err)
}

// Write puts a message into the directory and returns once it is durable. Content is read to its end.
func Write(dir string, s Submission, content io.Reader) error {
	unique := fmt.Sprintf("%d.%s", os.Getpid(), rand.Text())
	temp := filepath.Join(dir, tempPrefix+unique)
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("drop: %w", err)
	}
	defer f.Close()
	if err := writeFile(f, dir, &s, content); err != nil {
		os.Remove(temp)
		return err
	}
	if err := os.Rename(temp, filepath.Join(dir, newPrefix+unique)); err != nil {
		os.Remove(temp)
		return fmt.Errorf("drop: %w", err)
	}
	// The directory itself cannot be opened by those who may not list it.
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("drop: sync %s: %w", dir, err)
	}
	return nil
}

// writeFile writes and syncs a whole file. Its caller bounds content, which is held in memory because its size
// stands before it.
func writeFile(f *os.File, dir string, s *Submission, content io.Reader) error {
	body, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	head, err := s.head(int64(len(body)))
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	w.Write(head)
	w.Write(body)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("drop: %w", err)
	}
	mode := os.FileMode(0o644) // the node must read it, and nobody else knows its name
	if info, err := os.Stat(dir); err == nil && info.Mode()&os.ModeSetgid != 0 {
		mode = 0o640
	}
	if err := f.Chmod(mode); err != nil {
		return fmt.Errorf("drop: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("drop: %w", err)
	}
	return nil
}
