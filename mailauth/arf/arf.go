// Package arf reads, keeps and writes feedback reports about single messages: the Abuse Reporting Format
// (RFC 5965) with what RFC 6591 and RFC 9991 add for failures of authentication. Hosts send them when a
// user of theirs calls a message spam, or when a message fails DMARC.
//
// [Parse] takes what hosts really send and keeps what identifies the message, never its content. Whatever
// a report says is the word of a stranger.
package arf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"posthaste/kv"
	"posthaste/mailauth/reports"
	"posthaste/message"
)

// Bounds of a report.
const (
	maxReport = 256 << 10 // bytes of the machine-readable part that are read
	maxText   = 500       // bytes of one value
	maxList   = 20        // values of one field
)

// ErrNoReport says that a message brings no report.
var ErrNoReport = errors.New("arf: the message holds no feedback report (message/feedback-report)")

// A Report is what a host says about one message.
type Report struct {
	Type       string    `json:"type"` // abuse, fraud, virus, not-spam, auth-failure, other
	UserAgent  string    `json:"user_agent,omitempty"`
	MailFrom   string    `json:"mail_from,omitempty"` // reverse-path of the message
	Recipients []string  `json:"recipients,omitempty"`
	Arrival    time.Time `json:"arrival,omitzero"`
	Source     string    `json:"source,omitempty"` // IP address that it came from
	Reporter   string    `json:"reporter,omitempty"`
	Domains    []string  `json:"domains,omitempty"`
	URIs       []string  `json:"uris,omitempty"`
	Incidents  int64     `json:"incidents"` // at least 1
	EnvelopeID string    `json:"envelope_id,omitempty"`
	Results    []string  `json:"authentication_results,omitempty"`

	// Of failures of authentication (RFC 6591, RFC 9991).
	Failure      string `json:"failure,omitempty"` // adsp, bodyhash, revoked, signature, spf, dmarc
	Delivery     string `json:"delivery,omitempty"`
	Alignment    string `json:"alignment,omitempty"` // methods that did not align: "dkim, spf"
	DKIMDomain   string `json:"dkim_domain,omitempty"`
	DKIMIdentity string `json:"dkim_identity,omitempty"`
	DKIMSelector string `json:"dkim_selector,omitempty"`
	SPFRecord    string `json:"spf_dns,omitempty"`

	Original Original `json:"original,omitzero"`
}

// An Original is what the report shows of the message's header.
type Original struct {
	From      string    `json:"from,omitempty"`
	To        string    `json:"to,omitempty"`
	Subject   string    `json:"subject,omitempty"`
	MessageID string    `json:"message_id,omitempty"`
	Date      time.Time `json:"date,omitzero"`
}

// Parse returns the report that a message brings, or ErrNoReport.
func Parse(content []byte) (Report, error) {
	var fields []byte
	var r Report
	found := false
	message.Parse(content).Walk(func(p *message.Part) bool {
		switch {
		case !found && p.Type() == "message/feedback-report":
			body, err := p.Decode(nil)
			if err == nil {
				fields, found = body[:min(len(body), maxReport)], true
			}
		case found && p.Message != nil:
			r.Original = original(p.Message.Header)
			return false
		case found && (p.Type() == "text/rfc822-headers" || p.Type() == "message/rfc822-headers"):
			if body, err := p.Decode(nil); err == nil {
				r.Original = original(message.ParseHeader(body[:min(len(body), maxReport)]))
			}
			return false
		}
		return true
	})
	if !found {
		return Report{}, ErrNoReport
	}
	// Some hosts begin with an empty line, or leave out the one at the end.
	text := strings.TrimLeft(string(fields), "\r\n")
	r.read(message.ParseHeader([]byte(text + "\r\n\r\n")))
	if r.Type == "" {
		return Report{}, ErrNoReport
	}
	return r, nil
}

// read takes the fields of the machine-readable part over.
func (r *Report) read(h message.Header) {
	one := func(name string) string { return clean(h.Get(name)) }
	many := func(name string) []string {
		var all []string
		for _, v := range h.Values(name) {
			if v = clean(v); v != "" && len(all) < maxList {
				all = append(all, v)
			}
		}
		return all
	}
	r.Type, r.UserAgent = strings.ToLower(one("Feedback-Type")), one("User-Agent")
	r.MailFrom, r.EnvelopeID = strings.Trim(one("Original-Mail-From"), "<>"), one("Original-Envelope-Id")
	for _, to := range many("Original-Rcpt-To") {
		r.Recipients = append(r.Recipients, strings.Trim(to, "<>"))
	}
	date := cmp.Or(one("Arrival-Date"), one("Received-Date"))
	if t, ok := message.ParseDate(date); ok {
		r.Arrival = bounded(t)
	}
	source, _, _ := strings.Cut(one("Source-IP"), " ") // some hosts put a name after it
	r.Source, r.Reporter = strings.Trim(source, "[]"), strings.TrimPrefix(one("Reporting-MTA"), "dns; ")
	r.Domains, r.URIs, r.Results = many("Reported-Domain"), many("Reported-URI"), many("Authentication-Results")
	r.Incidents = 1
	if n, err := strconv.ParseInt(one("Incidents"), 10, 32); err == nil && n > 0 {
		r.Incidents = n
	}
	r.Failure, r.Delivery, r.Alignment = strings.ToLower(one("Auth-Failure")), strings.ToLower(one("Delivery-Result")), strings.ToLower(one("Identity-Alignment"))
	r.DKIMDomain, r.DKIMIdentity, r.DKIMSelector = one("DKIM-Domain"), one("DKIM-Identity"), one("DKIM-Selector")
	r.SPFRecord = one("SPF-DNS")
}

func original(h message.Header) Original {
	o := Original{From: clean(h.Text("From")), To: clean(h.Text("To")), Subject: clean(h.Subject()), MessageID: clean(h.MessageID())}
	if t, ok := h.Date(); ok {
		o.Date = bounded(t)
	}
	return o
}

// bounded returns t, or no time where JSON could not hold it.
func bounded(t time.Time) time.Time {
	if t = t.UTC(); t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}

// clean makes a stranger's words fit for one line of a terminal, and bounds them.
func clean(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), maxText)], "")
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 {
			return ' '
		}
		return c
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// Text tells r to people, a line for each thing known.
func (r Report) Text() string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-16s %s\n", name, value)
		}
	}
	date := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.DateTime)
	}
	line("Type", r.Type)
	line("Failure", r.Failure)
	line("Not aligned", r.Alignment)
	line("Reporter", strings.TrimSpace(r.Reporter+" "+r.UserAgent))
	line("Source", r.Source)
	line("Arrived", date(r.Arrival))
	line("Envelope from", r.MailFrom)
	line("Envelope to", strings.Join(r.Recipients, ", "))
	line("Delivery", r.Delivery)
	line("Domains", strings.Join(r.Domains, ", "))
	line("URIs", strings.Join(r.URIs, " "))
	line("DKIM", strings.TrimSpace(r.DKIMDomain+" "+r.DKIMSelector+" "+r.DKIMIdentity))
	line("SPF record", r.SPFRecord)
	for _, result := range r.Results {
		line("Results", result)
	}
	if r.Incidents > 1 {
		line("Incidents", strconv.FormatInt(r.Incidents, 10))
	}
	line("From", r.Original.From)
	line("To", r.Original.To)
	line("Subject", r.Original.Subject)
	line("Message-ID", r.Original.MessageID)
	line("Date", date(r.Original.Date))
	return b.String()
}

// An Inbox keeps the reports that come.
type Inbox struct {
	*reports.Inbox[Report]
}

// A Received is a report with its name in the Inbox and when it came.
type Received = reports.Kept[Report]

// NewInbox returns the Inbox in a store.
func NewInbox(store kv.Store) *Inbox { return &Inbox{reports.New[Report](store, "arf/in")} }

// Receive keeps the report that a message brings; one that came before is not kept twice. An error that
// is of the message, not of the store, is not worth another attempt.
func (in *Inbox) Receive(ctx context.Context, content []byte, now time.Time) (Received, error) {
	r, err := Parse(content)
	if err != nil {
		return Received{}, err
	}
	h := message.ParseHeader(content)
	identity := strings.Join([]string{h.MessageID(), r.Type, r.Source, r.Original.MessageID, r.MailFrom, r.Arrival.Format(time.RFC3339)}, "\x00")
	return in.Put(ctx, identity, r, now)
}
