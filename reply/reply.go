// Package reply tells people what the answer of a mail system means, and what to do about it.
//
// [Parse] takes an answer as it stands in a log, a report or a terminal; [Explain] puts it in words. It
// goes by the text first, where that is of a system we know (large providers, block lists, usual
// servers), then by the enhanced code (RFC 3463, RFC 5248 and the registry they began), then by the
// reply code (RFC 5321 section 4.2). What it says is for people: nothing decides by it.
package reply

import (
	"strings"

	"posthaste/mail"
)

// A Class is the kind of matter an answer is.
type Class string

// The classes.
const (
	Delivered  Class = "delivered"  // it was taken
	Address    Class = "address"    // wrong, unknown or moved
	Mailbox    Class = "mailbox"    // full, disabled
	Size       Class = "size"       // too large
	Content    Class = "content"    // refused for what it holds, or its form
	Reputation Class = "reputation" // of the sending host or domain: block lists, spam
	Proof      Class = "proof"      // SPF, DKIM, DMARC, reverse DNS, authentication
	Policy     Class = "policy"     // other rules of the receiving system
	Rate       Class = "rate"       // too much, too fast; greylisting
	Security   Class = "security"   // TLS, encryption, credentials
	Network    Class = "network"    // DNS, connection, routing, loops
	System     Class = "system"     // the receiving system has trouble
	Protocol   Class = "protocol"   // commands and syntax
	Unknown    Class = "unknown"
)

// A Who says whose matter it is.
type Who string

// Those who can help.
const (
	Sender     Who = "sender"      // who wrote the message
	Recipient  Who = "recipient"   // whom it is for
	OurAdmin   Who = "our admin"   // of the system that sends
	TheirAdmin Who = "their admin" // of the system that answered
	Nobody     Who = "nobody"      // time will do
)

// Advice is an answer in plain words.
type Advice struct {
	Class     Class    `json:"class"`
	Permanent bool     `json:"permanent"`      // the same message, sent again, will be refused again
	Meaning   string   `json:"meaning"`        // a sentence
	Do        []string `json:"do"`             // what helps, most useful first
	Who       Who      `json:"who"`            // who can do it
	Rule      string   `json:"rule,omitempty"` // what in the answer it was known by
	Link      string   `json:"link,omitempty"` // where its maker explains it or lets one ask
}

// maxText is how much of an answer is looked at.
const maxText = 16 << 10

// Explain puts an answer in words. Whatever is not known is 0 or empty; the result is always of use.
func Explain(code int, enhanced, text string) Advice {
	if code == 0 && enhanced != "" && enhanced[0] >= '2' && enhanced[0] <= '5' {
		code = int(enhanced[0]-'0') * 100
	}
	var a Advice
	found := false
	if !strings.HasSuffix(enhanced, ".4.7") { // its time was over: the text is of the last answer before
		a, found = byText(code, text)
	}
	if !found {
		a, found = byEnhanced(enhanced)
	}
	if !found {
		a = byCode(code)
	}
	a.Permanent = code/100 == 5
	if code/100 == 2 {
		return taken(a, enhanced)
	}
	if !a.Permanent && a.Who != OurAdmin && a.Who != Nobody {
		a.Do = append([]string{"Wait: the message is sent again by itself, for some days."}, a.Do...)
	}
	return a
}

// Of is Explain for a status.
func Of(s *mail.Status) Advice { return Explain(s.Code, s.Enhanced, s.Text) }

// taken is the advice for a success, which no text can turn into a problem.
func taken(a Advice, enhanced string) Advice {
	meaning := "The mail system took it."
	switch {
	case strings.HasSuffix(enhanced, ".1.9"):
		meaning = "The mail system took it and passed it on to one that reports no more."
	case a.Rule == "251":
		meaning = a.Meaning
	}
	return Advice{Class: Delivered, Meaning: meaning, Do: []string{"Nothing: what happens next is in the hands of that mail system."}, Who: Nobody, Rule: a.Rule}
}

// byText finds the rule for a text that is of a system we know.
func byText(code int, text string) (Advice, bool) {
	if code/100 == 2 || text == "" {
		return Advice{}, false
	}
	text = strings.Join(strings.Fields(strings.ToLower(text[:min(len(text), maxText)])), " ")
	for i := range rules {
		if r := &rules[i]; r.matches(text) {
			return r.advice(r.name), true
		}
	}
	return Advice{}, false
}

// byEnhanced finds the most exact of what is known of an enhanced code: its detail, or its subject.
func byEnhanced(enhanced string) (Advice, bool) {
	_, detail, ok := strings.Cut(enhanced, ".")
	if !ok {
		return Advice{}, false
	}
	if e, ok := enhancedCodes[detail]; ok {
		return e.advice("x." + detail), true
	}
	subject, _, _ := strings.Cut(detail, ".")
	if e, ok := enhancedCodes[subject]; ok {
		return e.advice("x." + subject), true
	}
	return Advice{}, false
}

func byCode(code int) Advice {
	if e, ok := replyCodes[code]; ok {
		return e.advice(rule(code))
	}
	if e, ok := replyCodes[code/100]; ok {
		return e.advice(rule(code))
	}
	return Advice{Class: Unknown, Meaning: "This is no answer of SMTP that we know.", Who: Sender,
		Do: []string{"Check that the whole answer was given, with its number."}}
}

// An entry is what is known of a code or a text.
type entry struct {
	class   Class
	who     Who
	meaning string
	do      string // sentences, each an item, parted by "|"
	link    string
}

func (e *entry) advice(rule string) Advice {
	a := Advice{Class: e.class, Meaning: e.meaning, Who: e.who, Rule: rule, Link: e.link}
	if e.do != "" {
		a.Do = strings.Split(e.do, "|")
	}
	return a
}

// A textRule is an entry for texts that hold all parts, joined by " & ", of any of its patterns.
type textRule struct {
	name     string
	patterns []string // in lower case
	entry
}

func (r *textRule) matches(text string) bool {
	for _, p := range r.patterns {
		all := true
		for part := range strings.SplitSeq(p, " & ") {
			all = all && strings.Contains(text, part)
		}
		if all {
			return true
		}
	}
	return false
}
