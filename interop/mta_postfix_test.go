package interop

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A postfixMTA is Debian's Postfix in the part of an mta.
type postfixMTA struct {
	*postfix
	t traits
}

func newPostfixMTA(t *testing.T) mta {
	t.Helper()
	p := &postfixMTA{postfix: preparePostfix(t)}
	p.t = traits{domain: "south.test", host: postfixHost, dir: p.dir, port: p.port, login: freePort(t),
		utf8: true, pipelining: true, pipelines: true, chunking: true, breaksLines: true}
	return p
}

func (p *postfixMTA) traits() traits { return p.t }

func (p *postfixMTA) start(t *testing.T, w *site, users []string, hops []hop) {
	t.Helper()
	file := func(name, text string) { must(t, writeOpen(filepath.Join(p.dir, name), text)) }
	var names, ways strings.Builder
	p.master = fmt.Sprintf("%s inet n - n - - smtpd\n  -o smtpd_sasl_auth_enable=yes -o smtpd_tls_security_level=encrypt -o smtpd_tls_auth_only=yes -o smtpd_delay_reject=yes\n"+
		"  -o smtpd_client_restrictions=permit_sasl_authenticated,reject -o smtpd_sasl_type=dovecot -o smtpd_sasl_path=inet:%s\n", local(p.t.login), p.sasl(t))
	for _, user := range users {
		fmt.Fprintf(&names, "%s@%s %s/\n", user, p.t.domain, user)
	}
	for _, h := range hops {
		fmt.Fprintf(&ways, "%s %s:[127.0.0.1]:%d\n", h.address(), h.name, h.port)
		p.master += p.service(h)
	}
	file("users", names.String())
	file("ways", ways.String())
	for phase, key := range map[string]string{"client": "127.0.0.4%d", "helo": "ehlo%d.test", "mail": "ann+mail%d@north.test",
		"rcpt": "rcpt%d@" + p.t.domain, "data": "ann+data%d@north.test", "dot": "ann+dot%d@north.test"} {
		name := map[string]string{"client": "banner", "helo": "ehlo"}[phase]
		if name == "" {
			name = phase
		}
		digit := [2]int{4, 5}
		if phase == "client" {
			digit = [2]int{1, 2}
		}
		file("rules/"+phase, fmt.Sprintf(key+" 450 4.7.1 refused at %s4\n"+key+" 550 5.7.1 refused at %s5\n", digit[0], name, digit[1], name))
	}
	p.main = template(t, "main.cf", "$DIR", p.dir)
	p.postfix.start(t, w)
}

// service returns the client of a hop, a line of master.cf.
func (p *postfixMTA) service(h hop) string {
	line := h.name + " unix - - n - - smtp -o smtp_tls_security_level=may"
	if h.source != "" {
		line += " -o smtp_bind_address=" + h.source
	}
	if h.helo != "" {
		line += " -o smtp_helo_name=" + h.helo
	}
	if h.login {
		line = fmt.Sprintf("%s unix - - n - - smtp -o smtp_sasl_auth_enable=yes -o smtp_sasl_security_options=noanonymous -o smtp_sasl_password_maps=static:{%s:%s}",
			h.name, ann, password)
	}
	return line + "\n"
}

// sasl starts a server of the protocol that Postfix asks Dovecot by, which knows one name and password,
// and returns its address.
func (p *postfixMTA) sasl(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var serving sync.WaitGroup
	t.Cleanup(func() { ln.Close(); serving.Wait() })
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			serving.Go(func() { judgeLogins(conn) })
		}
	})
	return ln.Addr().String()
}

// judgeLogins answers lines AUTH of the Dovecot authentication protocol, version 1.1.
func judgeLogins(conn net.Conn) {
	right := "resp=" + base64.StdEncoding.EncodeToString([]byte("\x00"+peerLogin+"\x00"+peerPassword))
	fmt.Fprint(conn, "VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t00112233445566778899aabbccddeeff\nDONE\n")
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		fields := strings.Split(lines.Text(), "\t")
		switch {
		case len(fields) < 2 || fields[0] != "AUTH":
		case fields[len(fields)-1] == right:
			fmt.Fprintf(conn, "OK\t%s\tuser=%s\n", fields[1], peerLogin)
		default:
			fmt.Fprintf(conn, "FAIL\t%s\n", fields[1])
		}
	}
}

func (p *postfixMTA) waiting() int {
	queue := filepath.Join(p.dir, "queue")
	return filesBelow(filepath.Join(queue, "maildrop"), filepath.Join(queue, "incoming"), filepath.Join(queue, "active"), filepath.Join(queue, "deferred"))
}

func (p *postfixMTA) hurry() {
	flush := exec.Command(filepath.Join(p.root, "usr/sbin/postqueue"), "-c", filepath.Join(p.dir, "etc"), "-f")
	flush.Env = []string{"LD_LIBRARY_PATH=" + p.libraries()}
	flush.Run()
}
