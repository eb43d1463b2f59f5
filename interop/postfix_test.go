package interop

import (
	"fmt"
	"net/smtp"
	"slices"
	"strings"
	"testing"
)

// newSites returns a posthaste, and a Postfix to be started, that find each other.
func newSites(t *testing.T) (*site, *postfix) {
	t.Helper()
	p := preparePostfix(t)
	w := newSite(t, settings{remotePort: p.port})
	w.dns.Host(postfixHost, "127.0.0.1")
	w.dns.MX("south.test", 10, postfixHost)
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

// send sends one message. A recipient may be followed by parameters of RCPT, "a@b.test> NOTIFY=NEVER".
func send(t *testing.T, c *smtp.Client, from, content string, to ...string) {
	t.Helper()
	must(t, c.Mail(from))
	for _, address := range to {
		address, parameters, _ := strings.Cut(address, "> ")
		const accepted = 25 // as a prefix of the reply
		id, err := c.Text.Cmd("RCPT TO:<%s> %s", address, parameters)
		must(t, err)
		c.Text.StartResponse(id)
		_, _, err = c.Text.ReadResponse(accepted)
		c.Text.EndResponse(id)
		must(t, err)
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
	eventually(t, "the message waits for Postfix to come up", func() bool {
		return strings.Contains(w.cli(t, "queue", "list", "--json"), `"state":"deferred"`)
	})
	contains(t, "queue", w.cli(t, "queue", "list"), "deferred", cleo, dan, "connection refused")
	p.start(t, w)
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
	arrived := func(content string) bool { return bodyOf(content) == bodyOf(large) }
	if !slices.ContainsFunc(p.wait(t, cleo, 2), arrived) { // a Maildir has no order within a second
		t.Error("the 5 MB differ from what was sent")
	}

	t.Run("and refuses one recipient of two", func(t *testing.T) {
		w.submit(t, "Subject: half\r\n\r\nhalf\r\n", "nobody@south.test", dan)
		contains(t, "messages to the good recipient", strings.Join(p.wait(t, dan, 2), ""), "Subject: half") // a Maildir has no order within a second
		report := w.arrived(t, ann, 1)[0].content
		contains(t, "report", report, "Return-Path: <>", "multipart/report", "nobody@south.test", "Status: 5.1.1", "User unknown in virtual mailbox table")
		if strings.Contains(report, dan) && strings.Contains(report, "Final-Recipient: rfc822; "+dan) {
			t.Errorf("report names %s:\n%s", dan, report)
		}
	})
	t.Run("and confirms delivery", func(t *testing.T) {
		w.submit(t, "Subject: confirm\r\n\r\nx\r\n", cleo+"> NOTIFY=SUCCESS ORCPT=rfc822;Cleo@south.test")
		report := w.arrived(t, ann, 2)[1].content
		contains(t, "report", report, "Return-Path: <>", "Action: delivered", "Original-Recipient: rfc822;Cleo@south.test", "Status: 2.0.0")
	})
	t.Run("at an international address", func(t *testing.T) {
		w.submit(t, "Subject: Grüße\r\n\r\nGrüße\r\n", jürgen+`south.test> ORCPT=utf-8;j\x{FC}rgen@south.test`)
		got := p.wait(t, "jürgen", 1)[0]
		contains(t, "message", got, "Delivered-To: "+jürgen+"south.test", "with UTF8SMTPS", "Subject: Grüße\n", "\n\nGrüße\n")
	})
	eventually(t, "our queue is empty", func() bool { return w.cli(t, "queue", "list", "--json") == "" })
}

func TestPostfixSends(t *testing.T) {
	w, p := newSites(t)
	p.start(t, w)
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

	t.Run("to an international address", func(t *testing.T) {
		w.cli(t, "alias", "add", jürgen+domain, bob)
		hand(t, "Subject: Grüße\r\n\r\nGrüße\r\n", jürgen+domain)
		contains(t, "message", w.arrived(t, bob, 2)[1].content, "with UTF8SMTPS", "Subject: Grüße\r\n", "\r\n\r\nGrüße\r\n")
	})
	t.Run("and reports what we refuse", func(t *testing.T) {
		hand(t, "Subject: half\r\n\r\nhalf\r\n", "nobody@"+domain, bob)
		contains(t, "header", w.arrived(t, bob, 3)[2].header(), "Subject: half")
		contains(t, "report", p.wait(t, cleo, 1)[0], "nobody@"+domain, "Status: 5.1.1", "there is no mailbox")
	})
}
