package helper

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"posthaste/mail"
)

func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

// start returns a helper that may do what cfg lists. As root its jobs are nobody's.
func start(t *testing.T, cfg Config) *Helper {
	t.Helper()
	if isRoot() && cfg.User == "" {
		cfg.User = "nobody"
	}
	h, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// folder returns a folder that the user of jobs may write in.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "helper")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if isRoot() {
		if err := os.Chown(dir, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func run(t *testing.T, h *Helper, job Job) Result {
	t.Helper()
	r, err := h.Run(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAProgramGetsTheMessageAndACleanEnvironment(t *testing.T) {
	t.Setenv("SECRET", "of the server")
	h := start(t, Config{Programs: []string{"/bin/sh"}})
	to := mail.Address{Local: "ann+list", Domain: "example.org"}
	r := run(t, h, Job{
		Program: Split(`cat; env | sort; pwd; id -un; ulimit -n`),
		Env:     Environment(mail.ReversePath{Address: mail.Address{Local: "a$(reboot)", Domain: "b.example"}}, to, '+'),
		Content: strings.NewReader("Subject: x\r\n\r\nbody\r\n"),
	})
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	name, home := me.Username, me.HomeDir
	if isRoot() {
		name, home = "nobody", "/nonexistent"
	}
	if _, err := os.Stat(home); err != nil {
		home = "/"
	}
	for _, want := range []string{"Subject: x\n\nbody\n", "DOMAIN=example.org\nEXTENSION=list\n", "LOCAL=ann+list\n", "USERPART=ann\n",
		"SENDER=_a__reboot__@b.example\n", "LOGNAME=" + name, "PATH=/usr/local/bin:/usr/bin:/bin\n", "SHELL=/bin/sh\n", "\n" + home + "\n", "\n256\n"} {
		if !strings.Contains(string(r.Output), want) {
			t.Errorf("%q is not in\n%s", want, r.Output)
		}
	}
	if strings.Contains(string(r.Output), "SECRET") || strings.Contains(string(r.Output), "GOMAXPROCS") {
		t.Errorf("the environment of the server reached the program:\n%s", r.Output)
	}
	if s := r.Status(); !s.OK() {
		t.Error(s)
	}
}

func TestAProgramInheritsNoFiles(t *testing.T) {
	h := start(t, Config{Programs: []string{"/bin/ls"}})
	r := run(t, h, Job{Program: []string{"/bin/ls", "/proc/self/fd"}})
	if got := strings.Fields(string(r.Output)); !slices.Equal(got, []string{"0", "1", "2", "3"}) { // 3 is the folder it reads
		t.Errorf("open are %q", got)
	}
}

func TestExitStatusDecides(t *testing.T) {
	h := start(t, Config{Programs: []string{"/bin/sh", "/usr/bin/no such", "/nonexistent", "/etc/passwd"}})
	for _, c := range []struct {
		command string
		want    string
	}{
		{"exit 0", "250 2.0.0"},
		{"exit 67", "550 5.1.1"},
		{"echo try later; exit 75", "451 4.3.0 the program says: a temporary failure: try later"},
		{"exit 1", "550 5.3.0"},
		{"exit 77", "550 5.7.0"},
		{"exit 78", "451 4.3.5"},
		{"no-such-program-here; true; exit $?", "250"},
		{"exec no-such-program-here", "451 4.3.5"},
		{"/nonexistent", "451 4.3.5"},
		{"/etc/passwd", "451 4.3.5"},
		{"kill -9 $$", "451 4.3.0 the program was ended by signal killed"},
	} {
		r := run(t, h, Job{Program: Split(c.command)})
		if got := r.Status().Error(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.command, got, c.want)
		}
	}
}

func TestAProgramThatTakesTooLongIsEndedWithItsChildren(t *testing.T) {
	h := start(t, Config{Programs: []string{"/bin/sh"}})
	dir := folder(t)
	began := time.Now()
	r := run(t, h, Job{Program: Split("(sleep 97; touch " + dir + "/alive) & echo $!; sleep 98"), Timeout: 300 * time.Millisecond})
	if s := r.Status(); !r.TimedOut || !s.Temporary() || time.Since(began) > 5*time.Second {
		t.Errorf("%+v, %v after %v", r, s, time.Since(began))
	}
	pid := strings.TrimSpace(string(r.Output))
	if cmdline, err := os.ReadFile("/proc/" + pid + "/cmdline"); err == nil && bytes.Contains(cmdline, []byte("sh")) {
		t.Errorf("process %s lives: %q", pid, cmdline)
	}
}

func TestOutputIsBounded(t *testing.T) {
	h := start(t, Config{Programs: []string{"/bin/sh"}})
	r := run(t, h, Job{Program: Split("head -c 1000000 /dev/zero; true"), MaxOutput: 1000})
	if len(r.Output) != 1000 || !r.Truncated || r.Exit != 0 {
		t.Errorf("%d bytes, %+v", len(r.Output), r.Status())
	}
}

func TestWhatIsNotListedIsRefused(t *testing.T) {
	h := start(t, Config{
		Programs: []string{"/bin/echo", "/usr/bin/tr a b", "echo one | cat"},
		Files:    []string{"/tmp/allowed/*"},
		Users:    []string{"nobody"},
	})
	for _, c := range []struct {
		name    string
		job     Job
		allowed bool
	}{
		{"a listed program with any arguments", Job{Program: []string{"/bin/echo", "x", "y"}}, true},
		{"a listed command", Job{Program: []string{"/usr/bin/tr", "a", "b"}}, true},
		{"a listed command for a shell", Job{Program: Split("echo one | cat")}, true},
		{"a listed command with other arguments", Job{Program: []string{"/usr/bin/tr", "a", "c"}}, false},
		{"another command for a shell", Job{Program: Split("echo two | cat")}, false},
		{"another program", Job{Program: []string{"/bin/cat"}}, false},
		{"a path that leads through a listed folder", Job{Program: []string{"/bin/echo/../cat"}}, false},
		{"a variable of the loader", Job{Program: []string{"/bin/echo"}, Env: []string{"LD_PRELOAD=/tmp/x.so"}}, false},
		{"a file elsewhere", Job{File: "/tmp/elsewhere"}, false},
		{"a file above the listed folder", Job{File: "/tmp/allowed/../x"}, false},
		{"a relative file", Job{File: "tmp/allowed/x"}, false},
		{"root, who is not listed", Job{User: "root", Program: []string{"/bin/echo"}}, !isRoot() && os.Getuid() == 0},
		{"a user that is not there", Job{User: "no-such-user", Program: []string{"/bin/echo"}}, false},
		{"another user", Job{User: "daemon", Program: []string{"/bin/echo"}}, false},
	} {
		r, err := h.Run(t.Context(), c.job)
		if (err == nil) != c.allowed {
			t.Errorf("%s: %+v, %v", c.name, r, err)
		}
		if err != nil && mail.StatusOf(err).Enhanced != "4.3.5" {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestTheHelperRefusesContentThatCanChange(t *testing.T) {
	h := start(t, Config{Programs: []string{"/bin/cat"}})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	job := Job{Program: []string{"/bin/cat"}}
	if _, err := h.ask(t.Context(), job.request(h.limits.Timeout), r); mail.StatusOf(err).OK() {
		t.Error("a pipe was taken for content")
	}
}

func TestAJobThatIsCalledOffEnds(t *testing.T) {
	h := start(t, Config{Programs: []string{"/bin/sh"}})
	ready := filepath.Join(folder(t), "ready")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := h.Run(ctx, Job{Program: Split("echo > " + ready + "; sleep 99")})
		done <- err
	}()
	waitFor(t, ready)
	cancel()
	if err := <-done; err == nil || mail.StatusOf(err).Permanent() {
		t.Errorf("got %v", err)
	}
}

// waitFor returns when a file is there. It watches the folder rather than the clock.
func waitFor(t *testing.T, path string) {
	t.Helper()
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if _, err := syscall.InotifyAddWatch(fd, filepath.Dir(path), syscall.IN_CREATE|syscall.IN_MOVED_TO); err != nil {
		t.Fatal(err)
	}
	var b [4096]byte
	for {
		if _, err := os.Lstat(path); err == nil {
			return
		}
		if _, err := syscall.Read(fd, b[:]); err != nil && !errors.Is(err, syscall.EINTR) {
			t.Fatal(err)
		}
	}
}

func TestAHelperThatWasKilledDefersItsJobs(t *testing.T) {
	h := start(t, Config{Programs: []string{"/bin/sh"}})
	ready := filepath.Join(folder(t), "ready")
	done := make(chan error)
	go func() {
		_, err := h.Run(t.Context(), Job{Program: Split("echo > " + ready + "; sleep 3")})
		done <- err
	}()
	waitFor(t, ready)
	if err := syscall.Kill(h.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, noHelper) {
		t.Errorf("the job under way: %v", err)
	}
	<-h.Gone()
	if _, err := h.Run(t.Context(), Job{Program: []string{"/bin/sh"}}); !errors.Is(err, noHelper) {
		t.Errorf("a later job: %v", err)
	}
	if _, err := h.Run(t.Context(), Job{File: "/dev/null"}); err != nil {
		t.Errorf("nothing is needed to discard: %v", err)
	}
}

func TestTheHelperEndsWithItsServerAndEndsPrograms(t *testing.T) {
	h := start(t, Config{Programs: []string{"/bin/sh"}})
	ready := filepath.Join(folder(t), "ready")
	done := make(chan struct{})
	go func() {
		h.Run(t.Context(), Job{Program: Split("echo > " + ready + "; sleep 96")})
		close(done)
	}()
	waitFor(t, ready)
	began := time.Now()
	h.Close()
	<-done
	if time.Since(began) > 8*time.Second {
		t.Errorf("it took %v", time.Since(began))
	}
}

func TestManyJobsAtTheSameTime(t *testing.T) {
	h := start(t, Config{Programs: []string{"/bin/cat"}, Limits: Limits{Jobs: 4}})
	done := make(chan error)
	const n = 24
	for i := range n {
		text := strings.Repeat(string(rune('a'+i)), 100)
		go func() {
			r, err := h.Run(t.Context(), Job{Program: []string{"/bin/cat"}, Content: strings.NewReader(text)})
			if err == nil && string(r.Output) != text {
				err = errors.New("the wrong content")
			}
			done <- err
		}()
	}
	for range n {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestABadListIsRefusedAtTheStart(t *testing.T) {
	for _, cfg := range []Config{
		{Programs: []string{""}}, {Files: []string{"relative"}}, {Files: []string{"/a/[b"}},
		{Limits: Limits{Timeout: 48 * time.Hour}}, {Limits: Limits{Jobs: -1}},
	} {
		if h, err := Start(cfg); err == nil {
			h.Close()
			t.Errorf("%+v was taken", cfg)
		}
	}
}

// TestWithoutRoot runs the tests of this package as nobody, where they run as root.
func TestWithoutRoot(t *testing.T) {
	if !isRoot() {
		t.Skip("this is without root")
	}
	if testing.Short() {
		t.Skip("runs the tests again")
	}
	// The binary lies in a folder that only root may enter.
	exe := filepath.Join(folder(t), "test")
	content, err := os.ReadFile(ownBinary)
	if err == nil {
		err = os.WriteFile(exe, content, 0o755)
	}
	if err == nil {
		err = os.Chmod(exe, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.short", "-test.run=.")
	cmd.Env = []string{"PATH=" + searchPath, "HOME=/nonexistent", "USER=nobody", "TMPDIR=/tmp"}
	cmd.Dir = filepath.Dir(exe)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestSplit(t *testing.T) {
	for command, want := range map[string][]string{
		" /usr/bin/procmail  -t ": {"/usr/bin/procmail", "-t"},
		"exit 75":                 {"/bin/sh", "-c", "exit 75"},
		"a | b":                   {"/bin/sh", "-c", "a | b"},
		`a "b c"`:                 {"/bin/sh", "-c", `a "b c"`},
		"  ":                      nil,
	} {
		if got := Split(command); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", command, got, want)
		}
	}
}
