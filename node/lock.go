package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// lockName is the file in the data directory that a running node holds locked.
const lockName = "lock"

// lockData makes the data directory and locks it for this process. The lock is the kernel's, so it is
// gone with the process, however that ends.
func lockData(data string) (*os.File, error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, fmt.Errorf("data directory %s: %w: create it for this user, or set data in the configuration", data, err)
	}
	path := filepath.Join(data, lockName)
	// Root opens it in a directory of the user that the node becomes, so not where a link leads.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("data directory: %s is a link: remove it", path)
	}
	if err != nil {
		return nil, fmt.Errorf("data directory: %w: it belongs to another user: run this as that user or as root", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(path)
		file.Close()
		return nil, fmt.Errorf("data directory %s is in use by process %s: only one node at a time; stop it, or give this one a data directory of its own", data, holderText(holder))
	}
	if err := file.Truncate(0); err == nil {
		fmt.Fprintf(file, "%d", os.Getpid())
	}
	return file, nil
}

// holderText names the process that wrote its number into the lock file.
func holderText(pid []byte) string {
	name, err := os.ReadFile(filepath.Join("/proc", string(pid), "comm"))
	if err != nil {
		return string(pid)
	}
	return fmt.Sprintf("%s (%s)", pid, strings.TrimSpace(string(name)))
}
