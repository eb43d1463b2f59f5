package interop

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// An outgoing is one message from ann to an mta.
type outgoing struct {
	name, claim string
	via         string   // transport; empty: the MX
	to          []string // default: name at the mta
	params      string   // of RCPT
	content     string   // default: a letter with an odd body
	check       func(t *testing.T, p *pairing, o outgoing)
}

// from is the sender, so that reports can be told apart.
func (o outgoing) from() string { return "ann+" + o.name + "@" + domain }

// openOut plans what goes out: it returns the configuration that leads mail through wiretaps and
// smarthosts.
func (p *pairing) openOut(t *testing.T, rules string) string {
	t.Helper()
	upstream := local(p.peer.port)
	var ways strings.Builder
	for _, o := range p.out {
		p.users = append(p.users, o.name)
		if o.via != "" {
			fmt.Fprintf(&ways, "%s %s\n", p.at(o.name), o.via)
		}
	}
	lead := func(name string, c cut) {
		p.taps[name] = tap(t, upstream, c)
		fmt.Fprintf(&ways, "%s smtp:127.0.0.1:%d\n", p.at(name), p.taps[name].port())
	}
	lead("heard", cut{})
	for _, c := range allCuts() {
		lead("cut"+c.name, c)
	}
	must(t, writeOpen(filepath.Join(rules, "ways"), ways.String()))
	return fmt.Sprintf("[route]\ntransports = [%q]\n", "file:"+filepath.Join(rules, "ways")) + p.smarthosts(t, rules)
}

// smarthosts configures the ways to the mta besides its MX.
func (p *pairing) smarthosts(t *testing.T, rules string) string {
	t.Helper()
	password := filepath.Join(rules, "password")
	must(t, writeOpen(password, peerPassword+"\n"))
	login := func(name, at, user, file string) string {
		return fmt.Sprintf("[[smarthost]]\nname = %q\nhosts = [\"%s:%d\"]\nusername = %q\npassword_file = %q\n", name, at, p.peer.login, user, file)
	}
	text := login("login", p.peer.host, peerLogin, password) + login("password", p.peer.host, "x"+peerLogin, password) + login("name", "other."+p.peer.domain, peerLogin, password)
	for name, more := range map[string]string{
		"banner4": "source = \"127.0.0.41\"", "banner5": "source = \"127.0.0.42\"",
		"ehlo4": "helo = \"ehlo4.test\"", "ehlo5": "helo = \"ehlo5.test\"", "data": "helo = \"plain.test\"",
	} {
		text += fmt.Sprintf("[[smarthost]]\nname = %q\nhosts = [\"%s:%d\"]\ntls = \"opportunistic\"\n%s\n", name, p.peer.host, p.peer.port, more)
	}
	return text
}

// outgoings lists what ann sends to the mta.
func (p *pairing) outgoings() []outgoing {
	list := []outgoing{
		{name: "mx", claim: "8-bit mail, dots and lines of 998 bytes, by MX and TLS", to: []string{p.at("mx"), p.at("two")}, check: checkTLS},
		{name: "two", claim: "the second recipient of one transaction", to: []string{}, check: checkTwo},
		{name: "login", claim: "mail of a smarthost's client that logs in over verified TLS", via: "smarthost:login", check: checkLogin},
		{name: "password", claim: "no mail where it refuses our login", via: "smarthost:password", check: checkNoLogin},
		{name: "name", claim: "no mail where the certificate has another name", via: "smarthost:name", check: checkName},
		{name: "large", claim: "20 MB", content: letter(ann, p.at("large"), "large", numbered(20<<20)), check: arrives()},
		{name: "long", claim: "lines far beyond 998 bytes", content: letter(ann, p.at("long"), "long", longBody), check: arrives()},
		{name: "unknown", claim: "nothing for nobody", to: []string{"nobody@" + p.peer.domain}, check: bounces("nobody@"+p.peer.domain, "Status: 5.")},
		{name: "success", claim: "a wish to hear of success", params: " NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Success@south.test", check: reports("Action: delivered")},
		{name: "never", claim: "a wish to hear nothing", to: []string{"nobody@" + p.peer.domain + "> NOTIFY=NEVER"}, check: vanishes},
		{name: "jürgen", claim: "an international address", check: checkUTF8},
		{name: "header", claim: "an international header", content: letter(ann, p.at("header"), "Grüße", "Grüße\r\n"), check: checkUTF8},
		{name: "heard", claim: "what it offers: PIPELINING, CHUNKING", check: checkHeard},
	}
	for _, phase := range []string{"banner", "ehlo", "mail", "rcpt", "data", "dot"} {
		via := [2]string{}
		switch phase {
		case "data":
			via = [2]string{"smarthost:data", "smarthost:data"}
		case "banner", "ehlo":
			via = [2]string{"smarthost:" + phase + "4", "smarthost:" + phase + "5"}
		}
		list = append(list,
			outgoing{name: phase + "4", claim: "and waits after 4xx at " + phase, via: via[0], check: waits("refused at " + phase + "4")},
			outgoing{name: phase + "5", claim: "and reports 5xx at " + phase, via: via[1], check: bounces("refused at "+phase+"5", "Status: 5.7.1")})
	}
	for _, c := range allCuts() {
		list = append(list, outgoing{name: "cut" + c.name, claim: "though cut " + c.claim, content: letter(ann, p.at("cut"+c.name), c.name, markBody), check: survives(c)})
	}
	return list
}

// sendOut submits all of it at once.
func (p *pairing) sendOut(t *testing.T) {
	t.Helper()
	for i := range p.out {
		o := &p.out[i]
		if o.to == nil {
			o.to = []string{p.at(o.name)}
		}
		if o.content == "" {
			o.content = letter(ann, p.at(o.name), o.name, oddBody)
		}
		if o.params != "" {
			o.to[0] += ">" + o.params
		}
		if len(o.to) > 0 {
			p.submitted(t, o.from(), o.content, o.to...)
		}
	}
}

func (p *pairing) checkOut(t *testing.T) {
	for _, o := range p.out {
		t.Run(o.claim, func(t *testing.T) { o.check(t, p, o) })
	}
}

// arrives checks that the message came once, unchanged, and that its trace header has one of texts.
func arrives(texts ...string) func(*testing.T, *pairing, outgoing) {
	return func(t *testing.T, p *pairing, o outgoing) {
		got := p.reached(t, o.name)
		if len(got) != 1 {
			t.Errorf("it came %d times", len(got))
		}
		same(t, o.name, got[0], o.content)
		header, _, _ := strings.Cut(got[0], " by "+host) // what the mta added
		for _, text := range texts {
			if strings.Contains(header, text) {
				return
			}
		}
		if len(texts) > 0 {
			t.Errorf("header has none of %q:\n%s", texts, header)
		}
	}
}

// checkTLS checks that mail goes encrypted, and in plaintext where the host promises TLS in vain.
func checkTLS(t *testing.T, p *pairing, o outgoing) {
	if p.peer.noTLS {
		arrives()(t, p, o)
		return
	}
	arrives("TLS")(t, p, o)
}

// A host whose TLS does not work gets nothing where TLS is asked for.
var vainTLS = waits("the TLS handshake failed")

func checkLogin(t *testing.T, p *pairing, o outgoing) {
	if p.peer.noTLS {
		vainTLS(t, p, o)
		return
	}
	arrives("SMTPSA", "smtpsa")(t, p, o)
}

func checkNoLogin(t *testing.T, p *pairing, o outgoing) {
	if p.peer.noTLS {
		vainTLS(t, p, o)
		return
	}
	waits("535")(t, p, o)
}

func checkName(t *testing.T, p *pairing, o outgoing) {
	if p.peer.noTLS {
		vainTLS(t, p, o)
		return
	}
	waits("certificate")(t, p, o)
}

func checkTwo(t *testing.T, p *pairing, o outgoing) {
	got := p.reached(t, o.name)
	same(t, o.name, got[0], letter(ann, p.at("mx"), "mx", oddBody))
}

// waits checks that the message is deferred for a reason, and forgets it.
func waits(texts ...string) func(*testing.T, *pairing, outgoing) {
	return func(t *testing.T, p *pairing, o outgoing) {
		defer func() {
			if t.Failed() {
				t.Log(p.queue(t))
			}
		}()
		slowly(t, "the message is deferred", func() bool {
			return strings.Contains(p.queued(t, p.at(o.name)), `"state":"deferred"`)
		})
		line := p.queued(t, p.at(o.name))
		contains(t, "queue", line, texts...)
		if got := p.delivered(t, o.name); len(got) != 0 {
			t.Errorf("it came all the same, %d times", len(got))
		}
		p.cli(t, "queue", "delete", "--recipient", p.at(o.name))
	}
}

// bounces checks that ann got a report and the mta nothing.
func bounces(texts ...string) func(*testing.T, *pairing, outgoing) {
	return func(t *testing.T, p *pairing, o outgoing) {
		reports := p.found(t, ann, "To", o.from())
		if len(reports) != 1 {
			t.Errorf("%d reports", len(reports))
		}
		contains(t, "report", reports[0], append(texts, "Return-Path: <>", "Action: failed")...)
		if got := p.delivered(t, o.name); len(got) != 0 {
			t.Errorf("it came all the same, %d times", len(got))
		}
	}
}

// reports checks that the message came and that ann heard so, from whoever knows.
func reports(texts ...string) func(*testing.T, *pairing, outgoing) {
	return func(t *testing.T, p *pairing, o outgoing) {
		arrives()(t, p, o)
		contains(t, "report", p.found(t, ann, "To", o.from())[0], texts...)
	}
}

// vanishes checks that no report was made.
func vanishes(t *testing.T, p *pairing, o outgoing) {
	slowly(t, "the message is gone", func() bool { return p.queued(t, "nobody@"+p.peer.domain) == "" })
	for _, m := range p.mailbox(t, ann, "INBOX") {
		if strings.Contains(m.header(), o.from()) {
			t.Errorf("a report came:\n%s", m.content)
		}
	}
}

// checkUTF8 checks that international mail arrives, or comes back where the host knows none.
func checkUTF8(t *testing.T, p *pairing, o outgoing) {
	if p.peer.utf8 {
		arrives()(t, p, o)
		return
	}
	bounces("5.6.7", "SMTPUTF8")(t, p, o)
}

// checkHeard checks how we talk to the mta.
func checkHeard(t *testing.T, p *pairing, o outgoing) {
	arrives()(t, p, o)
	said := p.taps[o.name].dialogue()
	if got := p.taps[o.name].pipelined(); got != p.peer.pipelining {
		t.Errorf("commands pipelined: %v, want %v", got, p.peer.pipelining)
	}
	if got := strings.Contains(said, "BDAT "); got != p.peer.chunking {
		t.Errorf("content by BDAT: %v, want %v", got, p.peer.chunking)
	}
	if t.Failed() {
		t.Log(said)
	}
}

// survives checks that a message came in spite of broken connections: at least once, only once unless
// the host may have taken it before, and without a report.
func survives(c cut) func(*testing.T, *pairing, outgoing) {
	return func(t *testing.T, p *pairing, o outgoing) {
		slowly(t, "the line is well", func() bool { return p.taps[o.name].uncut() == 0 })
		slowly(t, "the message is no longer with us", func() bool { return p.queued(t, p.at(o.name)) == "" })
		got := p.reached(t, o.name)
		for _, content := range got {
			same(t, o.name, content, o.content)
		}
		if most := 1 + c.times; len(got) > 1 && !c.taken || len(got) > most {
			t.Errorf("it came %d times", len(got))
		}
		if t.Failed() {
			t.Log(p.taps[o.name].dialogue())
		}
	}
}
