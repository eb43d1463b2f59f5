package queue

import (
	"fmt"
	"strings"
	"time"

	"posthaste/mail"
	replies "posthaste/reply"
)

// text writes the part for people: what happened, why, whose matter it is, what to do, which message,
// and the answer verbatim.
func (r *report) text(p *page) {
	p.line("This is the mail system at %s.", r.host)
	for _, part := range []struct {
		action action
		title  string
	}{
		{failed, "Your message could not be delivered to:"},
		{delayed, "Your message has not been delivered yet to:"},
		{delivered, "Your message was delivered to:"},
		{relayed, "Your message was passed on to a mail system that reports no more, for:"},
		{expanded, "Your message was delivered and passed on to those behind:"},
	} {
		if r.any(part.action) {
			r.section(p, part.action, part.title)
		}
	}
	r.about(p)
}

func (r *report) section(p *page, a action, title string) {
	p.line("")
	p.line("%s", title)
	for i := range r.recipients {
		if to := &r.recipients[i]; to.action == a {
			p.line("")
			p.line("  %s", to.Address)
			if a == failed || a == delayed {
				r.why(p, to)
			}
		}
	}
	if a == delayed {
		until := r.untilOf(a)
		p.line("")
		p.line("You need not do anything: we go on trying, and tell you if we give up")
		p.line("on %s. Please do not send the message again.", until.Format("Mon, 2 Jan 2006 15:04 -0700"))
	}
}

// untilOf returns when we give up on the last recipient that the action speaks of.
func (r *report) untilOf(a action) (until time.Time) {
	for i := range r.recipients {
		if to := &r.recipients[i]; to.action == a && r.until(&to.Recipient).After(until) {
			until = r.until(&to.Recipient)
		}
	}
	return until
}

func (r *report) why(p *page, to *reported) {
	e := explain(to.Status, to.action == delayed)
	p.line("")
	p.labelled("What happened:", e.what)
	p.labelled("Who can help:", e.whose)
	if to.action == failed {
		p.labelled("What to do:", e.remedy)
	}
	by := "The answer of this mail system"
	if to.Status.Peer != "" {
		by = "The answer of " + oneLine(to.Status.Peer)
	}
	p.line("  %s:", by)
	for line := range strings.Lines(to.Status.Error()) {
		p.line("    %s", oneLine(strings.TrimRight(line, "\r\n")))
	}
}

// labelled writes a label and a text that is wrapped beside it.
func (p *page) labelled(label, text string) {
	const indent = 17
	line := fmt.Sprintf("  %-*s", indent-3, label)
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > foldAt {
			p.line("%s", line)
			line = strings.Repeat(" ", indent-1)
		}
		line += " " + word
	}
	p.line("%s", line)
}

// about says which message this is about.
func (r *report) about(p *page) {
	h := r.original()
	p.line("")
	p.line("About your message")
	p.line("")
	if s := h.Subject(); s != "" {
		p.line("  Subject:    %s", oneLine(s))
	}
	if s := h.Get("Date"); s != "" {
		p.line("  Sent:       %s", oneLine(s))
	}
	if s := h.MessageID(); s != "" {
		p.line("  Message-ID: %s", oneLine(bracketed(s)))
	}
	p.line("  Taken:      %s", r.entry.Created().Format(time.RFC1123Z))
	p.line("  Queue ID:   %s (quote it when you ask the postmaster)", r.entry.ID)
	if r.content != nil && !r.returns() {
		p.line("")
		p.line("The header of your message is attached. Its text is still in your")
		p.line("Sent mailbox, if your mail program keeps one.")
	}
	p.line("")
}

// An explanation is a status in plain words.
type explanation struct{ what, whose, remedy string }

const (
	senders    = "you, the sender."
	recipients = "the recipient."
	theirs     = "the recipient's mail system, or its postmaster."
	ours       = "the postmaster of this mail system."
	nobodys    = "nobody needs to: time will do."
)

// whose says who can help.
var whose = map[replies.Who]string{
	replies.Sender: senders, replies.Recipient: recipients, replies.TheirAdmin: theirs, replies.OurAdmin: ours, replies.Nobody: nobodys,
}

// explain puts a status in plain words, those of `posthaste explain reply`. later says that it is not
// the last word.
func explain(s *mail.Status, later bool) explanation {
	text := s.Text
	if s.Peer == "" {
		text = "" // our own words need no guessing
	}
	a := replies.Explain(s.Code, s.Enhanced, text)
	e := explanation{what: a.Meaning, whose: whose[a.Who], remedy: strings.Join(a.Do, " ")}
	if a.Who == replies.OurAdmin {
		e.remedy = "Show this report to your postmaster, who can do this: " + e.remedy
	}
	known := strings.HasPrefix(a.Rule, "x.") || s.Peer == ""
	if later && known && s.Peer != "" && a.Class != replies.Network {
		e.what = "The recipient's mail system asks to try again later."
	}
	if s.Peer == "" && e.whose == theirs && a.Class != replies.Network && a.Class != replies.Unknown {
		e.whose = ours
		e.what = strings.Replace(e.what, "The recipient's mail system", "This mail system", 1)
		e.remedy = "Ask the postmaster of this mail system."
	}
	return e
}
