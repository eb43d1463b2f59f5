package helper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"posthaste/mail"
)

// forwardName is the file in a home that tells where its owner wants mail to go.
const forwardName = ".forward"

// forwardWithin bounds the reading of one: a client may be waiting for us to answer for the recipient.
const forwardWithin = 20 * time.Second

// An UnsafeError says why a .forward file is not to be believed. That is its owner's matter.
type UnsafeError struct{ Why string }

// Error returns the reason.
func (e *UnsafeError) Error() string { return e.Why }

// A forwardSpec tells a child which file to read.
type forwardSpec struct {
	Path string `json:"path"`
	UID  int    `json:"uid"` // whose it must be, unless it is root's
}

// A forwardFile is what a child found.
type forwardFile struct {
	Text    []byte `json:"text,omitempty"`
	Missing bool   `json:"missing,omitempty"`
	Unsafe  string `json:"unsafe,omitempty"` // why it is not to be believed
}

// Forward returns the content of the file .forward in the home of a user, which must be a regular file
// of at most 64 KiB, belong to the user or root, and be nobody else's to write. The error is
// fs.ErrNotExist where there is none, an *UnsafeError where it is none such; any other is temporary.
func (h *Helper) Forward(ctx context.Context, user string) ([]byte, error) {
	select {
	case h.reading <- struct{}{}:
		defer func() { <-h.reading }()
	case <-ctx.Done():
		return nil, calledOff
	}
	nothing, err := sealedContent(nil, true)
	if err != nil {
		return nil, fmt.Errorf("helper: %w", err)
	}
	defer nothing.Close()
	a, err := h.ask(ctx, request{User: user, Forward: true, Timeout: forwardWithin}, nothing)
	switch {
	case err != nil:
		return nil, err
	case a.Forward == nil:
		return nil, noHelper
	case a.Forward.Missing:
		return nil, fs.ErrNotExist
	case a.Forward.Unsafe != "":
		return nil, &UnsafeError{a.Forward.Unsafe}
	}
	return a.Forward.Text, nil
}

// allowForward makes a task of the wish to read a user's file. Which file that is, is not the server's
// to say. Not started as root, we read it as who we are: others may be allowed to.
func (l *lists) allowForward(r request) (*task, error) {
	owner, err := lookup(r.User)
	switch {
	case err != nil:
		return nil, err
	case !l.Forwards || !l.listed(owner):
		return nil, refusal("the forward of user %q may not be read: add the user to the list and restart posthaste", r.User)
	case !path.IsAbs(owner.home):
		return nil, refusal("user %q has the home %q", r.User, owner.home)
	}
	reader := owner
	if !isRoot() {
		if reader, err = l.self(); err != nil {
			return nil, err
		}
	}
	file := &forwardSpec{Path: filepath.Join(owner.home, forwardName), UID: owner.uid}
	return &task{account: reader, spec: spec{Forward: file, Limits: l.Limits}, timeout: within(r.Timeout, forwardWithin)}, nil
}

// child reads the file and says on standard output what is there.
func (f *forwardSpec) child(l Limits) int {
	var a answer
	err := l.apply()
	if err == nil {
		a.Forward, err = f.read()
	}
	if err != nil {
		a.Status = mail.NewStatus(451, "4.3.0", "%s cannot be read: %v", f.Path, err)
	}
	if json.NewEncoder(os.Stdout).Encode(a) != nil {
		return exIOErr
	}
	return 0
}

// read returns what is at the path. A link is not followed, and a FIFO does not block us.
func (f *forwardSpec) read() (*forwardFile, error) {
	file, err := os.OpenFile(f.Path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_NOCTTY, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		return &forwardFile{Missing: true}, nil
	case errors.Is(err, unix.ELOOP):
		return &forwardFile{Unsafe: f.Path + " is a symbolic link"}, nil
	case err != nil:
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if why := f.distrust(info); why != "" {
		return &forwardFile{Unsafe: f.Path + " " + why}, nil
	}
	text, err := io.ReadAll(io.LimitReader(file, maxForward))
	return &forwardFile{Text: text}, err
}

// distrust says why the file is not to be believed, if it is not.
func (f *forwardSpec) distrust(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || !info.Mode().IsRegular():
		return "is no regular file"
	case int(st.Uid) != f.UID && st.Uid != 0:
		return fmt.Sprintf("belongs to the user with uid %d", st.Uid)
	case info.Mode().Perm()&0o022 != 0:
		return "may be written to by others than its owner (chmod go-w)"
	case info.Size() > maxForward:
		return fmt.Sprintf("has %d bytes, %d are allowed", info.Size(), maxForward)
	}
	return ""
}

// forwardAnswer is what a child that read a file says.
func forwardAnswer(state *os.ProcessState, out *head) answer {
	var a answer
	if err := json.Unmarshal(out.kept, &a); err != nil || a.Forward == nil && a.Status == nil {
		fmt.Fprintf(os.Stderr, "posthaste: helper: reading a file: %v: %.200q\n", state, out.kept)
		return answer{Status: mail.NewStatus(451, "4.3.0", "the forward could not be read")}
	}
	return answer{Forward: a.Forward, Status: a.Status}
}
