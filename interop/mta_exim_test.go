package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// An exim is Debian's Exim 4 (exim4-daemon-heavy).
type exim struct {
	*private
	t traits
}

func newExim(t *testing.T) mta {
	t.Helper()
	e := &exim{private: preparePrivate(t, "Exim", "usr/sbin/exim4", "Debian-exim")}
	e.t = traits{domain: "exim.test", host: "mx.exim.test", dir: e.dir, port: freePort(t), login: freePort(t),
		utf8: true, pipelining: true, pipelines: true, chunking: true, chunks: true}
	return e
}

func (e *exim) traits() traits { return e.t }

func (e *exim) start(t *testing.T, w *site, users []string, hops []hop) {
	t.Helper()
	cert, key := w.issue(t, e.dir, e.t.host)
	for _, name := range []string{"spool", "log"} {
		must(t, os.Mkdir(filepath.Join(e.dir, name), 0o755))
	}
	for _, name := range []string{"spool", "log", "mail", filepath.Base(cert), filepath.Base(key)} {
		must(t, os.Chown(filepath.Join(e.dir, name), firstUID, firstUID))
	}
	e.write(t, "ca.pem", string(w.ca.PEM()))
	var names, routers, transports strings.Builder
	for _, user := range users {
		fmt.Fprintf(&names, "%s: %s\n", user, user)
	}
	e.write(t, "users", names.String())
	for _, h := range hops {
		fmt.Fprintf(&routers, "%s:\n  driver = manualroute\n  domains = %s\n  local_parts = ann+%s\n  route_list = * %s byname\n  self = send\n  transport = %s\n",
			h.name, domain, h.name, host, h.name)
		transports.WriteString(e.transport(h))
	}
	e.write(t, "etc/exim4/exim4.conf", template(t, "exim.conf", "$DIR", e.dir, "$HOST", e.t.host, "$DOMAIN", e.t.domain, "$PORT", strconv.Itoa(e.t.port),
		"$LOGIN", strconv.Itoa(e.t.login), "$PASSWORD", peerPassword, "$ACCOUNTPASSWORD", password, "$ACCOUNT", ann,
		"$ROUTERS", routers.String(), "$TRANSPORTS", transports.String(), "$MXPORT", w.port("mx"), "$MX", host))
	e.run(t, e.t.port, "/usr/sbin/exim4", "-bdf", "-q1s")
}

// transport returns the configuration of the one of a hop.
func (e *exim) transport(h hop) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:\n  driver = smtp\n  port = %d\n  message_linelength_limit = 100000\n", h.name, h.port)
	if h.source != "" {
		fmt.Fprintf(&b, "  interface = %s\n", h.source)
	}
	if h.helo != "" {
		fmt.Fprintf(&b, "  helo_data = %s\n", h.helo)
	}
	if h.login {
		fmt.Fprintf(&b, "  hosts_require_auth = *\n  hosts_require_tls = *\n  tls_verify_certificates = %s/ca.pem\n  tls_verify_hosts = *\n  tls_verify_cert_hostnames = *\n", e.dir)
	}
	return b.String()
}

func (e *exim) log() string {
	var b strings.Builder
	for _, name := range []string{"mainlog", "rejectlog", "paniclog"} {
		text, _ := os.ReadFile(filepath.Join(e.dir, "log", name))
		b.Write(text)
	}
	return b.String() + e.output.String()
}

func (e *exim) waiting() int { return filesBelow(filepath.Join(e.dir, "spool/input")) }

func (e *exim) hurry() {} // its queue runs every second
