// Package virus holds what the clients of virus scanners share: what follows from a virus, and from a
// message that a scanner does not take.
//
// The scanners are packages clamd and icap below, each a filter.Engine. A scanner that cannot be asked is
// an error of theirs, and filter.Guard says what it means. A scanner that answered but would not look,
// because a message is too large for it, is no error: asking again would change nothing. [Policy] then
// says what becomes of the message.
package virus

import (
	"fmt"
	"strings"

	"posthaste/filter"
	"posthaste/mail"
)

// Bounds on what a scanner may say.
const (
	MaxName  = 200 // bytes of the name of a virus
	maxNames = 5   // that are told of one message
)

// foundWeight makes sure of spam where Policy only asks for weights.
const foundWeight = 25

// A Policy says what becomes of messages.
type Policy struct {
	Found     mail.Action // with a virus
	Unscanned mail.Action // that a scanner would not look into
}

// Infected is the result for a message in which engine found names. There is at least one finding even
// where names is empty.
func (p Policy) Infected(engine string, names ...string) filter.Result {
	if len(names) == 0 {
		names = []string{"unnamed"}
	}
	r := filter.Result{Action: p.Found}
	for i, name := range names[:min(len(names), maxNames)] {
		f := mail.Finding{Rule: "VIRUS_FOUND", Evidence: engine + ": " + CleanName(name), Meaning: "A virus scanner knows a part of this message as harmful."}
		if i == 0 {
			f.Weight = foundWeight
		}
		r.Findings = append(r.Findings, f)
	}
	name := CleanName(names[0])
	r.Reason = fmt.Sprintf("%s found the virus %s", engine, name)
	if p.Found == mail.Reject {
		r.Reply = mail.NewStatus(554, "5.7.1", "the message has a virus: %s", name)
	}
	return r
}

// NotScanned is the result for a message that engine did not look into, and why.
func (p Policy) NotScanned(engine, why string) filter.Result {
	r := filter.Result{Action: p.Unscanned, Findings: []mail.Finding{{Rule: "VIRUS_UNSCANNED", Evidence: engine + ": " + why,
		Meaning: "A virus scanner did not look into this message."}}}
	if p.Unscanned == mail.Accept {
		return r
	}
	r.Reason = fmt.Sprintf("%s did not scan the message: %s", engine, why)
	if p.Unscanned == mail.Reject {
		r.Reply = mail.NewStatus(554, "5.7.1", "the message cannot be scanned for viruses: %s", CleanName(why))
	}
	return r
}

// CleanName makes of what a scanner said text that may stand in a reply: printable ASCII, at most MaxName
// bytes.
func CleanName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, strings.TrimSpace(s[:min(len(s), MaxName)]))
	if s == "" {
		return "unnamed"
	}
	return s
}
