package helper

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"posthaste/mailfile"
)

// errLocked says that another program held the mailbox all the time.
var errLocked = errors.New("locked")

// appendMbox adds content at the end of an mbox, under locks. What was half written is taken back.
func (f *fileSpec) appendMbox(ctx context.Context, content []byte) (err error) {
	box, made, err := f.lockMbox(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, box.unlock()) }()
	info, err := box.Stat()
	if err != nil {
		return err
	}
	text, err := f.mboxText(box.File, info.Size(), content)
	if err != nil {
		return err
	}
	if _, err = box.Write(text); err == nil {
		err = box.Sync()
	}
	if err != nil {
		return errors.Join(err, box.Truncate(info.Size()), box.Sync())
	}
	if made {
		return syncDir(filepath.Dir(f.Path))
	}
	return nil
}

// mboxText is what is to be written behind the first size bytes: the message, and before it what ends
// the last one properly.
func (f *fileSpec) mboxText(file io.ReaderAt, size int64, content []byte) ([]byte, error) {
	var text bytes.Buffer
	end := make([]byte, min(size, 2))
	if _, err := file.ReadAt(end, size-int64(len(end))); err != nil {
		return nil, err
	}
	switch {
	case size == 0, bytes.Equal(end, []byte("\n\n")):
	case end[len(end)-1] == '\n':
		text.WriteString("\n")
	default:
		text.WriteString("\n\n")
	}
	w := bufio.NewWriter(&text)
	if err := mailfile.PrintMbox(w, f.Sender, mailfile.Message{Content: content, Received: f.Received}); err != nil {
		return nil, err
	}
	err := w.Flush()
	return text.Bytes(), err
}

// openMbox opens the file, or makes it, and refuses what is no mailbox of the user's: a link leads
// elsewhere, a second name is somebody else's file, and a device swallows mail.
func (f *fileSpec) openMbox() (file *os.File, made bool, err error) {
	const flags = unix.O_RDWR | unix.O_APPEND | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY
	file, err = os.OpenFile(f.Path, flags, 0)
	if errors.Is(err, os.ErrNotExist) {
		made = true
		file, err = os.OpenFile(f.Path, flags|os.O_CREATE|os.O_EXCL, 0o600)
	}
	switch {
	case errors.Is(err, unix.ELOOP):
		return nil, false, fmt.Errorf("%s is a symbolic link", f.Path)
	case err != nil:
		return nil, false, err
	}
	if err := f.checkMbox(file); err != nil {
		file.Close()
		return nil, false, err
	}
	return file, made, nil
}

func (f *fileSpec) checkMbox(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file", f.Path)
	case ok && st.Nlink > 1:
		return fmt.Errorf("%s has a second name elsewhere", f.Path)
	case ok && f.Spool && int(st.Uid) != f.UID:
		return fmt.Errorf("%s belongs to the user with uid %d, not %d", f.Path, st.Uid, f.UID)
	}
	return nil
}

// A lockedFile is an mbox that is ours for now.
type lockedFile struct {
	*os.File
	dotlock string // "" where the folder lets us make none
}

func (b *lockedFile) unlock() error {
	if b.dotlock != "" {
		os.Remove(b.dotlock)
	}
	return b.Close() // which gives the kernel's lock back
}

// How often a lock is tried.
const (
	firstRetry = 20 * time.Millisecond
	lastRetry  = time.Second
)

// lockMbox opens the mbox and takes both locks: the kernel's, by fcntl, and the file PATH.lock, in this
// order, as Debian's policy has it (section 11.6). When the second cannot be had, the first is given
// back before both are tried again, so that nobody waits for us while we wait for them.
func (f *fileSpec) lockMbox(ctx context.Context) (*lockedFile, bool, error) {
	made := false
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		file, fresh, err := f.openMbox()
		if made = made || fresh; err == nil {
			var box *lockedFile
			if box, err = f.tryLock(file); err == nil {
				return box, made, nil
			}
			file.Close()
		}
		if !errors.Is(err, errLocked) && !errors.Is(err, os.ErrExist) {
			return nil, false, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, false, errLocked
		}
	}
}

func (f *fileSpec) tryLock(file *os.File) (*lockedFile, error) {
	whole := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(file.Fd(), unix.F_SETLK, &whole); err != nil {
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			return nil, errLocked
		}
		return nil, err
	}
	box := &lockedFile{File: file}
	err := makeDotlock(f.Path + ".lock")
	switch {
	case err == nil:
		box.dotlock = f.Path + ".lock"
	case !f.Spool && (errors.Is(err, os.ErrPermission) || errors.Is(err, unix.EROFS)):
		// Nobody who is not root can lock that way there, so nobody does.
	default:
		return nil, err
	}
	if !f.stillThere(file) {
		if box.dotlock != "" {
			os.Remove(box.dotlock)
		}
		return nil, errLocked
	}
	return box, nil
}

// stillThere tells whether the path leads to file: a mail program may have put another in its place.
func (f *fileSpec) stillThere(file *os.File) bool {
	ours, err := file.Stat()
	if err != nil {
		return false
	}
	now, err := os.Lstat(f.Path)
	return err == nil && os.SameFile(ours, now)
}

// staleAfter is the age at which a lock file is taken for one that was forgotten (Debian's
// lockfile-create and procmail agree on about that).
const staleAfter = 5 * time.Minute

// makeDotlock makes a lock file. The kernel's lock is held, so of those who see that a lock is stale
// only one removes it.
func makeDotlock(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if errors.Is(err, os.ErrExist) {
		if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > staleAfter {
			os.Remove(path)
		}
		return errLocked
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, "%d\n", os.Getpid())
	if err = errors.Join(err, file.Close()); err != nil {
		os.Remove(path)
	}
	return err
}
