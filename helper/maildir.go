package helper

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// writeMaildir adds content to a Maildir, which is made where it is not there. The name of the file is
// made from the ID of the delivery: where it is there already, in new or in cur, an earlier attempt
// succeeded.
func (f *fileSpec) writeMaildir(content []byte) error {
	if err := f.openMaildir(); err != nil {
		return err
	}
	name := f.maildirName()
	if there, err := f.delivered(name); there || err != nil {
		return err
	}
	temporary := filepath.Join(f.Path, "tmp", name+"."+rand.Text()[:8])
	if err := writeSynced(temporary, content); err != nil {
		os.Remove(temporary)
		return err
	}
	err := renameNew(temporary, filepath.Join(f.Path, "new", name))
	if err != nil {
		os.Remove(temporary)
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncDir(filepath.Join(f.Path, "new"))
}

// openMaildir makes the folders that are not there, for their owner alone, follows links that lead to
// the Maildir, and refuses such in it.
func (f *fileSpec) openMaildir() error {
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
		return err
	}
	if err := f.follow(); err != nil {
		return err
	}
	for _, sub := range []string{"", "tmp", "new", "cur"} {
		dir := filepath.Join(f.Path, sub)
		err := os.Mkdir(dir, 0o700)
		if err == nil {
			err = syncDir(filepath.Dir(dir))
		}
		if err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		if info, err := os.Lstat(dir); err != nil || !info.IsDir() {
			return errors.Join(fmt.Errorf("%s is no folder", dir), err)
		}
	}
	return nil
}

// maildirName is the unique name of a delivery: its time, what makes it unique, and who made it.
func (f *fileSpec) maildirName() string {
	unique := rand.Text()
	if f.ID != "" {
		sum := sha256.Sum256([]byte(f.ID))
		unique = hex.EncodeToString(sum[:12])
	}
	return fmt.Sprintf("%d.Q%s.posthaste", f.Received.Unix(), unique)
}

// delivered tells whether a file of that name, with or without flags behind it, is there.
func (f *fileSpec) delivered(name string) (bool, error) {
	if f.ID == "" || f.Fresh {
		return false, nil
	}
	if _, err := os.Lstat(filepath.Join(f.Path, "new", name)); err == nil {
		return true, nil
	}
	cur, err := os.Open(filepath.Join(f.Path, "cur"))
	if err != nil {
		return false, err
	}
	defer cur.Close()
	const some = 4096 // names at a time: folders can be large
	for {
		names, err := cur.Readdirnames(some)
		for _, n := range names {
			if n == name || strings.HasPrefix(n, name+":") {
				return true, nil
			}
		}
		if err != nil {
			return false, nil // io.EOF: all seen
		}
	}
}

func writeSynced(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// renameNew renames without replacing what is there.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	if err := os.Link(from, to); err != nil { // file systems that cannot rename so
		return err
	}
	return os.Remove(from)
}
