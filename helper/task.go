package helper

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"posthaste/mail"
)

// A task is a job that was allowed.
type task struct {
	spec    spec
	account account
	timeout time.Duration
	output  int
}

// A spec tells the child what to do.
type spec struct {
	Program []string     `json:"program,omitempty"`
	Env     []string     `json:"env,omitempty"`
	Dir     string       `json:"dir,omitempty"`
	File    *fileSpec    `json:"file,omitempty"`
	Forward *forwardSpec `json:"forward,omitempty"`
	Limits  Limits       `json:"limits"`
}

const (
	// leftBehind is how long a program that has ended may leave others behind that hold its output open.
	leftBehind = 2 * time.Second
	// finishing is how long the writing of a file may go on once its time is over.
	finishing = 5 * time.Second
)

// joinSpool gives the task the group of a folder of mailboxes, where root has set that group up for it.
func (t *task) joinSpool(dir string) {
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm()&0o020 == 0 {
		return
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid == 0 && st.Gid != 0 {
		t.account.groups = append(t.account.groups, st.Gid)
	}
}

// run starts the child, waits for it, and ends it when ctx or its time is over.
func (t *task) run(ctx context.Context, content *os.File) answer {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	out := &head{limit: t.output}
	if t.spec.File != nil || t.spec.Forward != nil {
		out.limit = maxAnswer
	}
	cmd := t.command(ctx, out)
	err := t.start(cmd, content)
	if err == nil {
		err = cmd.Wait()
	}
	if cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, "posthaste: helper: start a child:", err)
		return answer{Status: mail.NewStatus(451, "4.3.0", "the delivery could not be started")}
	}
	if t.spec.File != nil {
		return fileAnswer(cmd.ProcessState, out)
	}
	if t.spec.Forward != nil {
		return forwardAnswer(cmd.ProcessState, out)
	}
	r := Result{Exit: cmd.ProcessState.ExitCode(), Output: out.kept, Truncated: out.more}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		r.Signal = ws.Signal().String()
		r.TimedOut = errors.Is(ctx.Err(), context.DeadlineExceeded)
	}
	return answer{Result: r}
}

// command is the child, but for the files it gets.
func (t *task) command(ctx context.Context, out *head) *exec.Cmd {
	cmd := exec.CommandContext(ctx, ownBinary, roleChild)
	cmd.Dir = "/"
	cmd.Env = []string{"GOMAXPROCS=1", endAtOnce}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: t.account.credential()}
	cmd.Cancel, cmd.WaitDelay = func() error { return endGroup(cmd, syscall.SIGKILL) }, leftBehind
	if t.spec.File != nil {
		// Who waits for a lock gives up; who writes comes to an end.
		cmd.Cancel, cmd.WaitDelay = func() error { return endGroup(cmd, syscall.SIGTERM) }, finishing
	}
	return cmd
}

// start starts the child with its spec, and the content as its standard input.
func (t *task) start(cmd *exec.Cmd, content *os.File) error {
	text, err := json.Marshal(t.spec)
	if err != nil {
		return err
	}
	spec, err := sealedContent(bytes.NewReader(text), true)
	if err != nil {
		return err
	}
	defer spec.Close()
	// A description of its own: read only, and at the beginning.
	input, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", content.Fd()))
	if err != nil {
		return err
	}
	defer input.Close()
	cmd.Stdin, cmd.ExtraFiles = input, []*os.File{spec}
	return cmd.Start()
}

// endGroup signals a child and all that it started, but for those who left its session.
func endGroup(cmd *exec.Cmd, sig syscall.Signal) error {
	if err := cmd.Process.Signal(sig); err != nil {
		return err // it has ended, and its number may be another's
	}
	return syscall.Kill(-cmd.Process.Pid, sig)
}

// fileAnswer is what a child that wrote a file says.
func fileAnswer(state *os.ProcessState, out *head) answer {
	if state.ExitCode() == 0 {
		return answer{}
	}
	var status mail.Status
	if err := json.Unmarshal(out.kept, &status); err != nil || status.Code == 0 {
		fmt.Fprintf(os.Stderr, "posthaste: helper: writing a file: %v: %s\n", state, out.kept)
		return answer{Status: mail.NewStatus(451, "4.3.0", "the file could not be written")}
	}
	return answer{Status: &status}
}

// A head keeps the beginning of what is written to it.
type head struct {
	limit int
	kept  []byte
	more  bool
}

func (h *head) Write(p []byte) (int, error) {
	n := min(len(p), h.limit-len(h.kept))
	h.kept = append(h.kept, p[:n]...)
	h.more = h.more || n < len(p)
	return len(p), nil
}
