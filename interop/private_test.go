package interop

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// privateScript shows the files of a package and of an instance at the places that are compiled into its
// programs, to a process and its children alone.
const privateScript = `set -e
dir=$1 package=$2; shift 2
mount -t overlay -o "lowerdir=$dir/etc:/etc" overlay /etc
mount -t overlay -o "lowerdir=$package/usr:/usr" overlay /usr
mount --bind "$dir/var" /var
exec "$@"`

// A private daemon is an unpacked one that believes to be installed: it has users, folders below /etc,
// /usr and /var of its own, in a mount namespace.
type private struct {
	name    string
	root    string // of the unpacked package
	dir     string // of this instance
	process *exec.Cmd
	ended   chan error
	output  syncBuffer
}

// A syncBuffer may be read while a process writes.
type syncBuffer struct {
	mu   sync.Mutex // guards what follows
	text bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// preparePrivate finds an unpacked package, makes the folders of an instance and the system's users
// with those named added.
func preparePrivate(t *testing.T, name, program string, users ...string) *private {
	t.Helper()
	p := &private{name: name, root: filepath.Join(peersDir(), strings.ToLower(name))}
	if os.Getuid() != 0 {
		missing(t, name, "starts as root only, and this test is not root")
	}
	if _, err := os.Stat(filepath.Join(p.root, program)); err != nil {
		missing(t, name, "is not in "+p.root+": sh scripts/install-peers.sh unpacks it there")
	}
	p.dir = openFolder(t, "posthaste-"+strings.ToLower(name)+"-")
	for _, folder := range []string{"etc", "var/spool", "var/run", "var/tmp", "mail"} {
		must(t, os.MkdirAll(filepath.Join(p.dir, folder), 0o755))
	}
	p.addUsers(t, users)
	p.write(t, "etc/hosts", "127.0.0.1 localhost "+host+"\n")
	if out, err := exec.Command("unshare", p.arguments("true")...).CombinedOutput(); err != nil {
		missing(t, name, "needs a mount namespace with overlays, which this machine does not give: "+string(out))
	}
	return p
}

// openFolder makes a folder that, unlike t.TempDir, other users may enter.
func openFolder(t *testing.T, pattern string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", pattern)
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	return dir
}

// firstUID is that of the first user that is added; no system uses it.
const firstUID = 64001

func (p *private) addUsers(t *testing.T, users []string) {
	t.Helper()
	for _, file := range []string{"passwd", "group"} {
		text, err := os.ReadFile("/etc/" + file)
		must(t, err)
		for i, user := range users {
			id := strconv.Itoa(firstUID + i)
			if file == "passwd" {
				text = append(text, user+":x:"+id+":"+id+"::/nonexistent:/bin/false\n"...)
			} else {
				text = append(text, user+":x:"+id+":\n"...)
			}
		}
		p.write(t, "etc/"+file, string(text))
	}
}

// write writes a file of the instance that everybody may read.
func (p *private) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(p.dir, name)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

func (p *private) arguments(args ...string) []string {
	return append([]string{"-m", "--propagation", "private", "sh", "-c", privateScript, "sh", p.dir, p.root}, args...)
}

// run starts the daemon, which ends with the test, and returns when it listens on port.
func (p *private) run(t *testing.T, port int, args ...string) {
	t.Helper()
	p.process = exec.Command("unshare", p.arguments(args...)...)
	p.process.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}
	p.process.Stdout, p.process.Stderr = &p.output, &p.output
	p.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, p.process.Start())
	p.ended = make(chan error, 1)
	go func() { p.ended <- p.process.Wait() }()
	t.Cleanup(func() { p.stop(t) })
	eventually(t, p.name+" listens", func() bool {
		select {
		case err := <-p.ended:
			p.ended <- err
			t.Fatalf("%s ended: %v\n%s", p.name, err, p.output.String())
		default:
		}
		return listens(port)
	})
}

func (p *private) stop(t *testing.T) {
	p.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(shutdown):
		t.Errorf("%s has not ended %v after SIGTERM", p.name, shutdown)
	}
	if err := syscall.Kill(-p.process.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Errorf("end %s: %v", p.name, err)
	}
}

// command runs a program where the daemon runs, as root with the group of a user that was added.
func (p *private) command(group int, args ...string) string {
	cmd := exec.Command("nsenter", append([]string{"-m", "-t", strconv.Itoa(p.process.Process.Pid)}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Gid: uint32(firstUID + group)}}
	out, _ := cmd.CombinedOutput()
	return string(out)
}
