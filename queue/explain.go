package queue

import (
	"fmt"
	"strings"
	"time"

	"posthaste/mail"
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
)

// explanations go by enhanced code (RFC 3463): the longest prefix after the class counts.
var explanations = map[string]explanation{
	"1.1":  {"there is no such address.", senders, "check the part before the @ for typing errors, or ask the recipient for the right address."},
	"1.2":  {"there is no mail system for the part after the @.", senders, "check the part after the @ for typing errors."},
	"1.3":  {"the address is not written as addresses are.", senders, "check the address for typing errors."},
	"1.6":  {"the recipient has moved and left no new address.", recipients, "ask the recipient for the new address."},
	"1.7":  {"the recipient's system does not accept the sender's address.", senders, "check the sender's address in your mail program."},
	"1.8":  {"the recipient's system does not accept the sender's domain.", senders, "ask your postmaster to check the DNS of your domain."},
	"1.10": {"the domain accepts no mail at all.", senders, "check the part after the @; the owner of that domain says that it receives no mail."},
	"1":    {"something is wrong with the address.", senders, "check the address."},
	"2.1":  {"the recipient's mailbox is switched off.", recipients, "reach the recipient in another way."},
	"2.2":  {"the recipient's mailbox is full.", recipients, "tell the recipient in another way, or try again later."},
	"2.3":  {"the message is larger than the recipient may receive.", senders, "send it smaller, or put large files elsewhere and send a link."},
	"2":    {"the recipient's mailbox does not take the message.", recipients, "reach the recipient in another way."},
	"3.4":  {"the message is larger than the recipient's mail system accepts.", senders, "send it smaller, or put large files elsewhere and send a link."},
	"3":    {"the recipient's mail system has a problem or does not accept mail now.", theirs, "try again later, or tell the recipient in another way."},
	"4.1":  {"the recipient's mail system could not be reached.", theirs, "check the part after the @; if it is right, try again later."},
	"4.2":  {"the connection to the recipient's mail system broke.", theirs, "try again later."},
	"4.3":  {"the DNS did not tell where mail for this domain goes.", theirs, "try again later."},
	"4.6":  {"the message went round in a circle between mail systems.", theirs, "tell the postmaster of the recipient's domain; a forwarding leads back to itself."},
	"4.7":  {"we tried for days, and the recipient's mail system never took it.", theirs, "tell the recipient in another way, or try again later."},
	"4":    {"the way to the recipient's mail system did not work.", theirs, "try again later."},
	"6.7":  {"an address has characters that a mail system on the way cannot handle.", theirs, "use an address of plain letters, if the recipient has one."},
	"6":    {"the message has a form that the recipient's mail system cannot take.", senders, "send it in a simpler form."},
	"7.1":  {"the recipient's mail system refuses the message by its rules.", theirs, "read its answer below; if you think it is wrong, tell the recipient in another way."},
	"7":    {"the recipient's mail system refuses the message for reasons of security or policy.", theirs, "read its answer below; it may name what to change or whom to ask."},
}

// explain puts a status in plain words. later says that it is not the last word.
func explain(s *mail.Status, later bool) explanation {
	var detail string
	if len(s.Enhanced) > 2 {
		detail = s.Enhanced[2:]
	}
	subject, _, _ := strings.Cut(detail, ".")
	e, ok := explanations[detail]
	if !ok {
		e, ok = explanations[subject]
	}
	if !ok {
		e = explanation{"the recipient's mail system refused it.", theirs, "read its answer below."}
	}
	if later && s.Peer != "" && subject != "4" {
		e.what = "the recipient's mail system asks to try again later."
	}
	if s.Peer == "" && e.whose == theirs && (subject == "3" || subject == "7") {
		e.whose = ours
		e.what = strings.Replace(e.what, "the recipient's mail system", "this mail system", 1)
		e.remedy = "ask the postmaster of this mail system."
	}
	return e
}
