package arf

import (
	"fmt"
	"strings"
	"time"

	"posthaste/mail"
	"posthaste/message"
)

// A Letter is what a report travels in.
type Letter struct {
	From, To  mail.Address
	Subject   string
	MessageID string // without angle brackets
	Text      string // for people
	Date      time.Time
	// Header is what is shown of the message that is reported; the caller has taken out what nobody
	// else shall see.
	Header []byte
}

// Compose writes the mail that carries a report (RFC 5965 section 2).
func Compose(l Letter, r Report) []byte {
	var b message.Builder
	b.Field("From", "<"+l.From.String()+">")
	b.Field("To", "<"+l.To.String()+">")
	b.Date(l.Date)
	b.Field("Message-ID", "<"+l.MessageID+">")
	b.Text("Subject", l.Subject)
	b.Field("Auto-Submitted", "auto-generated")
	body := message.Multipart("report", message.TextEntity("plain", l.Text),
		message.Entity{Type: "message/feedback-report", Body: r.fields()},
		message.Entity{Type: "text/rfc822-headers", Body: l.Header})
	body.Params = append(body.Params, message.Param{Name: "report-type", Value: "feedback-report"})
	return b.Body(body)
}

// fields writes the machine-readable part.
func (r Report) fields() []byte {
	var out []byte
	put := func(name string, values ...string) {
		for _, v := range values {
			if v = clean(v); v != "" {
				out = message.AppendField(out, name, v)
			}
		}
	}
	angle := func(address string) string { return "<" + strings.Trim(address, "<>") + ">" }
	put("Feedback-Type", r.Type)
	put("User-Agent", r.UserAgent)
	put("Version", "1")
	if r.MailFrom != "" || r.Type == "auth-failure" {
		put("Original-Mail-From", angle(r.MailFrom))
	}
	for _, to := range r.Recipients {
		put("Original-Rcpt-To", angle(to))
	}
	put("Original-Envelope-Id", r.EnvelopeID)
	if !r.Arrival.IsZero() {
		put("Arrival-Date", r.Arrival.UTC().Format(message.DateLayout))
	}
	if r.Reporter != "" {
		put("Reporting-MTA", "dns; "+r.Reporter)
	}
	put("Source-IP", r.Source)
	if r.Incidents > 1 {
		put("Incidents", fmt.Sprint(r.Incidents))
	}
	put("Reported-Domain", r.Domains...)
	put("Reported-URI", r.URIs...)
	put("Authentication-Results", r.Results...)
	put("Auth-Failure", r.Failure)
	put("Delivery-Result", r.Delivery)
	put("Identity-Alignment", r.Alignment)
	put("DKIM-Domain", r.DKIMDomain)
	put("DKIM-Identity", r.DKIMIdentity)
	put("DKIM-Selector", r.DKIMSelector)
	put("SPF-DNS", r.SPFRecord)
	return out
}
