// Package source reads the small text files that say where mail goes: alias files, lists, .forward
// files, the list of users. It tells when one has changed, and refuses to believe one that strangers
// may write to.
package source

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// ErrUnsafe is the reason why a file is not believed.
var ErrUnsafe = errors.New("not to be believed")

// A State tells one state of a file from another. States are compared with ==.
type State struct {
	Owner uint32 // uid

	device, inode   uint64
	size            int64
	content, status syscall.Timespec // times of the last changes, of content and of inode
	young           bool             // of Read: so fresh that another change may look the same
}

// settled is how old a change must be to be told from the next one by its time.
const settled = 2 * time.Second

// Trusted tells whether the file belongs to root or to the user who runs us.
func (s State) Trusted() bool {
	return s.Owner == 0 || int(s.Owner) == os.Geteuid()
}

// Current returns the state of the file at path as it is now.
func Current(path string) (State, error) {
	info, err := os.Stat(path)
	if err != nil {
		return State{}, err
	}
	return stateOf(info), nil
}

func stateOf(info fs.FileInfo) State {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return State{size: info.Size(), young: true}
	}
	return State{Owner: st.Uid, device: uint64(st.Dev), inode: st.Ino, size: st.Size, content: st.Mtim, status: st.Ctim}
}

// Read returns the content of the file at path, of limit bytes at most, and its state. It must be a
// regular file that only its owner can write to: ErrUnsafe says that it is not.
func Read(path string, limit int64) ([]byte, State, error) {
	return read(path, limit, 0)
}

// ReadOwned is Read for a file that must belong to one user or to root, and that is no symbolic link.
func ReadOwned(path string, limit int64, uid uint32) ([]byte, State, error) {
	text, state, err := read(path, limit, syscall.O_NOFOLLOW)
	if errors.Is(err, syscall.ELOOP) {
		err = fmt.Errorf("%s is %w: it is a symbolic link", path, ErrUnsafe)
	}
	if err == nil && state.Owner != uid && state.Owner != 0 {
		err = fmt.Errorf("%s is %w: it belongs to another user", path, ErrUnsafe)
	}
	if err != nil {
		return nil, State{}, err
	}
	return text, state, nil
}

func read(path string, limit int64, flags int) ([]byte, State, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|flags, 0) // a FIFO does not block us
	if err != nil {
		return nil, State{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, State{}, err
	case !info.Mode().IsRegular():
		return nil, State{}, fmt.Errorf("%s is %w: it is no regular file", path, ErrUnsafe)
	case info.Mode().Perm()&0o022 != 0:
		return nil, State{}, fmt.Errorf("%s is %w: others than its owner may write to it (chmod go-w)", path, ErrUnsafe)
	case info.Size() > limit:
		return nil, State{}, fmt.Errorf("%s has %d bytes, %d are allowed", path, info.Size(), limit)
	}
	text, err := io.ReadAll(io.LimitReader(f, limit))
	state := stateOf(info)
	state.young = state.young || time.Since(time.Unix(state.status.Unix())) < settled
	return text, state, err
}
