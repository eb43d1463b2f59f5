package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// An opensmtpd is Debian's OpenSMTPD.
type opensmtpd struct {
	*private
	t       traits
	hurried time.Time
}

func newOpenSMTPD(t *testing.T) mta {
	t.Helper()
	o := &opensmtpd{private: preparePrivate(t, "OpenSMTPD", "usr/sbin/smtpd", "opensmtpd", "opensmtpq")}
	o.t = traits{domain: "opensmtpd.test", host: "mx.opensmtpd.test", dir: o.dir, port: freePort(t), login: freePort(t), noTLS: true}
	return o
}

func (o *opensmtpd) traits() traits { return o.t }

func (o *opensmtpd) start(t *testing.T, w *site, users []string, hops []hop) {
	t.Helper()
	w.issue(t, o.dir, o.t.host)
	must(t, os.MkdirAll(filepath.Join(o.dir, "var/lib/opensmtpd/empty"), 0o755))
	must(t, os.Chown(filepath.Join(o.dir, "mail"), firstUID+1, firstUID+1))
	o.write(t, "etc/ssl/certs/ca-certificates.crt", string(w.ca.PEM())) // where it looks for authorities
	o.write(t, "etc/mailname", o.t.host+"\n")
	o.write(t, "logins", peerLogin+" "+o.encrypt(t, peerPassword)+"\n")
	o.write(t, "secrets", "site "+ann+":"+password+"\n")
	var names, actions, matches strings.Builder
	for _, user := range users {
		fmt.Fprintf(&names, "%s@%s opensmtpq\n", user, o.t.domain)
	}
	o.write(t, "users", names.String())
	for i, h := range hops {
		if h.tapped {
			// It puts off all between a pair of addresses after a broken connection.
			h.source = fmt.Sprintf("127.0.1.%d", i+1)
		}
		fmt.Fprintf(&actions, "action %q relay host %s\n", "hop-"+h.name, o.relay(h))
		fmt.Fprintf(&matches, "match from any for rcpt-to %q action %q\n", h.address(), "hop-"+h.name)
	}
	o.write(t, "smtpd.conf", template(t, "smtpd.conf", "$DIR", o.dir, "$HOST", o.t.host, "$DOMAIN", o.t.domain, "$PORT", strconv.Itoa(o.t.port),
		"$LOGIN", strconv.Itoa(o.t.login), "$ACTIONS", actions.String(), "$MATCHES", matches.String(), "$MXPORT", w.port("mx"), "$MX", host))
	o.run(t, o.t.port, "/usr/sbin/smtpd", "-d", "-v", "-f", filepath.Join(o.dir, "smtpd.conf"))
}

// encrypt hashes a password as the table of logins has it.
func (o *opensmtpd) encrypt(t *testing.T, password string) string {
	t.Helper()
	out, err := exec.Command("openssl", "passwd", "-6", password).Output()
	must(t, err)
	return strings.TrimSpace(string(out))
}

// relay returns where and how a hop leads.
func (o *opensmtpd) relay(h hop) string {
	if h.login {
		return fmt.Sprintf("\"smtp+tls://site@%s:%d\" tls auth <secrets>", host, h.port)
	}
	relay := fmt.Sprintf("\"smtp://%s:%d\"", host, h.port)
	if h.source != "" {
		relay += " src " + h.source
	}
	if h.helo != "" {
		relay += fmt.Sprintf(" helo %q", h.helo)
	}
	return relay
}

func (o *opensmtpd) log() string { return o.output.String() }

func (o *opensmtpd) waiting() int {
	spool := filepath.Join(o.dir, "var/spool/smtpd")
	return filesBelow(filepath.Join(spool, "queue"), filepath.Join(spool, "incoming"))
}

// hurry ends the long waits of the scheduler, and of routes that had a broken connection.
func (o *opensmtpd) hurry() {
	const group = 1 // opensmtpq
	if time.Since(o.hurried) < time.Second {
		return
	}
	o.hurried = time.Now()
	control := func(args ...string) string {
		return o.command(group, append([]string{"/usr/sbin/smtpctl"}, args...)...)
	}
	for line := range strings.Lines(control("show", "routes")) {
		if id, _, found := strings.Cut(line, "."); found {
			control("resume", "route", strings.TrimSpace(id))
		}
	}
	control("schedule", "all")
}
