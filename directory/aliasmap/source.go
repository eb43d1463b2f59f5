package aliasmap

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// A stamp tells one state of a file from another.
type stamp struct {
	device, inode   uint64
	size            int64
	changed, status syscall.Timespec // times of content and of inode
	owner           uint32
	young           bool // changed so shortly before it was read that another change may look the same
}

// settled is how old a change must be to be told from the next one by its time.
const settled = 2 * time.Second

// A source is one file that is read again when it has changed.
type source struct {
	path  string
	limit int64 // bytes
}

// errUnsafe is the reason why a file is not believed.
var errUnsafe = errors.New("others than its owner may write to it: chmod go-w")

// current returns the stamp of the file as it is now.
func (s source) current() (stamp, error) {
	info, err := os.Stat(s.path)
	if err != nil {
		return stamp{}, err
	}
	return stampOf(info), nil
}

func stampOf(info fs.FileInfo) stamp {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{size: info.Size()}
	}
	return stamp{device: uint64(st.Dev), inode: st.Ino, size: st.Size, changed: st.Mtim, status: st.Ctim, owner: st.Uid}
}

// read returns the content of the file, which must be a regular one that only its owner writes to.
func (s source) read() ([]byte, stamp, error) {
	f, err := os.OpenFile(s.path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO does not block us
	if err != nil {
		return nil, stamp{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, stamp{}, err
	case !info.Mode().IsRegular():
		return nil, stamp{}, fmt.Errorf("%s is no regular file", s.path)
	case info.Mode().Perm()&0o022 != 0:
		return nil, stamp{}, fmt.Errorf("%s: %w", s.path, errUnsafe)
	case info.Size() > s.limit:
		return nil, stamp{}, fmt.Errorf("%s has %d bytes, %d are allowed", s.path, info.Size(), s.limit)
	}
	text, err := io.ReadAll(io.LimitReader(f, s.limit+1))
	state := stampOf(info)
	state.young = time.Since(time.Unix(state.status.Unix())) < settled
	return text, state, err
}

// trusted tells whether a file belongs to root or to the user who runs us.
func (s stamp) trusted() bool {
	return s.owner == 0 || int(s.owner) == os.Geteuid()
}
