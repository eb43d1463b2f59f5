package helper

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"posthaste/mail"
)

// A Helper is the server's end. Its methods may be called at the same time.
type Helper struct {
	control *net.UnixConn // each packet hands over the ends of one job
	slots   chan struct{} // as many jobs as the helper does at the same time
	reading chan struct{} // and as many .forward files as it reads beside them
	limits  Limits
	log     *slog.Logger
	pid     int
	gone    chan struct{} // closed when the process has ended
}

// answerGrace is how long a job that was called off may take to say how far it came, and an overdue
// one to be ended.
const answerGrace = 10 * time.Second

// Start makes the helper process. Call it before root is given up and before Landlock, which the
// helper would inherit. The process ends when the Helper is closed or this process ends.
func Start(cfg Config) (*Helper, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	ours, theirs, err := socketPair(unix.SOCK_SEQPACKET)
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	h := &Helper{control: ours, slots: make(chan struct{}, cfg.Limits.Jobs), reading: make(chan struct{}, forwardJobs), limits: cfg.Limits, log: cfg.Log, gone: make(chan struct{})}
	cmd, err := cfg.command(theirs)
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("helper: start: %w", err)
	}
	h.pid = cmd.Process.Pid
	go h.wait(cmd)
	if err := h.ready(); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// command is the own binary as helper, told on standard input what it may do.
func (cfg *Config) command(control *os.File) (*exec.Cmd, error) {
	lists, err := json.Marshal(cfg.wire())
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(ownBinary, roleHelper)
	cmd.Args[0] = "posthaste: helper"
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + searchPath, endAtOnce}
	cmd.Stdin = bytes.NewReader(lists)
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{control}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a Ctrl-C is for the server alone
	return cmd, nil
}

func (h *Helper) wait(cmd *exec.Cmd) {
	err := cmd.Wait()
	if h.control.Close() == nil { // nobody else closed it: the end was not asked for
		h.log.Error("helper: the process for programs and files has ended; their deliveries wait in the queue: restart posthaste", "err", err)
	}
	close(h.gone)
}

// ready waits for the first packet, by which the helper says that it has read its lists.
func (h *Helper) ready() error {
	h.control.SetReadDeadline(time.Now().Add(startWithin))
	var b [512]byte
	n, err := h.control.Read(b[:])
	if err == nil && string(b[:n]) == "ready" {
		return nil
	}
	if err == nil && n > 0 {
		return fmt.Errorf("helper: %s", b[:n])
	}
	return errors.New("helper: the process ended before it was ready: does main call helper.Main first of all?")
}

// PID is the number of the helper process.
func (h *Helper) PID() int { return h.pid }

// Gone is closed when the helper process has ended.
func (h *Helper) Gone() <-chan struct{} { return h.gone }

// Close ends the helper and waits until it has gone. Programs are killed, files are finished.
func (h *Helper) Close() error {
	h.control.Close()
	<-h.gone
	return nil
}

// Run does a job. What a program made of it is in the Result: its Status says what to tell the queue.
// A file that was not written, a job that was refused or called off, and a helper that is gone are an
// error that holds a *mail.Status.
func (h *Helper) Run(ctx context.Context, job Job) (Result, error) {
	if job.File == os.DevNull {
		return Result{}, nil
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return Result{}, calledOff
	}
	content, err := sealedContent(job.Content, job.CRLF)
	if err != nil {
		return Result{}, fmt.Errorf("helper: content: %w", err)
	}
	defer content.Close()
	a, err := h.ask(ctx, job.request(within(job.Timeout, h.limits.Timeout)), content)
	return a.Result, err
}

var (
	calledOff = mail.NewStatus(451, "4.3.2", "the delivery was called off, it is tried again later")
	noHelper  = mail.NewStatus(451, "4.3.5", "program and file deliveries wait until this mail system has been restarted")
)

// open hands the helper the content and one end of a connection for the job.
func (h *Helper) open(content *os.File) (*net.UnixConn, error) {
	ours, theirs, err := socketPair(unix.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	rights := unix.UnixRights(int(theirs.Fd()), int(content.Fd()))
	if _, _, err := h.control.WriteMsgUnix([]byte("job"), rights, nil); err != nil {
		ours.Close()
		return nil, noHelper
	}
	return ours, nil
}

// ask has the helper do what r says with content. The answer has no Status: that is the error.
func (h *Helper) ask(ctx context.Context, r request, content *os.File) (answer, error) {
	conn, err := h.open(content)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(r.Timeout + answerGrace))
	stop := context.AfterFunc(ctx, func() {
		conn.CloseWrite() // the helper takes this for "no longer wanted"
		conn.SetReadDeadline(time.Now().Add(answerGrace))
	})
	defer stop()
	if err := writeFrame(conn, r, maxRequest); err != nil {
		if errors.Is(err, errFrameSize) {
			return answer{}, mail.NewStatus(554, "5.3.4", "the command and its arguments are too long")
		}
		return answer{}, noHelper
	}
	var a answer
	if err := readFrame(conn, &a, maxAnswer); err != nil {
		if ctx.Err() != nil {
			return answer{}, calledOff
		}
		if errors.Is(err, io.EOF) {
			return answer{}, noHelper
		}
		return answer{}, mail.NewStatus(451, "4.3.0", "the process that runs programs and writes files did not answer")
	}
	if a.Status != nil {
		return answer{}, a.Status
	}
	if ctx.Err() != nil && a.Result.Signal != "" {
		return answer{}, calledOff
	}
	return a, nil
}

// within returns asked, where it is set and below limit, else limit.
func within[T int | time.Duration](asked, limit T) T {
	if asked > 0 && asked < limit {
		return asked
	}
	return limit
}

// request is the job as it travels.
func (job *Job) request(timeout time.Duration) request {
	r := request{User: job.User, Program: job.Program, Env: job.Env, Sender: job.Sender, ID: job.ID, Fresh: job.Fresh,
		Received: job.Received, File: job.File, Format: job.Format, Timeout: timeout, MaxOutput: job.MaxOutput}
	if r.Format == "" && strings.HasSuffix(r.File, "/") {
		r.Format = Maildir
	}
	return r
}
