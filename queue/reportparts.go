package queue

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"mime"
	"strings"
	"time"
	"unicode/utf8"

	"posthaste/mail"
)

// A page collects lines that end in CRLF.
type page struct{ bytes.Buffer }

func (p *page) line(format string, args ...any) {
	fmt.Fprintf(&p.Buffer, format, args...)
	p.WriteString("\r\n")
}

// write returns the report as a message: multipart/report (RFC 6522) of a text for people, a
// delivery status for programs (RFC 3464, RFC 6533), and what is returned of the original.
func (r *report) write() []byte {
	var p page
	boundary := rand.Text()
	r.header(&p, boundary)
	p.line("--%s", boundary)
	p.line("Content-Type: text/plain; charset=utf-8")
	p.line("Content-Transfer-Encoding: 8bit")
	p.line("")
	r.text(&p)
	p.line("--%s", boundary)
	r.status(&p)
	if r.content != nil {
		p.line("--%s", boundary)
		r.returned(&p)
	}
	p.line("--%s--", boundary)
	return p.Bytes()
}

func (r *report) header(p *page, boundary string) {
	kind := "delivery-status"
	if r.international() {
		kind = "global-delivery-status"
	}
	p.line("Received: by %s (Posthaste) id %s; %s", r.host, r.id, r.now.Format(time.RFC1123Z))
	p.line("From: Mail Delivery System <MAILER-DAEMON@%s>", r.host)
	p.line("To: <%s>", r.entry.Envelope.From)
	p.line("Subject: %s", foldWords(r.subject()))
	p.line("Date: %s", r.now.Format(time.RFC1123Z))
	p.line("Message-ID: <%s@%s>", r.id, r.host)
	if id := r.original().MessageID(); id != "" && isASCII(id) {
		p.line("In-Reply-To: %s", bracketed(id))
		p.line("References: %s", bracketed(id))
	}
	p.line("Auto-Submitted: auto-replied")
	p.line("MIME-Version: 1.0")
	p.line("Content-Type: multipart/report; report-type=%s;", kind)
	p.line("\tboundary=%q", boundary)
	p.line("")
	p.line("This is a report about your message, in the format of RFC 3464.")
	p.line("")
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
	if r.international() {
		p.line("Content-Type: message/global-delivery-status")
		p.line("Content-Transfer-Encoding: 8bit")
	} else {
		p.line("Content-Type: message/delivery-status")
	}
	p.line("")
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
	p.line("")
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
	p.line("Diagnostic-Code: smtp; %s", foldText(oneLine(to.Status.Error())))
	p.line("Last-Attempt-Date: %s", r.now.Format(time.RFC1123Z))
	p.line("Final-Log-ID: %s", r.entry.ID)
	if to.action == delayed {
		p.line("Will-Retry-Until: %s", r.entry.Created().Add(r.policy.Expire).Format(time.RFC1123Z))
	}
}

// returned writes the original, or its header.
func (r *report) returned(p *page) {
	original := header(r.content)
	kind, global := "text/rfc822-headers", "message/global-headers"
	if r.returns() {
		original, kind, global = r.content, "message/rfc822", "message/global"
	}
	eightBit := !isASCII(string(original))
	if r.international() && eightBit {
		kind = global
	}
	p.line("Content-Type: %s", kind)
	if eightBit {
		p.line("Content-Transfer-Encoding: 8bit")
	}
	p.line("")
	p.Write(original)
	if !bytes.HasSuffix(original, []byte("\r\n")) {
		p.line("")
	}
	p.line("")
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

// foldWords encodes s for a header where it needs that (RFC 2047), and folds it at spaces.
func foldWords(s string) string {
	return foldText(mime.QEncoding.Encode("utf-8", s))
}

// foldAt is where header lines are folded (RFC 5322 section 2.1.1).
const foldAt = 72

// foldText breaks s at spaces into lines of a header field.
func foldText(s string) string {
	var b strings.Builder
	column := len("Diagnostic-Code: ")
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
