package interop

import (
	"fmt"
	"net/smtp"
	"strings"
	"testing"
)

// newSites returns a posthaste and a Postfix that find each other.
func newSites(t *testing.T) (*site, *postfix) {
	t.Helper()
	p := preparePostfix(t)
	w := newSite(t, settings{remotePort: p.port})
	w.dns.Host(postfixHost, "127.0.0.1")
	w.dns.MX("south.test", 10, postfixHost)
	p.start(t, w)
	return w, p
}

// A letter in 8-bit UTF-8, with lines that begin with dots.
const letter8bit = "From: %s\r\nTo: %s\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n.Grüße aus dem Süden\r\n..und €\r\n"

// largeLetter is 5 MB of lines that are all different.
func largeLetter(from, to string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nSubject: large\r\n\r\n", from, to)
	for i := 0; b.Len() < 5<<20; i++ {
		fmt.Fprintf(&b, "%09d %060d\r\n", i, i*i)
	}
	return b.String()
}

// submit hands a message to the submission service of w as ann.
func (w *site) submit(t *testing.T, content string, to ...string) {
	t.Helper()
	c, err := smtp.Dial(w.address("submission"))
	must(t, err)
	defer c.Close()
	must(t, c.StartTLS(w.clientTLS()))
	must(t, c.Auth(smtp.PlainAuth("", ann, password, "127.0.0.1")))
	send(t, c, ann, content, to...)
}

func send(t *testing.T, c *smtp.Client, from, content string, to ...string) {
	t.Helper()
	must(t, c.Mail(from))
	for _, address := range to {
		must(t, c.Rcpt(address))
	}
	data, err := c.Data()
	must(t, err)
	_, err = data.Write([]byte(content))
	must(t, err)
	must(t, data.Close())
	must(t, c.Quit())
}

func TestPostfixReceives(t *testing.T) {
	w, p := newSites(t)
	bodyOf := func(content string) string {
		_, body, _ := strings.Cut(strings.ReplaceAll(content, "\r\n", "\n"), "\n\n")
		return body
	}
	small, large := fmt.Sprintf(letter8bit, ann, cleo), largeLetter(ann, cleo)
	w.submit(t, small, cleo, dan)
	got := p.wait(t, cleo, 1)[0]
	contains(t, "message in Postfix's Maildir", got, "Return-Path: <"+ann+">", "from "+host, "using TLSv1.3", "with ESMTPS",
		"Content-Transfer-Encoding: 8bit", "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=")
	for _, address := range []string{cleo, dan} {
		if body := bodyOf(p.wait(t, address, 1)[0]); body != bodyOf(small) {
			t.Errorf("%s got body %q", address, body)
		}
	}
	if n := strings.Count(p.log(), "client="); n != 1 {
		t.Errorf("two recipients at one host took %d transactions", n)
	}
	w.submit(t, large, cleo)
	if body := bodyOf(p.wait(t, cleo, 2)[1]); body != bodyOf(large) {
		t.Errorf("5 MB arrived as %d bytes that differ", len(body))
	}

	t.Run("and refuses one recipient of two", func(t *testing.T) {
		w.submit(t, "Subject: half\r\n\r\nhalf\r\n", "nobody@south.test", dan)
		contains(t, "message to the good recipient", p.wait(t, dan, 2)[1], "Subject: half")
		report := w.arrived(t, ann, 1)[0].content
		contains(t, "report", report, "Return-Path: <>", "multipart/report", "nobody@south.test", "Status: 5.1.1", "User unknown in virtual mailbox table")
		if strings.Contains(report, dan) && strings.Contains(report, "Final-Recipient: rfc822; "+dan) {
			t.Errorf("report names %s:\n%s", dan, report)
		}
	})
	eventually(t, "our queue is empty", func() bool { return w.cli(t, "queue", "list", "--json") == "" })
}

func TestPostfixSends(t *testing.T) {
	w, p := newSites(t)
	hand := func(t *testing.T, content string, to ...string) {
		c, err := smtp.Dial(p.address())
		must(t, err)
		defer c.Close()
		send(t, c, cleo, content, to...)
	}
	small, large := fmt.Sprintf(letter8bit, cleo, ann), largeLetter(cleo, ann)
	hand(t, small, ann, bob)
	for _, user := range []string{ann, bob} {
		m := w.arrived(t, user, 1)[0]
		contains(t, "header", m.header(), "Return-Path: <"+cleo+">", "by "+host, "with UTF8SMTPS", "(TLS 1.3 ", "Content-Transfer-Encoding: 8bit")
		if !strings.HasSuffix(small, "\r\n\r\n"+m.body()) || !m.has() {
			t.Errorf("%s got flags %v, body %q", user, m.flags, m.body())
		}
	}
	hand(t, large, ann)
	if m := w.arrived(t, ann, 2)[1]; !strings.HasSuffix(large, "\r\n\r\n"+m.body()) || len(m.body()) < 5<<20-200 {
		t.Errorf("5 MB arrived as %d bytes", len(m.body()))
	}
	contains(t, "log of Postfix", p.log(), "Using ESMTP PIPELINING", "Verified TLS connection established to 127.0.0.1", "status=sent (250 2.")

	t.Run("and reports what we refuse", func(t *testing.T) {
		hand(t, "Subject: half\r\n\r\nhalf\r\n", "nobody@"+domain, bob)
		contains(t, "header", w.arrived(t, bob, 2)[1].header(), "Subject: half")
		contains(t, "report", p.wait(t, cleo, 1)[0], "nobody@"+domain, "Status: 5.1.1", "there is no mailbox")
	})
}
