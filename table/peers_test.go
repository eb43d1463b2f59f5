package table_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"posthaste/kv/pgkv/pgtest"
	"posthaste/table"
)

// patience bounds each wait for a program of others.
const patience = 20 * time.Second

// eventually asks again and again until done. Programs of others cannot be woken; they are watched.
func eventually(t *testing.T, what string, done func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for {
		err := done()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("still not after %v: %s: %v", patience, what, err)
		}
	}
}

// program finds a program of others; the test skips without it, or fails with POSTHASTE_REQUIRE_PEERS.
func program(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	what := names[0] + " is not installed: sh scripts/install-peers.sh installs it"
	if os.Getenv("POSTHASTE_REQUIRE_PEERS") == "1" {
		t.Fatal(what + ", and POSTHASTE_REQUIRE_PEERS is set")
	}
	t.Skip("SKIPPED PEER: " + what)
	return ""
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

// A child is a server of others, run as a child of the test.
type child struct {
	args []string
	user *syscall.Credential
	cmd  *exec.Cmd
}

func (c *child) start(t *testing.T) {
	t.Helper()
	c.cmd = exec.Command(c.args[0], c.args[1:]...)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.user, Pdeathsig: syscall.SIGKILL}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
}

func (c *child) kill() {
	c.cmd.Process.Kill()
	c.cmd.Wait()
}

// ordinary returns an ordinary user, or nil where the test runs as one, who owns dir afterwards.
func ordinary(t *testing.T, dir, name string) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// shortDir returns a directory that other users may enter, with a name short enough for a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tabletest-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// opened opens the one table that d defines, with nothing remembered.
func opened(t *testing.T, d table.Definition) (*table.Set, table.Table) {
	t.Helper()
	d.Name, d.TTL, d.NegativeTTL = "test", -1, -1
	set, err := table.New(table.Config{Definitions: []table.Definition{d}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set.Close() })
	got, err := set.Open(d.Type + ":test")
	if err != nil {
		t.Fatal(err)
	}
	return set, got
}

func gives(t *testing.T, from table.Table, key, want string) {
	t.Helper()
	if got, found, err := from.Lookup(t.Context(), key); err != nil || got != want || found != (want != "") {
		t.Errorf("%s is %q, %v, %v; want %q", key, got, found, err, want)
	}
}

// survives checks what must be true of every server: while it is down lookups are errors, and when it
// is up again they work.
func survives(t *testing.T, from table.Table, key, want string, kill, start func()) {
	t.Helper()
	gives(t, from, key, want)
	kill()
	for _, k := range []string{key, "nobody@example.org"} {
		if value, found, err := from.Lookup(t.Context(), k); err == nil {
			t.Errorf("with a dead server %s is %q, found %v; want an error", k, value, found)
		}
	}
	start()
	eventually(t, "a lookup works again", func() error { _, _, err := from.Lookup(t.Context(), key); return err })
	gives(t, from, key, want)
}

const rows = `CREATE TABLE users (address varchar(200), target varchar(200), n int);
INSERT INTO users VALUES ('ann@example.org','ann@host',1),('two@example.org','one',2),('two@example.org','other',3),
 ('null@example.org',NULL,4),('o''brien@example.org','quoted',5),('@example.org','catch-all',6),('100%@example.org','percent',7);`

// hostile are keys that would change a query into which they were spliced.
var hostile = []string{"x' OR '1'='1", `x\' OR 1=1 -- `, "x'; DROP TABLE users; --", "%", "*", "x)(mail=*", `"`, `\`}

func sqlTable(t *testing.T, url string, kill, start func()) {
	set, users := opened(t, table.Definition{Type: "sql", URL: url, Query: "SELECT target FROM users WHERE address = %s ORDER BY n"})
	if err := set.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"ann@example.org": "ann@host", "ANN@example.org": "ann@host", "two@example.org": "one,other", "null@example.org": "",
		"nobody@example.org": "", "o'brien@example.org": "quoted", "100%@example.org": "percent",
	} {
		gives(t, users, key, want)
	}
	for _, key := range hostile {
		gives(t, users, key, "")
	}
	gives(t, users, "ann@example.org", "ann@host") // the table is still there

	_, postfix := opened(t, table.Definition{Type: "sql", URL: url, Query: "SELECT target FROM users WHERE address = '%u@%d' OR n = 0"})
	gives(t, postfix, "ann@example.org", "ann@host")
	gives(t, postfix, "ann", "")
	gives(t, postfix, "x' or '1'='1@example.org", "")
	_, domain := opened(t, table.Definition{Type: "sql", URL: url, Query: "SELECT target FROM users WHERE address = '@%d'"})
	gives(t, domain, "somebody@example.org", "catch-all")

	wrong, _ := opened(t, table.Definition{Type: "sql", URL: url, Query: "SELECT nothing FROM users WHERE address = %s"})
	if err := wrong.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "sql:test") {
		t.Errorf("Check of a wrong query: %v", err)
	}
	survives(t, users, "ann@example.org", "ann@host", kill, start)
}

func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t)
	url := cluster.Database(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "SET synchronous_commit = on; "+rows); err != nil {
		t.Fatal(err)
	}
	sqlTable(t, url, func() { cluster.Crash(t) }, func() { cluster.Resume(t) })
}

func TestMariaDB(t *testing.T) {
	t.Parallel()
	install, daemon := program(t, "mariadb-install-db"), program(t, "mariadbd")
	client := program(t, "mariadb")
	dir := shortDir(t)
	owner := ordinary(t, dir, "mysql")
	data, socket, port := filepath.Join(dir, "data"), filepath.Join(dir, "s"), freePort(t)
	prepare := exec.Command(install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
	prepare.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	if out, err := prepare.CombinedOutput(); err != nil {
		t.Fatalf("mariadb-install-db: %v\n%s", err, out)
	}
	server := &child{user: owner, args: []string{
		daemon, "--no-defaults", "--datadir=" + data, "--socket=" + socket, "--port=" + port, "--bind-address=127.0.0.1",
		"--pid-file=" + filepath.Join(dir, "pid"), "--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=2", "--log-error=" + filepath.Join(dir, "log"),
	}}
	run := func(text string) error {
		out, err := exec.Command(client, "--no-defaults", "-uroot", "--socket="+socket, "-e", text).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	server.start(t)
	eventually(t, "MariaDB answers", func() error { return run("SELECT 1") })
	if err := run("CREATE DATABASE mail; USE mail; " + rows + "CREATE USER 'ph'@'127.0.0.1' IDENTIFIED BY 'p@ss'; GRANT SELECT ON mail.* TO 'ph'@'127.0.0.1';"); err != nil {
		t.Fatal(err)
	}
	_, bySocket := opened(t, table.Definition{Type: "sql", URL: "mariadb://root@/mail?socket=" + socket, Query: `SELECT target FROM users WHERE address = "%s"`})
	gives(t, bySocket, "ann@example.org", "ann@host")
	gives(t, bySocket, `" OR "1"="1`, "")
	sqlTable(t, "mysql://ph:p%40ss@127.0.0.1:"+port+"/mail", server.kill, func() { server.start(t) })
}

const ldapUsers = `dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: cn=Ann,dc=example,dc=org
objectClass: inetOrgPerson
cn: Ann
sn: Ann
mail: ann@example.org
description: ann@host
description: second

dn: cn=Star,dc=example,dc=org
objectClass: inetOrgPerson
cn: Star
sn: Star
mail: *@example.org
description: star
`

func TestOpenLDAP(t *testing.T) {
	t.Parallel()
	slapd, slapadd := program(t, "slapd", "/usr/sbin/slapd"), program(t, "slapadd", "/usr/sbin/slapadd")
	dir := t.TempDir()
	conf, ldif, data := filepath.Join(dir, "conf"), filepath.Join(dir, "ldif"), filepath.Join(dir, "data")
	text := "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\ninclude /etc/ldap/schema/inetorgperson.schema\n" +
		"modulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile " + dir + "/pid\ndatabase mdb\nsuffix \"dc=example,dc=org\"\n" +
		"rootdn \"cn=admin,dc=example,dc=org\"\nrootpw secret\ndirectory " + data + "\nmaxsize 10485760\n"
	for path, text := range map[string]string{conf: text, ldif: ldapUsers} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(slapadd, "-f", conf, "-l", ldif).CombinedOutput(); err != nil {
		t.Fatalf("slapadd: %v\n%s", err, out)
	}
	url := "ldap://127.0.0.1:" + freePort(t)
	server := &child{args: []string{slapd, "-h", url, "-f", conf, "-d", "0"}}
	server.start(t)
	d := table.Definition{
		Type: "ldap", URL: url, Query: "(mail=%s)", Base: "dc=example,dc=org", Attribute: "description",
		User: "cn=admin,dc=example,dc=org", Password: "secret",
	}
	set, users := opened(t, d)
	eventually(t, "slapd answers", func() error { return set.Check(t.Context()) })
	gives(t, users, "ann@example.org", "ann@host,second")
	gives(t, users, "*@example.org", "star")
	gives(t, users, "nobody@example.org", "")
	for _, key := range hostile {
		gives(t, users, key, "")
	}
	d.Base, d.Query, d.Scope = "cn=%u,dc=example,dc=org", "(objectClass=*)", "base"
	_, byName := opened(t, d)
	gives(t, byName, "ann@anywhere", "ann@host,second")
	gives(t, byName, "bob,dc=x@anywhere", "")
	d.Password = "wrong"
	if _, bad := opened(t, d); bad != nil {
		if _, _, err := bad.Lookup(t.Context(), "ann@anywhere"); err == nil {
			t.Error("a wrong password goes unnoticed")
		}
	}
	survives(t, users, "ann@example.org", "ann@host,second", server.kill, func() { server.start(t) })
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	answers := map[string]string{"ann@example.org": " ann@host\r\n\nother \n", "a b&c/d?@x": "escaped", "empty": "\n", "long": strings.Repeat("x", 64<<10+1)}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.URL.Query().Get("key")
		value, found := answers[key]
		switch {
		case r.Header.Get("Authorization") != "Bearer token":
			w.WriteHeader(http.StatusUnauthorized)
		case key == "broken":
			w.WriteHeader(http.StatusInternalServerError)
		case key == "moved":
			http.Redirect(w, r, "/?key=ann@example.org", http.StatusFound)
		case !found:
			w.WriteHeader(http.StatusNotFound)
		default:
			fmt.Fprint(w, value)
		}
	})
	server := httptest.NewServer(handler)
	address := server.Listener.Addr().String()
	d := table.Definition{Type: "http", URL: server.URL + "/?key=%s", Password: "token"}
	_, users := opened(t, d)
	gives(t, users, "a b&c/d?@x", "escaped")
	gives(t, users, "empty", "")
	gives(t, users, "nobody", "")
	for _, key := range []string{"broken", "moved", "long"} {
		if value, found, err := users.Lookup(t.Context(), key); err == nil {
			t.Errorf("%s gives %q, %v, want an error", key, value, found)
		}
	}
	survives(t, users, "ann@example.org", "ann@host,other", server.Close, func() {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		server = &httptest.Server{Listener: ln, Config: &http.Server{Handler: handler}}
		server.Start()
		t.Cleanup(server.Close)
	})
	d.Password = ""
	if _, _, err := second(opened(t, d)).Lookup(t.Context(), "ann@example.org"); err == nil {
		t.Error("401 is taken for an answer")
	}
}

func second(_ *table.Set, t table.Table) table.Table { return t }
