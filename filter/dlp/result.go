package dlp

import (
	"fmt"
	"strings"

	"posthaste/filter"
	"posthaste/mail"
)

// A kind is what a match is of.
type kind uint8

const (
	kindCard kind = iota
	kindIBAN
	kindPattern
	kinds
)

// A breach is how a message breaks one rule, or does not.
type breach struct {
	rule      *Rule
	seen      map[string]bool // matches, so that none counts twice
	count     [kinds]int      // different matches
	first     [kinds]string   // the first of each kind
	where     []string        // places, each once
	documents []found
}

type found struct {
	name  string
	share float64
}

// maxPlaces bounds the places that are named.
const maxPlaces = 3

// add counts a match, unless it was seen before, and tells whether to go on.
func (b *breach) add(k kind, match, where string) bool {
	if b.seen[match] {
		return true
	}
	b.seen[match] = true
	if b.count[k] == 0 {
		b.first[k] = match
	}
	b.count[k]++
	if len(b.where) < maxPlaces && (len(b.where) == 0 || b.where[len(b.where)-1] != where) {
		b.where = append(b.where, where)
	}
	return len(b.seen) < maxMatches
}

// breaks tells whether the rule is broken.
func (b *breach) breaks() bool { return len(b.seen) >= b.rule.Count || len(b.documents) > 0 }

// evidence says what was found, without saying it.
func (b *breach) evidence() string {
	var parts []string
	for k, what := range [kinds]string{"card number", "IBAN", "piece of text of a forbidden form"} {
		n := b.count[k]
		if n == 0 {
			continue
		}
		text := "a " + what
		if k == int(kindIBAN) {
			text = "an " + what
		}
		if n > 1 {
			text = fmt.Sprintf("%d %ss", n, strings.Replace(what, "piece of", "pieces of", 1))
			text = strings.Replace(text, "forms", "form", 1)
		}
		if hint := hint(kind(k), b.first[k]); hint != "" && n == 1 {
			text += " that ends in " + hint
		} else if hint != "" {
			text += ", one of which ends in " + hint
		}
		parts = append(parts, text)
	}
	text := strings.Join(parts, " and ")
	if text != "" {
		text += " (" + strings.Join(b.where, ", ") + ")"
	}
	for _, d := range b.documents {
		if text != "" {
			text += "; "
		}
		text += fmt.Sprintf("%.0f %% of the document %q", 100*d.share, d.name)
	}
	return text
}

// hint returns the last digits of a number, by which its owner knows it and nobody else.
func hint(k kind, match string) string {
	if k == kindPattern || len(match) < 8 {
		return ""
	}
	return match[len(match)-4:]
}

// result says what becomes of a message that breaks rules.
func result(broken []breach) (r filter.Result) {
	for i := range broken {
		b := &broken[i]
		r.Findings = append(r.Findings, mail.Finding{Rule: "DLP_" + ruleName(b.rule.Name), Evidence: b.evidence(),
			Meaning: "The message holds what a rule of this site does not let out."})
		action := map[Action]mail.Action{Warn: mail.Tag, Hold: mail.Quarantine, Block: mail.Reject}[b.rule.Action]
		if action > r.Action {
			r.Action, r.Reason = action, fmt.Sprintf("rule %q: it holds %s", b.rule.Name, b.evidence())
			if action == mail.Reject {
				r.Reply = mail.NewStatus(550, "5.7.1", "%s", b.refusal())
			}
		}
		if b.rule.Action == Warn {
			r.Edits.Fields = append(r.Edits.Fields, filter.FieldEdit{Op: filter.AddField, Name: Header, Value: ruleName(b.rule.Name)})
		}
	}
	return r
}

// refusal tells the sender what to remove.
func (b *breach) refusal() string {
	text := fmt.Sprintf("the message holds %s, which rule %q of this site does not let out: remove that and send it again", b.evidence(), b.rule.Name)
	if b.rule.Advice != "" {
		text += ". " + b.rule.Advice
	}
	return ascii(text)
}

// ruleName returns the name of a rule in the form of names of findings.
func ruleName(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z' || r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, name)
}

// maxReply bounds the text of a reply (RFC 5321 section 4.5.3.1.5 has 512 bytes for a line).
const maxReply = 450

// ascii returns a text as an SMTP reply may have it.
func ascii(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	if len(s) > maxReply {
		s = s[:maxReply-3] + "..."
	}
	return s
}

// Notice returns the text that tells a sender, in words, about a message that went out or is kept, and
// "" where there is nothing to tell.
func Notice(subject string, r filter.Result) string {
	var b strings.Builder
	switch r.Action {
	case mail.Tag:
		fmt.Fprintf(&b, "Your message %q was sent. It holds what the rules of this site want you to think about:\r\n", subject)
	case mail.Quarantine:
		fmt.Fprintf(&b, "Your message %q was not sent yet. Somebody has to release it first, because of what it holds:\r\n", subject)
	default:
		return ""
	}
	for _, f := range r.Findings {
		if strings.HasPrefix(f.Rule, "DLP_") {
			fmt.Fprintf(&b, "\r\n- %s", f.Evidence)
		}
	}
	b.WriteString("\r\n\r\nIf that was not meant to leave, tell whoever looks after your mail.\r\n")
	return b.String()
}
