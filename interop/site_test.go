package interop

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"posthaste/cert"
	"posthaste/dns/dnstest"
)

const (
	domain   = "north.test"
	host     = "mx.north.test"
	ann      = "ann@north.test"
	bob      = "bob@north.test"
	password = `correct horse "battery"`
)

// shutdown is how long a node may take to drain and end.
const shutdown = 20 * time.Second

// A site is a posthaste process that serves north.test with accounts ann and bob.
type site struct {
	dir     string
	config  string   // path of its configuration
	within  []string // command that runs another where the node lives, such as in a mount namespace; nil: here
	env     []string // of the node, besides ours
	ca      *cert.CA
	caFile  string
	dns     *dnstest.Server
	log     *nodeLog
	process *exec.Cmd
	ended   chan error
}

// settings are what differs between sites.
type settings struct {
	remotePort int    // of other hosts; 0 stands for 25
	smtp       string // TOML of section smtp
	dir        string // of its files; empty: a new one
	extra      string // TOML after all else, such as further listeners
}

// newSite starts a site; it ends with the test, which fails unless it ends well.
func newSite(t *testing.T, s settings) *site {
	t.Helper()
	w := prepareSite(t, s)
	w.start(t)
	w.cli(t, "domain", "add", domain)
	for _, address := range []string{ann, bob} {
		w.cliInput(t, password+"\n", "account", "add", address, "--password-stdin")
	}
	return w
}

// prepareSite makes name server, certificates and configuration, and starts nothing.
func prepareSite(t *testing.T, s settings) *site {
	t.Helper()
	if s.dir == "" {
		s.dir = t.TempDir()
	}
	w := &site{dir: s.dir, log: &nodeLog{addresses: map[string]string{}}}
	w.serveDNS(t)
	w.certify(t)
	if s.remotePort == 0 {
		s.remotePort = 25
	}
	text := fmt.Sprintf(`hostname = %q
data = %q
[log]
format = "json"
[tls]
certificate = { cert = %q, key = %q }
[dns]
servers = [%q]
[remote]
port = %d
[queue]
retry = "500ms"
retry_max = "1s"
[smtp]
proxy_networks = ["127.0.0.0/8"]
%s`, host, filepath.Join(w.dir, "data"), filepath.Join(w.dir, host+".crt"), filepath.Join(w.dir, host+".key"), w.dns.Address(), s.remotePort, s.smtp)
	for _, service := range []string{"mx", "submission", "submissions", "lmtp", "imap", "imaps", "pop3", "pop3s"} {
		text += fmt.Sprintf("[[listen]]\nservice = %q\naddress = \"127.0.0.1:0\"\n", service)
	}
	w.config = writeFile(t, filepath.Join(w.dir, "posthaste.toml"), text+s.extra)
	return w
}

func (w *site) serveDNS(t *testing.T) {
	w.dns = dnstest.New()
	w.dns.Host(host, "127.0.0.1")
	w.dns.MX(domain, 10, host)
	must(t, w.dns.Listen("127.0.0.1:0"))
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { w.dns.Serve(ctx) })
	t.Cleanup(func() { cancel(); serving.Wait() })
}

func (w *site) certify(t *testing.T) {
	var err error
	w.ca, err = cert.NewCA("Posthaste interoperation tests")
	must(t, err)
	w.caFile = writeFile(t, filepath.Join(w.dir, "ca.pem"), string(w.ca.PEM()))
	w.issue(t, w.dir, host)
}

// issue writes NAME.crt and NAME.key into dir, for the name, localhost and 127.0.0.1.
func (w *site) issue(t *testing.T, dir, name string) (certFile, keyFile string) {
	t.Helper()
	issued, err := w.ca.Issue(name, "localhost", "127.0.0.1")
	must(t, err)
	chain, key, err := cert.EncodePEM(issued)
	must(t, err)
	return writeFile(t, filepath.Join(dir, name+".crt"), string(chain)), writeFile(t, filepath.Join(dir, name+".key"), string(key))
}

// start runs the node, which ends with the test, and returns when it is ready.
func (w *site) start(t *testing.T) {
	t.Helper()
	t.Cleanup(func() { w.stop(t) })
	must(t, w.run())
}

// run starts the node and returns when it is ready.
func (w *site) run() (err error) {
	args := w.posthaste("serve")
	w.process = exec.Command(args[0], args[1:]...)
	w.process.Env = append(os.Environ(), w.env...)
	if w.process.Stderr, err = w.log.open(); err != nil {
		return err
	}
	out, err := w.process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := w.process.Start(); err != nil {
		w.process = nil
		return err
	}
	w.ended = make(chan error, 1)
	ready := make(chan string, 1)
	go func(process *exec.Cmd) {
		line, _ := bufio.NewReader(out).ReadString('\n')
		ready <- line
		w.ended <- process.Wait()
	}(w.process)
	select {
	case line := <-ready:
		if line != "ready\n" {
			w.process = nil
			<-w.ended
			return fmt.Errorf("posthaste serve printed %q, not ready:\n%s", line, w.log)
		}
		return nil
	case <-time.After(patience):
		return fmt.Errorf("posthaste serve is not ready after %v:\n%s", patience, w.log)
	}
}

// stop ends the node and checks that it ends well.
func (w *site) stop(t *testing.T) {
	if err := w.end(); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		t.Logf("log of the node:\n%s", w.log)
	}
}

// end ends the node, where it runs, as an operator does. It returns an error unless the node ended in
// time, with success and without having logged anything that an operator must act on.
func (w *site) end() error {
	if w.process == nil {
		return nil
	}
	process := w.process.Process
	w.process = nil
	process.Signal(syscall.SIGTERM)
	var err error
	select {
	case err = <-w.ended:
	case <-time.After(shutdown):
		process.Kill()
		err = fmt.Errorf("not ended %v after SIGTERM: %w", shutdown, <-w.ended)
	}
	if err != nil || w.log.alarming() {
		return fmt.Errorf("posthaste serve: %v\n%s", err, w.log)
	}
	return nil
}

// cli runs an administrative command that must succeed.
func (w *site) cli(t *testing.T, args ...string) string {
	t.Helper()
	return w.cliInput(t, "", args...)
}

func (w *site) cliInput(t *testing.T, input string, args ...string) string {
	t.Helper()
	return command{args: w.posthaste(args...), stdin: input}.succeed(t)
}

// posthaste returns a command line of the binary under test.
func (w *site) posthaste(args ...string) []string {
	return slices.Concat(w.within, []string{binary, "--config", w.config}, args)
}

// address returns where a service listens, "127.0.0.1:4711".
func (w *site) address(service string) string {
	return w.log.address(service)
}

// port returns the port that a service listens on.
func (w *site) port(service string) string {
	_, port, _ := net.SplitHostPort(w.address(service))
	return port
}

// url returns the URL of a service, as "imaps://localhost:4711/".
func (w *site) url(scheme, service string) string {
	return scheme + "://localhost:" + w.port(service) + "/"
}

// clientTLS is for Go's own clients.
func (w *site) clientTLS() *tls.Config {
	return &tls.Config{RootCAs: w.ca.Pool(), ServerName: host, MinVersion: tls.VersionTLS12}
}

// A nodeLog keeps the log of a node and learns from it where services listen. The node writes it into a
// file, so that all is there which was logged before something else could be seen of the node.
type nodeLog struct {
	mu        sync.Mutex // guards what follows
	file      *os.File   // without a name; nil: no node ran yet
	text      bytes.Buffer
	addresses map[string]string // the last listener of each service
}

// open returns the file.
func (l *nodeLog) open() (*os.File, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		return l.file, nil
	}
	file, err := os.CreateTemp("", "posthaste-log-")
	if err != nil {
		return nil, err
	}
	l.file = file
	return file, os.Remove(file.Name())
}

// read takes the lines of JSON that were logged meanwhile. The caller holds mu.
func (l *nodeLog) read() {
	if l.file == nil {
		return
	}
	at := int64(l.text.Len())
	fresh, err := io.ReadAll(io.NewSectionReader(l.file, at, 1<<40))
	if err != nil {
		panic(err) // a file of our own that is open
	}
	fresh = fresh[:bytes.LastIndexByte(fresh, '\n')+1]
	l.text.Write(fresh)
	for line := range bytes.Lines(fresh) {
		var entry struct{ Msg, Service, Address string }
		if json.Unmarshal(line, &entry) == nil && entry.Msg == "listening" {
			l.addresses[entry.Service] = entry.Address
		}
	}
}

func (l *nodeLog) address(service string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.read()
	return l.addresses[service]
}

// alarming tells whether anything was logged that an operator must act on, or a panic.
func (l *nodeLog) alarming() bool {
	text := l.String()
	return strings.Contains(text, `"level":"ERROR"`) || strings.Contains(text, "panic") || strings.Contains(text, "DATA RACE")
}

// String returns the end of the log.
func (l *nodeLog) String() string {
	const most = 8 << 10
	l.mu.Lock()
	defer l.mu.Unlock()
	l.read()
	text := l.text.Bytes()
	return string(text[max(0, len(text)-most):])
}
