package pebblekv

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// lockFile holds the ID of the process that has the kernel's lock on it. The lock, not the file,
// says that the store is in use: it is gone when the process is, however that ended.
const lockFile = "process"

type noLock struct{}

func (noLock) Close() error { return nil }

// lockDir takes the lock on the directory of the store, unless it is not one of the kernel.
func lockDir(cfg Config) (io.Closer, error) {
	if cfg.FS != nil {
		return noLock{}, nil
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("pebblekv: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(cfg.Dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("pebblekv: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("pebblekv: %s is in use by process %s", cfg.Dir, holder(f))
		}
		return nil, fmt.Errorf("pebblekv: lock %s: %w", f.Name(), err)
	}
	if err := writeHolder(f); err != nil {
		return nil, errors.Join(fmt.Errorf("pebblekv: %w", err), f.Close())
	}
	return f, nil
}

func writeHolder(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := fmt.Fprintln(f, os.Getpid())
	return err
}

func holder(f *os.File) string {
	b, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil || len(b) == 0 {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}
