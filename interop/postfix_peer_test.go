package interop

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A postfix is Debian's Postfix, run from the folder it was unpacked into and never installed. It
// takes mail for south.test into Maildirs and hands all other mail to a relay.
type postfix struct {
	root    string // of the unpacked package
	dir     string // of this instance
	port    int
	main    string // more of main.cf
	master  string // more of master.cf
	process *exec.Cmd
	ended   chan error
}

const (
	postfixHost = "mx.south.test"
	cleo        = "cleo@south.test"
	dan         = "dan@south.test"
	jürgen      = "jürgen@" // here and there
)

// peersDir is where scripts/install-peers.sh unpacks packages.
func peersDir() string {
	if dir := os.Getenv("POSTHASTE_PEERS"); dir != "" {
		return dir
	}
	cache, _ := os.UserCacheDir()
	return filepath.Join(cache, "posthaste", "peers")
}

// preparePostfix finds the unpacked Postfix and makes the folders of an instance.
func preparePostfix(t *testing.T) *postfix {
	t.Helper()
	root := filepath.Join(peersDir(), "postfix")
	if os.Getuid() != 0 {
		missing(t, "Postfix", "starts as root only, and this test is not root")
	}
	if _, err := os.Stat(filepath.Join(root, "usr/lib/postfix/sbin/master")); err != nil {
		missing(t, "Postfix", "is not in "+root+": sh scripts/install-peers.sh unpacks it there")
	}
	// Not t.TempDir, which other users may not enter.
	dir, err := os.MkdirTemp("", "posthaste-postfix-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	return &postfix{root: root, dir: dir, port: freePort(t)}
}

// freePort returns a port that nobody listens on now.
func freePort(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// start runs Postfix with the certificates of w, and its MX as relay.
func (p *postfix) start(t *testing.T, w *site) {
	t.Helper()
	owner, group := p.identities(t)
	must(t, os.Mkdir(filepath.Join(p.dir, "etc"), 0o755))
	w.issue(t, p.dir, postfixHost)
	writeFile(t, filepath.Join(p.dir, "ca.pem"), string(w.ca.PEM()))
	p.makeFolders(t, owner)
	p.configure(t, owner, group, w.port("mx"))
	p.process = exec.Command(filepath.Join(p.root, "usr/lib/postfix/sbin/master"), "-d", "-c", filepath.Join(p.dir, "etc"))
	p.process.Env = []string{"PATH=" + os.Getenv("PATH"), "LD_LIBRARY_PATH=" + p.libraries()}
	output := &strings.Builder{}
	p.process.Stdout, p.process.Stderr = output, output
	p.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, p.process.Start())
	p.ended = make(chan error, 1)
	go func() { p.ended <- p.process.Wait() }()
	t.Cleanup(func() { p.stop(t) })
	eventually(t, "Postfix listens", func() bool {
		select {
		case err := <-p.ended:
			p.ended <- err
			t.Fatalf("Postfix ended: %v\n%s\n%s", err, output, p.log())
		default:
		}
		conn, err := net.Dial("tcp", p.address())
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

func (p *postfix) stop(t *testing.T) {
	p.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(shutdown):
		t.Errorf("Postfix has not ended %v after SIGTERM", shutdown)
	}
	// Its daemons share the master's process group.
	if err := syscall.Kill(-p.process.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Errorf("end Postfix: %v", err)
	}
	if t.Failed() {
		t.Logf("log of Postfix:\n%s", p.log())
	}
}

func (p *postfix) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }

// log returns what Postfix logged, without the inner life of its verbose client.
func (p *postfix) log() string {
	text, _ := os.ReadFile(filepath.Join(p.dir, "log/maillog"))
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		_, said, verbose := strings.Cut(line, " postfix/smtp[")
		if !verbose || strings.Contains(said, "]: < ") || strings.Contains(said, "]: > ") || strings.Contains(said, "status=") ||
			strings.Contains(said, "PIPELINING") || strings.Contains(said, "TLS connection") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func (p *postfix) libraries() string {
	return filepath.Join(p.root, "usr/lib/postfix")
}

// identities returns a user and a group that Postfix may use and that nobody else does: its own where
// the package was installed once, else two that every Debian has.
func (p *postfix) identities(t *testing.T) (owner *user.User, group *user.Group) {
	t.Helper()
	var err error
	for _, name := range []string{"postfix", "uucp"} {
		if owner, err = user.Lookup(name); err == nil {
			break
		}
	}
	for _, name := range []string{"postdrop", "proxy"} {
		if group, err = user.LookupGroup(name); err == nil {
			break
		}
	}
	if owner == nil || group == nil {
		missing(t, "Postfix", "needs a user postfix or uucp, and a group postdrop or proxy")
	}
	return owner, group
}

// makeFolders makes the queue and the Maildirs, as `postfix check` would.
func (p *postfix) makeFolders(t *testing.T, owner *user.User) {
	t.Helper()
	uid, _ := strconv.Atoi(owner.Uid)
	folders := func(mode os.FileMode, uid int, names ...string) {
		for _, name := range names {
			path := filepath.Join(p.dir, name)
			must(t, os.MkdirAll(path, mode))
			must(t, os.Chmod(path, mode))
			must(t, os.Chown(path, uid, -1))
		}
	}
	folders(0o755, 0, "log", "queue", "queue/pid")
	folders(0o700, uid, "data", "queue/active", "queue/bounce", "queue/corrupt", "queue/defer", "queue/deferred", "queue/flush",
		"queue/hold", "queue/incoming", "queue/private", "queue/saved", "queue/trace")
	folders(0o730, uid, "queue/maildrop")
	folders(0o710, uid, "queue/public")
	folders(0o700, uid, "mail")
}

func (p *postfix) configure(t *testing.T, owner *user.User, group *user.Group, relayPort string) {
	t.Helper()
	writeFile(t, filepath.Join(p.dir, "etc/main.cf"), strings.NewReplacer("$DIR", p.dir, "$ROOT", p.root, "$HOST", postfixHost,
		"$OWNER", owner.Username, "$UID", owner.Uid, "$GID", owner.Gid, "$GROUP", group.Name, "$RELAY", "[127.0.0.1]:"+relayPort,
		"$CLEO", cleo, "$DAN", dan, "$MX", host).Replace(overridden(mainCF, p.main)))
	writeFile(t, filepath.Join(p.dir, "etc/master.cf"), fmt.Sprintf(masterCF, p.address())+p.master)
	for _, name := range []string{"etc/main.cf", "etc/master.cf", "ca.pem", postfixHost + ".crt"} {
		must(t, os.Chmod(filepath.Join(p.dir, name), 0o644))
	}
}

// overridden returns settings with those in more taking the place of others of the same name. A name that
// is set twice makes all of Postfix warn, postlogd too, which then may wait for itself for ever.
func overridden(settings, more string) string {
	name := func(line string) string { return strings.TrimSpace(strings.SplitN(line, "=", 2)[0]) }
	set := map[string]bool{}
	for line := range strings.Lines(more) {
		set[name(line)] = true
	}
	var b strings.Builder
	for line := range strings.Lines(settings) {
		if strings.TrimSpace(line) == "" || !set[name(line)] {
			b.WriteString(line)
		}
	}
	return b.String() + more
}

// received returns the messages that Postfix has put into the Maildir of an address.
func (p *postfix) received(t *testing.T, address string) []string {
	t.Helper()
	local, _, _ := strings.Cut(address, "@")
	files, err := filepath.Glob(filepath.Join(p.dir, "mail", local, "new", "*"))
	must(t, err)
	slices.Sort(files) // names begin with the time
	var all []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(t, err)
		all = append(all, string(text))
	}
	return all
}

// wait returns the messages of an address once there are n.
func (p *postfix) wait(t *testing.T, address string, n int) []string {
	t.Helper()
	eventually(t, "Postfix delivers to "+address, func() bool { return len(p.received(t, address)) >= n })
	return p.received(t, address)
}

const mainCF = `compatibility_level = 3.6
queue_directory = $DIR/queue
data_directory = $DIR/data
daemon_directory = $ROOT/usr/lib/postfix/sbin
command_directory = $ROOT/usr/sbin
shlib_directory = $ROOT/usr/lib/postfix
meta_directory = $ROOT/etc/postfix
import_environment = MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME LD_LIBRARY_PATH
mail_owner = $OWNER
setgid_group = $GROUP
default_privs = nobody
maillog_file = $DIR/log/maillog
maillog_file_prefixes = $DIR
default_database_type = inline
alias_maps =
alias_database =

myhostname = $HOST
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
message_size_limit = 20000000
smtpd_peername_lookup = no
smtputf8_enable = yes
minimal_backoff_time = 2s
queue_run_delay = 2s

virtual_mailbox_domains = south.test
virtual_mailbox_maps = inline:{$CLEO=cleo/, $DAN=dan/, jürgen@south.test=jürgen/}
virtual_mailbox_base = $DIR/mail
virtual_uid_maps = static:$UID
virtual_gid_maps = static:$GID
virtual_minimum_uid = 1

smtpd_tls_security_level = may
smtpd_tls_cert_file = $DIR/$HOST.crt
smtpd_tls_key_file = $DIR/$HOST.key
smtpd_tls_received_header = yes
smtpd_tls_loglevel = 1
smtpd_relay_restrictions = permit_mynetworks, reject

relayhost = $RELAY
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtp_tls_security_level = secure
smtp_tls_secure_cert_match = $MX
smtp_tls_CAfile = $DIR/ca.pem
smtp_tls_loglevel = 1
`

// masterCF holds the services that take part; smtp is verbose so that its log shows what it used.
const masterCF = `%s inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp -v
relay unix - - n - - smtp -v
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`
