package queue

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"posthaste/mail"
	"posthaste/message"
)

// A page collects lines.
type page struct{ bytes.Buffer }

func (p *page) line(format string, args ...any) {
	fmt.Fprintf(&p.Buffer, format, args...)
	p.WriteString("\r\n")
}

// write returns the report as a message: multipart/report (RFC 6522) of a text for people, a
// delivery status for programs (RFC 3464, RFC 6533), and what is returned of the original.
func (r *report) write() []byte {
	kind := "delivery-status"
	if r.international() {
		kind = "global-delivery-status"
	}
	var text, status page
	r.text(&text)
	r.status(&status)
	body := message.Multipart("report",
		message.TextEntity("plain", text.String()),
		message.Entity{Type: "message/" + kind, Body: status.Bytes()})
	body.Params = message.Params{{Name: "report-type", Value: kind}}
	if r.content != nil {
		body.Children = append(body.Children, r.returned())
	}
	return r.header().Body(body)
}

func (r *report) header() *message.Builder {
	var b message.Builder
	b.Field("From", "Mail Delivery System <MAILER-DAEMON@"+r.host+">")
	b.Field("To", "<"+r.entry.Envelope.From.String()+">")
	b.Text("Subject", r.subject())
	b.Date(r.now)
	b.Field("Message-ID", "<"+string(r.id)+"@"+r.host+">")
	if id := r.original().MessageID(); id != "" && isASCII(id) {
		b.Field("In-Reply-To", bracketed(id))
		b.Field("References", bracketed(id))
	}
	b.Field("Auto-Submitted", "auto-replied") // RFC 3834
	return &b
}

// subject says at once what happened to which message.
func (r *report) subject() string {
	head := map[action]string{
		failed: "Not delivered", delayed: "Not delivered yet", delivered: "Delivered",
		relayed: "Passed on", expanded: "Delivered and passed on",
	}[r.worst()]
	about := strings.ToValidUTF8(r.original().Subject(), "\uFFFD")
	if about == "" {
		return head + ": your message"
	}
	return head + ": " + shorten(about, maxQuotedSubject)
}

// maxQuotedSubject is how many characters of the original subject a report quotes.
const maxQuotedSubject = 150

// status writes the part for programs.
func (r *report) status(p *page) {
	env := &r.entry.Envelope
	if env.EnvID != "" {
		p.line("Original-Envelope-Id: %s", oneLine(env.EnvID))
	}
	p.line("Reporting-MTA: dns; %s", r.host)
	if from := receivedFrom(env.Origin); from != "" {
		p.line("Received-From-MTA: dns; %s", from)
	}
	p.line("Arrival-Date: %s", env.Received.Format(time.RFC1123Z))
	for i := range r.recipients {
		p.line("")
		r.statusOf(p, &r.recipients[i])
	}
}

func (r *report) statusOf(p *page, to *reported) {
	if to.ORcpt != "" {
		kind, address, _ := strings.Cut(to.ORcpt, ";")
		p.line("Original-Recipient: %s; %s", oneLine(kind), oneLine(strings.TrimSpace(address)))
	}
	p.line("Final-Recipient: %s; %s", addressType(to.Address), to.Address)
	p.line("Action: %s", to.action)
	p.line("Status: %s", statusCode(to))
	if to.Status.Peer != "" {
		p.line("Remote-MTA: dns; %s", oneLine(to.Status.Peer))
	}
	p.line("Diagnostic-Code: smtp; %s", r.diagnostic(to.Status))
	p.line("Last-Attempt-Date: %s", r.now.Format(time.RFC1123Z))
	p.line("Final-Log-ID: %s", r.entry.ID)
	if to.action == delayed {
		p.line("Will-Retry-Until: %s", r.until(&to.Recipient).Format(time.RFC1123Z))
	}
}

// returned is the original, or its header.
func (r *report) returned() message.Entity {
	part := message.Entity{Type: "text/rfc822-headers", Body: header(r.content)}
	global := "message/global-headers"
	if r.returns() {
		part.Type, part.Body, global = "message/rfc822", r.content, "message/global"
	}
	if r.international() && !isASCII(string(header(r.content))) {
		part.Type = global
	}
	return part
}

// statusCode returns the enhanced code for the action. A peer may have given none, or one of another
// class than its reply.
func statusCode(to *reported) string {
	class := map[action]byte{failed: '5', delayed: '4'}[to.action]
	if class == 0 {
		class = '2'
	}
	code := to.Status.Enhanced
	if len(code) < 5 || code[1] != '.' {
		return string(class) + ".0.0"
	}
	return string(class) + code[1:]
}

func addressType(a mail.Address) string {
	if a.ASCII() {
		return "rfc822"
	}
	return "utf-8" // RFC 6533 section 3
}

func receivedFrom(o mail.Origin) string {
	if o.Account != 0 {
		return "" // where people submit from is nobody's business
	}
	if o.Name != "" {
		return o.Name
	}
	return oneLine(o.Helo)
}

// diagnostic is the answer as it came, folded. In a report for ASCII alone, other characters are
// replaced (RFC 3464 section 2.1.2).
func (r *report) diagnostic(s *mail.Status) string {
	text := oneLine(s.Error())
	if !r.international() {
		text = strings.Map(func(c rune) rune {
			if c >= 0x80 {
				return '?'
			}
			return c
		}, text)
	}
	return fold(text)
}

// foldAt is where lines are folded (RFC 5322 section 2.1.1).
const foldAt = 72

// fold breaks the value of a field at spaces.
func fold(s string) string {
	var b strings.Builder
	column := len("Diagnostic-Code: smtp; ")
	for i, word := range strings.Split(s, " ") {
		switch {
		case i == 0:
		case column+1+len(word) > foldAt && word != "":
			b.WriteString("\r\n ")
			column = 0
		default:
			b.WriteByte(' ')
		}
		b.WriteString(word)
		column += 1 + len(word)
	}
	return b.String()
}

// oneLine makes s, which came from outside, fit for one line of a header.
func oneLine(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, shorten(s, maxQuotedAnswer))
}

// maxQuotedAnswer is how many characters of a peer's answer a report quotes.
const maxQuotedAnswer = 2000

func shorten(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

func bracketed(id string) string {
	if strings.HasPrefix(id, "<") {
		return id
	}
	return "<" + id + ">"
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
