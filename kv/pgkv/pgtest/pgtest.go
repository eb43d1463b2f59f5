// Package pgtest runs a private PostgreSQL for a test: a cluster in a temporary directory, reached
// over a Unix socket only, owned by an ordinary user because PostgreSQL refuses to run as root.
//
// The cluster commits without waiting for its log unless a session asks for more, so that whoever
// forgets to ask loses commits when it crashes. A crash is that of the server, not of the machine:
// the page cache outlives it, so fsync is off.
package pgtest

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

const settings = `
listen_addresses = ''
fsync = off
synchronous_commit = off
shared_buffers = 32MB
max_connections = 60
log_min_messages = fatal
timezone = 'UTC'
`

// port is only part of the socket's name.
const port = "5432"

// A Cluster is a PostgreSQL. It ends with its test.
type Cluster struct {
	bin       string
	dir       string
	user      *syscall.Credential // to run as; nil is this process's
	databases int
}

// Start makes and starts a cluster. Without PostgreSQL the test is skipped, or fails when
// POSTHASTE_REQUIRE_PEERS is 1.
func Start(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{bin: programs(t)}
	c.owner(t)
	c.run(t, "initdb", "-D", c.data(), "-U", "posthaste", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	conf := filepath.Join(c.data(), "postgresql.conf")
	if err := appendTo(conf, settings+"unix_socket_directories = '"+c.dir+"'\n"); err != nil {
		t.Fatal(err)
	}
	c.Resume(t)
	t.Cleanup(func() { c.Crash(t) })
	return c
}

// Database returns the URL of an empty database. It is a schema, which takes less time to make.
func (c *Cluster) Database(t testing.TB) string {
	t.Helper()
	c.databases++
	name := fmt.Sprintf("test%d", c.databases)
	conn, err := pgx.Connect(t.Context(), URL(c.dir, "public"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "CREATE SCHEMA "+name); err != nil {
		t.Fatal(err)
	}
	return URL(c.dir, name)
}

// URL names a schema of the database behind the socket in dir.
func URL(dir, schema string) string {
	return "postgres://posthaste@/postgres?host=" + dir + "&port=" + port + "&search_path=" + schema
}

// Socket returns the path of the server's socket.
func (c *Cluster) Socket() string { return SocketIn(c.dir) }

// SocketIn returns the path that a server's socket in dir has.
func SocketIn(dir string) string { return filepath.Join(dir, ".s.PGSQL."+port) }

// Crash kills the server, which has no time to write anything. It may be down already.
func (c *Cluster) Crash(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(c.data(), "postmaster.pid")); err == nil {
		c.run(t, "pg_ctl", "stop", "-D", c.data(), "-m", "immediate", "-w")
	}
}

// Resume starts the server, which recovers. It may be up already.
func (c *Cluster) Resume(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(c.data(), "postmaster.pid")); err != nil {
		c.run(t, "pg_ctl", "start", "-D", c.data(), "-w", "-l", filepath.Join(c.dir, "log"))
	}
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

// programs finds the directory of the programs; Debian keeps them out of the path, or links some.
func programs(t testing.TB) string {
	t.Helper()
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path)
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		const missing = "PostgreSQL is not installed: sh scripts/install-peers.sh installs it"
		if os.Getenv("POSTHASTE_REQUIRE_PEERS") == "1" {
			t.Fatal(missing + ", and POSTHASTE_REQUIRE_PEERS is set")
		}
		t.Skip("SKIPPED PEER: " + missing)
	}
	return filepath.Dir(slices.Max(found))
}

// owner makes the directory of the cluster for the user that it runs as. The directory has a short
// name, because that of a socket in it may have 107 bytes.
func (c *Cluster) owner(t testing.TB) {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		t.Fatal(err)
	}
	c.dir = dir
	t.Cleanup(func() { os.RemoveAll(dir) })
	if os.Getuid() != 0 {
		return
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		t.Fatalf("PostgreSQL does not run as root, and there is no other user for it: %v", err)
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	c.user = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		t.Fatal(err)
	}
	// Whoever a node becomes must reach the socket.
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

// run runs a program of PostgreSQL to its end. Its output goes to a file, which the server it may
// start inherits.
func (c *Cluster) run(t testing.TB, name string, args ...string) {
	t.Helper()
	out, err := os.CreateTemp(c.dir, name+"-")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.user}
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(out.Name())
		log, _ := os.ReadFile(filepath.Join(c.dir, "log"))
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, said, log)
	}
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprint(f, text); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
