package quarantine

import (
	"fmt"
	"html"
	"strings"
	"time"

	"posthaste/mail"
	"posthaste/message"
)

// A listed message is one of a digest, for one recipient.
type listed struct {
	*Entry
	to *Recipient
}

// A digest is what a digest mail tells.
type digest struct {
	hostname string
	from, to mail.Address
	base     string // of links
	secret   []byte // nil: no links
	keep     time.Duration
	now      time.Time
	list     []listed // the newest first
	total    int      // messages that are news, those beyond list included
}

// content returns the mail. It is no answer to anybody, and none is to be made to it (RFC 3834).
func (d *digest) content(id mail.QueueID) []byte {
	var b message.Builder
	b.Date(d.now)
	b.Addresses("From", []message.MailAddress{{Name: "Quarantine", Local: d.from.Local, Domain: d.from.Domain}})
	b.Addresses("To", []message.MailAddress{{Local: d.to.Local, Domain: d.to.Domain}})
	b.Text("Subject", d.subject())
	b.Field("Message-ID", "<"+string(id)+"@"+d.hostname+">")
	b.Field("Auto-Submitted", "auto-generated")
	return b.Body(message.Multipart("alternative", message.TextEntity("plain", d.plain()), message.TextEntity("html", d.html())))
}

func (d *digest) subject() string {
	if d.total == 1 {
		return "1 message is waiting in your quarantine"
	}
	return fmt.Sprintf("%d messages are waiting in your quarantine", d.total)
}

// intro says what this mail is about, in words.
func (d *digest) intro() string {
	return fmt.Sprintf("Since the last summary, mail for you was kept apart because it looks dangerous or unwanted. "+
		"If you do nothing, each message is deleted after %s.", days(d.keep))
}

func (d *digest) advice() string {
	if d.secret == nil {
		return "To get one of these messages, ask whoever looks after your mail and name its ID."
	}
	return "A link opens a page that asks you once more; nothing happens before you press its button. " +
		"Do not pass this mail on: whoever has it can release these messages to you."
}

// more says how many messages are not listed, or nothing.
func (d *digest) more() string {
	switch n := d.total - len(d.list); {
	case n == 1:
		return "One more is not listed here."
	case n > 1:
		return fmt.Sprintf("%d more are not listed here.", n)
	}
	return ""
}

// links returns what can be done with a message, with its words.
func (d *digest) links(l *listed) []struct{ text, url string } {
	if d.secret == nil {
		return nil
	}
	until := l.Time.Add(d.keep).Unix()
	url := func(a action) string {
		return (&link{a, l.ID, l.to.Owner, until}).url(d.base, d.secret)
	}
	links := []struct{ text, url string }{{"Release", url(actRelease)}}
	if l.AuthorAt != "" {
		links = append(links, struct{ text, url string }{"Release and trust the sender", url(actTrust)})
	}
	return append(links, struct{ text, url string }{"Delete", url(actDelete)})
}

// author returns who the message says it is from, or what to say in its place.
func (e *Entry) author() string {
	if e.Author == "" {
		return "(no sender)"
	}
	return e.Author
}

func (e *Entry) subject() string {
	if e.Subject == "" {
		return "(no subject)"
	}
	return e.Subject
}

// maxMeanings bounds how much of a verdict its recipient is told.
const maxMeanings = 2

// Why is the reason for people who know nothing of points: with what the gravest findings mean.
func (e *Entry) Why() string {
	var meanings []string
	for _, f := range e.Verdict.Findings { // the gravest come first
		if meaning := strings.TrimSuffix(f.Meaning, "."); f.Weight > 0 && meaning != "" && len(meanings) < maxMeanings {
			meanings = append(meanings, meaning)
		}
	}
	if len(meanings) == 0 {
		return e.Reason
	}
	return short(e.Reason + ": " + strings.Join(meanings, "; "))
}

func (d *digest) plain() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("%s\r\n", d.intro())
	for i := range d.list {
		l := &d.list[i]
		line("From:    %s", l.author())
		line("Subject: %s", l.subject())
		line("Date:    %s", l.Time.In(d.now.Location()).Format(time.RFC1123Z))
		line("Why:     %s", l.Why())
		line("ID:      %s", l.ID)
		for _, a := range d.links(l) {
			line("%s: %s", a.text, a.url)
		}
		line("")
	}
	if more := d.more(); more != "" {
		line("%s\r\n", more)
	}
	line("%s", d.advice())
	return b.String()
}

// html returns the digest for programs that show HTML. It loads nothing, and every word of a stranger is
// escaped.
func (d *digest) html() string {
	var b strings.Builder
	add := func(format string, args ...any) {
		for i := range args {
			args[i] = html.EscapeString(fmt.Sprint(args[i]))
		}
		fmt.Fprintf(&b, format+"\r\n", args...)
	}
	add(`<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">`+
		`<meta name="color-scheme" content="light dark"><title>%s</title></head>`, d.subject())
	add(`<body style="font-family: sans-serif; line-height: 1.5; max-width: 42em; margin: 1em auto; padding: 0 1em">`)
	add(`<h1 style="font-size: 1.3em">%s</h1><p>%s</p>`, d.subject(), d.intro())
	for i := range d.list {
		l := &d.list[i]
		add(`<hr style="border: 0; border-top: 1px solid #8888"><h2 style="font-size: 1.05em; margin-bottom: 0.2em; overflow-wrap: anywhere">%s</h2>`, l.subject())
		add(`<p style="margin: 0.2em 0; overflow-wrap: anywhere">%s<br>%s</p>`, l.author(), l.Time.In(d.now.Location()).Format("Monday, 2 January 2006, 15:04 MST"))
		add(`<p style="margin: 0.2em 0">Why: %s</p><p style="margin: 0.4em 0 1em">`, l.Why())
		for i, a := range d.links(l) {
			if i > 0 {
				add(`&nbsp;·&nbsp;`)
			}
			add(`<a href="%s">%s</a>`, a.url, a.text)
		}
		add(`<small>&nbsp;ID %s</small></p>`, l.ID)
	}
	add(`<hr style="border: 0; border-top: 1px solid #8888"><p>%s</p><p><small>%s</small></p></body></html>`, d.more(), d.advice())
	return b.String()
}
