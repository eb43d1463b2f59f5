package helper

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"posthaste/mail"
)

// specFD is where a child finds its spec.
const specFD = 3

// child is the process that has become the user of a job. It returns its exit status, unless it became
// the program.
func child() int {
	syscall.CloseOnExec(specFD)
	file := os.NewFile(specFD, "spec")
	var s spec
	if err := json.NewDecoder(file).Decode(&s); err != nil {
		fmt.Println("this process is started by posthaste, not by people:", err)
		return exOSErr
	}
	file.Close()
	if s.File != nil {
		return s.File.child(s.Limits)
	}
	if s.Forward != nil {
		return s.Forward.child(s.Limits)
	}
	return s.exec()
}

// exec becomes the program.
func (s *spec) exec() int {
	if os.Chdir(s.Dir) != nil {
		os.Chdir("/")
	}
	if err := s.Limits.apply(); err != nil {
		fmt.Println("limits:", err)
		return exOSErr
	}
	err := syscall.Exec(s.Program[0], s.Program, s.Env)
	fmt.Println(err)
	if errors.Is(err, fs.ErrNotExist) {
		return exNotFound
	}
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.ENOMEM) {
		return exTempFail
	}
	return exNotExecutable
}

// apply limits this process and those it starts. A core file could be anybody's to read.
func (l *Limits) apply() error {
	set := map[int]uint64{unix.RLIMIT_CORE: 0}
	if l.CPU > 0 {
		set[unix.RLIMIT_CPU] = uint64((l.CPU + time.Second - 1) / time.Second)
	}
	if l.FileSize > 0 {
		set[unix.RLIMIT_FSIZE] = uint64(l.FileSize)
	}
	if l.OpenFiles > 0 {
		set[unix.RLIMIT_NOFILE] = uint64(l.OpenFiles)
	}
	if l.Processes > 0 {
		set[unix.RLIMIT_NPROC] = uint64(l.Processes)
	}
	for what, n := range set {
		var now syscall.Rlimit
		if err := syscall.Getrlimit(what, &now); err != nil {
			return err
		}
		n = min(n, now.Max)
		// By syscall's function, as it remembers a limit of open files; that of unix would be undone
		// by Exec.
		if err := syscall.Setrlimit(what, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			return err
		}
	}
	return nil
}

// child writes the file and says on standard output what went wrong.
func (f *fileSpec) child(l Limits) int {
	err := l.apply()
	if err == nil {
		err = f.write()
	}
	if err == nil {
		return 0
	}
	json.NewEncoder(os.Stdout).Encode(fileStatus(err))
	return exTempFail
}

// fileStatus says what an error in writing means. All is temporary: the owner or an administrator can
// mend it.
func fileStatus(err error) *mail.Status {
	var status *mail.Status
	switch {
	case errors.As(err, &status):
		return status
	case errors.Is(err, unix.EDQUOT):
		return mail.NewStatus(452, "4.2.2", "the mailbox is full: its owner has used up the quota of the disk")
	case errors.Is(err, unix.EFBIG):
		return mail.NewStatus(452, "4.2.2", "the mailbox is full: its file has the size that is allowed")
	case errors.Is(err, unix.ENOSPC):
		return mail.NewStatus(452, "4.3.1", "the disk is full")
	case errors.Is(err, errLocked):
		return mail.NewStatus(451, "4.2.0", "the mailbox is in use by another program")
	}
	return mail.NewStatus(451, "4.2.0", "the mailbox file cannot be written: %v", err)
}
