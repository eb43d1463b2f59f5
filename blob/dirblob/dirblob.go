// Package dirblob is a [blob.Store] in a directory of a local file system.
//
// A blob is one file, DIR/<first 6 digits of its name>/<name>: one directory for each 18 hours, so
// that none grows large and the order of names is the order of listing. It is written to DIR/new,
// synced, renamed into place, and its directory synced. What a crash leaves in DIR/new is removed at
// [Open]. One process at a time may hold the directory: the caller locks it.
package dirblob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"posthaste/blob"
)

const (
	newDir      = "new"
	groupDigits = 6
	copyBuffer  = 64 << 10 // bytes of content held in memory by one Put

	// reserve is the free space, in bytes, that blobs leave on the disk: a store of keys that shares
	// it takes no reference to a blob below that, and the blob would only lie there.
	reserve = 256 << 20
)

// A Store keeps blobs in a directory.
type Store struct {
	dir  string
	left func() uint64 // bytes free on the disk of dir, in tests; nil: as the disk says
}

var _ blob.Store = (*Store)(nil)

// Open returns the store in dir, which it makes if it is missing.
func Open(dir string) (*Store, error) {
	fresh := filepath.Join(dir, newDir)
	if err := os.RemoveAll(fresh); err != nil {
		return nil, fmt.Errorf("dirblob: clear what a crash left: %w", err)
	}
	if err := os.MkdirAll(fresh, 0o700); err != nil {
		return nil, fmt.Errorf("dirblob: make the directory of blobs: %w", err)
	}
	if err := syncDir(dir); err != nil {
		return nil, err
	}
	return &Store{dir: dir}, nil
}

// full tells whether a blob of size bytes would use up what is kept free.
func (s *Store) full(size int64) bool {
	if s.left != nil {
		return s.left() < reserve+uint64(size)
	}
	var disk syscall.Statfs_t
	err := syscall.Statfs(s.dir, &disk)
	return err == nil && disk.Bavail*uint64(disk.Bsize) < reserve+uint64(size)
}

func (s *Store) group(name blob.Name) string { return filepath.Join(s.dir, string(name[:groupDigits])) }

func (s *Store) path(name blob.Name) string { return filepath.Join(s.group(name), string(name)) }

// Put implements [blob.Store].
func (s *Store) Put(ctx context.Context, name blob.Name, r io.Reader, size int64) error {
	if !name.Valid() {
		return fmt.Errorf("%w: %q", blob.ErrName, name)
	}
	if s.full(size) {
		return fmt.Errorf("dirblob: put %s: %w: %d MiB are kept in reserve", name, blob.ErrFull, reserve>>20)
	}
	err := s.put(ctx, name, r, size)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		err = fmt.Errorf("%w: %w", blob.ErrFull, err)
	}
	if err != nil {
		return fmt.Errorf("dirblob: put %s: %w", name, err)
	}
	return nil
}

func (s *Store) put(ctx context.Context, name blob.Name, r io.Reader, size int64) error {
	fresh := filepath.Join(s.dir, newDir, string(name))
	if err := write(ctx, fresh, r, size); err != nil {
		os.Remove(fresh)
		return err
	}
	if err := s.place(fresh, name); err != nil {
		os.Remove(fresh)
		return err
	}
	return syncDir(s.group(name))
}

// write makes the file path of exactly size bytes of r and syncs it.
func write(ctx context.Context, path string, r io.Reader, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{f}, io.LimitReader(r, size+1), make([]byte, copyBuffer))
	if err != nil {
		return err
	}
	if n != size {
		return blob.ErrSize
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// place renames the file fresh to its place, making the directory of its group if need be.
func (s *Store) place(fresh string, name blob.Name) error {
	err := os.Rename(fresh, s.path(name))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Mkdir(s.group(name), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := syncDir(s.dir); err != nil {
		return err
	}
	return os.Rename(fresh, s.path(name))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

// Open implements [blob.Store].
func (s *Store) Open(ctx context.Context, name blob.Name) (blob.Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !name.Valid() {
		return nil, fmt.Errorf("dirblob: open %q: %w", name, blob.ErrNotFound)
	}
	f, err := os.Open(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("dirblob: open %s: %w", name, blob.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("dirblob: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("dirblob: %w", err)
	}
	return &reader{f, info.Size()}, nil
}

// Delete implements [blob.Store]. It is not synced: a blob that a crash brings back is still
// without a reference, and the sweep finds it again.
func (s *Store) Delete(ctx context.Context, name blob.Name) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !name.Valid() {
		return nil
	}
	err := os.Remove(s.path(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("dirblob: %w", err)
	}
	return nil
}

// List implements [blob.Store]. It holds the names of one group in memory.
func (s *Store) List(ctx context.Context, fn func(name blob.Name, size int64) error) error {
	groups, err := os.ReadDir(s.dir) // sorted
	if err != nil {
		return fmt.Errorf("dirblob: list: %w", err)
	}
	for _, group := range groups {
		if !group.IsDir() || len(group.Name()) != groupDigits {
			continue
		}
		if err := s.listGroup(ctx, group.Name(), fn); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) listGroup(ctx context.Context, group string, fn func(blob.Name, int64) error) error {
	files, err := os.ReadDir(filepath.Join(s.dir, group))
	if err != nil {
		return fmt.Errorf("dirblob: list: %w", err)
	}
	for _, file := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := blob.Name(file.Name())
		if !name.Valid() || !strings.HasPrefix(string(name), group) {
			continue // not ours; leave it alone
		}
		info, err := file.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return fmt.Errorf("dirblob: list: %w", err)
		}
		if err := fn(name, info.Size()); err != nil {
			return err
		}
	}
	return nil
}

type reader struct {
	*os.File
	size int64
}

func (r *reader) Size() int64 { return r.size }
