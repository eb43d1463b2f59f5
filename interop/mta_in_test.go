package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sizeLimit is the largest message that we take.
const sizeLimit = 22 << 20

// full is an account without room for a letter.
const full = "full@north.test"

// An incoming is one message from an mta to ann.
type incoming struct {
	name, claim string
	hop         *hop     // its way, where that is not the MX
	from        string   // default: name at the mta
	to          []string // default: that of ann's addresses with the name
	params      string   // of RCPT
	content     string   // default: a letter with an odd body
	check       func(t *testing.T, p *pairing, in incoming)
}

func (in incoming) address() string { return hop{name: in.name}.address() }

// The stages of access rules, and the clients that are turned away there, for now and for good.
func (p *pairing) stages() map[string][2]string {
	return map[string][2]string{
		"client":    {"127.0.0.51", "127.0.0.52"},
		"helo":      {"helo4.test", "helo5.test"},
		"sender":    {p.at("insender4"), p.at("insender5")},
		"recipient": {"ann+inrecipient4@" + domain, "ann+inrecipient5@" + domain},
	}
}

// openIn plans what comes in: it returns the configuration of rules that turn some of it away.
func (p *pairing) openIn(t *testing.T, rules string) string {
	t.Helper()
	p.rules = rules
	for _, in := range p.in {
		p.users = append(p.users, in.name)
	}
	text := ""
	for stage, keys := range p.stages() {
		path := filepath.Join(rules, stage)
		must(t, writeOpen(path, fmt.Sprintf("%s DEFER 4.7.1 not yet at %s\n%s REJECT 5.7.1 never at %s\n", keys[0], stage, keys[1], stage)))
		text += fmt.Sprintf("[[access]]\nstage = %q\ntable = %q\n", stage, "file:"+path)
	}
	return text
}

// incomings lists what the mta sends to ann.
func (p *pairing) incomings() []incoming {
	list := []incoming{
		{name: "inmx", claim: "8-bit mail, dots and lines of 998 bytes, over verified TLS", to: []string{"ann+inmx@" + domain, bob}, check: enters("TLS 1.3", p.from())},
		{name: "inlogin", claim: "mail that it submits with a login over verified TLS", from: "ann+inlogin@" + domain, hop: &hop{login: true}, check: enters("SMTPSA", "TLS 1.3")},
		{name: "inlarge", claim: "20 MB", content: letter(p.at("inlarge"), ann, "large", numbered(20<<20)), check: enters()},
		{name: "inbig", claim: "and reports what is larger than our limit", content: letter(p.at("inbig"), ann, "big", numbered(sizeLimit)), check: fails("ann+inbig@" + domain)},
		{name: "inlong", claim: "lines far beyond 998 bytes", content: letter(p.at("inlong"), ann, "long", longBody), check: checkLongIn},
		{name: "inunknown", claim: "and reports our unknown recipients", to: []string{"nobody@" + domain}, check: fails("nobody@"+domain, "5.1.1", "there is no mailbox")},
		{name: "infull", claim: "and reports a mailbox that has no room", to: []string{full}, check: fails(full, "5.2.2", "is full")},
		{name: "insuccess", claim: "a wish to hear of success", params: " NOTIFY=SUCCESS,FAILURE", check: checkSuccess},
		{name: "inheader", claim: "an international header", content: letter(p.at("inheader"), ann, "Grüße", "Grüße\r\n"), check: enters("Grüße")},
		{name: "inheard", claim: "what we offer: PIPELINING, CHUNKING", hop: &hop{tapped: true}, check: checkHeardIn},
	}
	if p.peer.utf8 {
		list = append(list, incoming{name: "inaddress", claim: "an international address", to: []string{jürgen + domain}, check: checkAddressIn})
	}
	for stage := range p.stages() {
		for _, digit := range []string{"4", "5"} {
			in := incoming{name: "in" + stage + digit, claim: "and waits after 4xx at " + stage, check: returns(stage)}
			if digit == "5" {
				in.claim, in.check = "and reports 5xx at "+stage, fails("never at "+stage)
			}
			switch stage {
			case "client":
				in.hop = &hop{source: "127.0.0.5" + map[string]string{"4": "1", "5": "2"}[digit]}
			case "helo":
				in.hop = &hop{helo: "helo" + digit + ".test"}
			}
			list = append(list, in)
		}
	}
	for _, c := range allCuts() {
		list = append(list, incoming{name: "incut" + c.name, claim: "though cut " + c.claim, hop: &hop{tapped: true, cut: c}, content: letter(p.at("incut"+c.name), ann, c.name, markBody), check: survivesIn(c)})
	}
	return list
}

// from is how our header names the mta.
func (p *pairing) from() string { return "from " + p.peer.host }

// hops opens the wiretaps to our MX and returns all ways that do not lead straight to it.
func (p *pairing) hops(t *testing.T) []hop {
	t.Helper()
	var all []hop
	for _, in := range p.in {
		if in.hop == nil {
			continue
		}
		h := *in.hop
		h.name = in.name
		switch {
		case h.login:
			h.port = portOf(p.site.address("submission"))
		case h.tapped:
			p.taps[in.name] = tap(t, p.site.address("mx"), h.cut)
			h.port = p.taps[in.name].port()
		default:
			h.port = portOf(p.site.address("mx"))
		}
		all = append(all, h)
	}
	return all
}

// sendIn hands all of it to the mta at once.
func (p *pairing) sendIn(t *testing.T) {
	t.Helper()
	p.cliInput(t, password+"\n", "account", "add", full, "--password-stdin", "--quota", "1KiB")
	for i := range p.in {
		in := &p.in[i]
		if in.from == "" {
			in.from = p.at(in.name)
		}
		if in.to == nil {
			in.to = []string{in.address()}
		}
		if in.content == "" {
			in.content = letter(in.from, ann, in.name, oddBody)
		}
		if in.params != "" {
			in.to[0] += ">" + in.params
		}
		p.handed(t, in.from, in.content, in.to...)
	}
}

func (p *pairing) checkIn(t *testing.T) {
	for _, in := range p.in {
		t.Run(in.claim, func(t *testing.T) { in.check(t, p, in) })
	}
}

// came returns what the mta sent to ann.
func (p *pairing) came(t *testing.T, in incoming) []string {
	t.Helper()
	return p.found(t, ann, "Message-ID", "<"+messageID(in.content)+">")
}

func messageID(content string) string {
	_, rest, _ := strings.Cut(content, "Message-ID: <")
	id, _, _ := strings.Cut(rest, ">")
	return id
}

// enters checks that the message came once, unchanged, with texts in its header.
func enters(texts ...string) func(*testing.T, *pairing, incoming) {
	return func(t *testing.T, p *pairing, in incoming) {
		got := p.came(t, in)
		if len(got) != 1 {
			t.Errorf("it came %d times", len(got))
		}
		same(t, in.name, got[0], in.content)
		contains(t, "header", message{content: got[0]}.header(), texts...)
	}
}

// fails checks that the mta reported a failure to its user.
func fails(texts ...string) func(*testing.T, *pairing, incoming) {
	return func(t *testing.T, p *pairing, in incoming) {
		contains(t, "report", p.reached(t, in.name)[0], texts...)
	}
}

// returns checks that what was deferred comes once the rule is gone.
func returns(stage string) func(*testing.T, *pairing, incoming) {
	return func(t *testing.T, p *pairing, in incoming) {
		slowly(t, "the mta hears of the rule", func() bool { return strings.Contains(p.log(), "not yet at "+stage) })
		path := filepath.Join(p.rules, stage)
		text, err := os.ReadFile(path)
		must(t, err)
		_, rest, _ := strings.Cut(string(text), "\n")
		must(t, writeOpen(path, rest))
		enters()(t, p, in)
		if got := p.delivered(t, in.name); len(got) != 0 {
			t.Errorf("and a report was made:\n%s", got[0])
		}
	}
}

func checkLongIn(t *testing.T, p *pairing, in incoming) {
	if !p.peer.breaksLines {
		enters()(t, p, in)
		return
	}
	same(t, "folded", strings.ReplaceAll(p.came(t, in)[0], "\r\n ", ""), strings.ReplaceAll(in.content, "\r\n ", ""))
}

// checkSuccess checks that we report delivery.
func checkSuccess(t *testing.T, p *pairing, in incoming) {
	enters()(t, p, in)
	contains(t, "report", p.reached(t, in.name)[0], "Action: delivered", "Reporting-MTA: dns; "+host)
}

func checkAddressIn(t *testing.T, p *pairing, in incoming) { enters("with UTF8SMTPS")(t, p, in) }

// checkHeardIn checks how the mta talks to us.
func checkHeardIn(t *testing.T, p *pairing, in incoming) {
	enters()(t, p, in)
	said := p.taps[in.name].dialogue()
	contains(t, "dialogue", said, "PIPELINING", "CHUNKING", "SMTPUTF8", "8BITMIME", "SIZE", "DSN")
	if got := p.taps[in.name].pipelined(); got != p.peer.pipelines {
		t.Errorf("commands pipelined: %v, want %v", got, p.peer.pipelines)
	}
	if got := strings.Contains(said, "BDAT "); got != p.peer.chunks {
		t.Errorf("content by BDAT: %v, want %v", got, p.peer.chunks)
	}
	if t.Failed() {
		t.Log(said)
	}
}

// survivesIn checks that a message came in spite of broken connections, as [survives] does.
func survivesIn(c cut) func(*testing.T, *pairing, incoming) {
	return func(t *testing.T, p *pairing, in incoming) {
		got := p.came(t, in)
		slowly(t, "the line is well", func() bool { p.hurry(); return p.taps[in.name].uncut() == 0 })
		for _, content := range got {
			same(t, in.name, content, in.content)
		}
		if most := 1 + c.times; len(got) > 1 && !c.taken || len(got) > most {
			t.Errorf("it came %d times", len(got))
		}
		if got := p.delivered(t, in.name); len(got) != 0 {
			t.Errorf("and a report was made:\n%s", got[0])
		}
		if t.Failed() {
			t.Log(p.taps[in.name].dialogue())
		}
	}
}
