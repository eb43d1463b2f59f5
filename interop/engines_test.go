package interop

import (
	"errors"
	"fmt"
	"net/smtp"
	"net/textproto"
	"path/filepath"
	"strings"
	"testing"

	"posthaste/filter/filtertest"
	"posthaste/filter/virus/clamdtest"
)

// An engine is a filter of others that a site asks.
type engine struct {
	name   string
	config string // TOML; %s stands for on_failure
	sign   string // what the header of mail that it saw shows; empty: nothing
	kill   func()
	start  func(t *testing.T)
}

// engines start them, by name.
var engines = map[string]func(t *testing.T) engine{
	"clamd": startClamd, "rspamd": startRspamd, "spamd": startSpamd, "opendkim": startOpendkim,
}

func startClamd(t *testing.T) engine {
	s := clamdtest.New(t, "")
	return engine{"clamd", fmt.Sprintf("[clamd]\naddress = %q\non_failure = %%q\n", s.Socket), "", s.Kill,
		func(t *testing.T) { s.Start(t) }}
}

func ofProcess(name, config, sign string, p *filtertest.Process) engine {
	return engine{name, config + "on_failure = %q\n", sign, p.Kill, p.Restart}
}

func startRspamd(t *testing.T) engine {
	r := filtertest.StartRspamd(t, filtertest.Dir(t))
	return ofProcess("rspamd", fmt.Sprintf("[[rspamd]]\nurl = \"http://127.0.0.1:%d\"\nmode = \"score\"\n", r.Normal), "\tRSPAMD=", r.Process)
}

func startSpamd(t *testing.T) engine {
	program := filtertest.Peer(t, "spamd", "spamd")
	dir, port := filtertest.Dir(t), filtertest.FreePort(t)
	p := filtertest.Start(t, dir, port, program, "-L", "-x", "-i", "127.0.0.1", "-A", "127.0.0.1", "-p", fmt.Sprint(port),
		"-m", "4", "--min-children=2", "-s", "stderr", "-H", dir, "-r", filepath.Join(dir, "pid"))
	return ofProcess("spamd", fmt.Sprintf("[[spamd]]\naddress = \"inet:127.0.0.1:%d\"\nscale = 1\n", port), "\tSPAMD=", p)
}

func startOpendkim(t *testing.T) engine {
	program := filtertest.Peer(t, "opendkim", "opendkim")
	dir, port := filtertest.Dir(t), filtertest.FreePort(t)
	conf := filtertest.Write(t, dir, "opendkim.conf", fmt.Sprintf("Mode v\nSocket inet:%d@127.0.0.1\nSyslog no\nBackground no\nAlwaysAddARHeader yes\nAuthservID opendkim.test\nNameservers 127.0.0.1\nTestDNSData %s\n",
		port, filtertest.Write(t, dir, "dns", "")))
	p := filtertest.Start(t, dir, port, program, "-f", "-x", conf)
	return ofProcess("opendkim", fmt.Sprintf("[[milter]]\naddress = \"inet:127.0.0.1:%d\"\nstage = \"session\"\n", port), "Authentication-Results: opendkim.test; dkim=", p)
}

// note returns a message of somebody else.
func note(id, body string) string {
	return "From: Carl <carl@client.test>\r\nTo: ann@north.test\r\nSubject: " + id + "\r\nMessage-ID: <" + id + "@client.test>\r\n" +
		"Date: Mon, 30 Nov 2026 22:00:00 +0000\r\n\r\n" + body + "\r\n"
}

// dialMX returns a client of the mx service that said EHLO.
func (w *site) dialMX() (*smtp.Client, error) {
	c, err := smtp.Dial(w.address("mx"))
	if err != nil {
		return nil, err
	}
	return c, c.Hello("out.client.test")
}

// hand hands one message over and returns the answer that is not 250, if there is one.
func hand(c *smtp.Client, from, to, content string) error {
	if err := c.Mail(from); err != nil {
		return err
	}
	if err := c.Rcpt(to); err != nil {
		c.Reset()
		return err
	}
	data, err := c.Data()
	if err != nil {
		return err
	}
	fmt.Fprint(data, content)
	return data.Close()
}

// code returns the reply code of err, 0 for none.
func code(err error) int {
	var reply *textproto.Error
	if errors.As(err, &reply) {
		return reply.Code
	}
	return 0
}

// TestMailFlowsThroughEngines sends mail past all engines of others at once.
func TestMailFlowsThroughEngines(t *testing.T) {
	var config strings.Builder
	var asked []engine
	for _, name := range []string{"clamd", "opendkim", "spamd", "rspamd"} {
		e := engines[name](t)
		asked = append(asked, e)
		fmt.Fprintf(&config, e.config, "defer")
	}
	w := newSite(t, settings{extra: config.String()})
	c, err := w.dialMX()
	must(t, err)
	defer c.Close()
	must(t, hand(c, "carl@client.test", ann, note("plain-1", "See you on Thursday?")))
	got := w.arrived(t, ann, 1)[0].content
	for _, e := range asked {
		if !strings.Contains(got, e.sign) {
			t.Errorf("nothing tells of %s:\n%s", e.name, got)
		}
	}
	if strings.Contains(got, "ENGINE_SILENT") {
		t.Errorf("an engine was silent:\n%s", got)
	}
	w.refusesVirus(t, c)
}

// refusesVirus checks that a virus is refused before anybody is told 250, whoever sends it, and that the
// operator can learn why.
func (w *site) refusesVirus(t *testing.T, c *smtp.Client) {
	t.Helper()
	err := hand(c, "carl@client.test", ann, note("virus-1", clamdtest.Signature))
	if code(err) != 554 || !strings.Contains(err.Error(), clamdtest.Virus) {
		t.Errorf("a virus from outside is answered %v", err)
	}
	contains(t, "explain message", w.cli(t, "explain", "message", "virus-1@client.test"), "Refused", clamdtest.Virus, "carl@client.test")

	user, err := smtp.Dial(w.address("submission"))
	must(t, err)
	defer user.Close()
	must(t, user.StartTLS(w.clientTLS()))
	must(t, user.Auth(smtp.PlainAuth("", ann, password, "127.0.0.1")))
	err = hand(user, ann, bob, "From: ann@north.test\r\nSubject: virus\r\nMessage-ID: <virus-2@north.test>\r\n\r\n"+clamdtest.Signature+"\r\n")
	if code(err) != 554 || !strings.Contains(err.Error(), clamdtest.Virus) {
		t.Errorf("a virus of a user is answered %v", err)
	}
	contains(t, "explain message", w.cli(t, "explain", "message", "virus-2@north.test"), "Refused", clamdtest.Virus)
	for _, who := range []string{ann, bob} {
		for _, m := range w.mailbox(t, who, "INBOX") {
			if strings.Contains(m.content, clamdtest.Signature) {
				t.Errorf("%s has a virus:\n%s", who, m.content)
			}
		}
	}
}
