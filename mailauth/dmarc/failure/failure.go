// Package failure tells the owner of a domain about single messages that fail DMARC, where the domain asks
// for it: failure reports (RFC 9991). Operators turn it on; it is off by default, because such reports tell
// strangers about the mail of our users.
//
// What a report shows is little: the results, the domains, and some fields of the header in which every
// local-part is replaced. Never the subject, the recipients or the content. A [Reporter] sends few: its
// rates for each domain and in all are bounded, and no message that may be a report itself leads to one.
package failure

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"posthaste/mail"
	"posthaste/mailauth/arf"
	"posthaste/mailauth/dmarc"
	"posthaste/mailauth/dmarc/aggregate"
	"posthaste/mailauth/results"
	"posthaste/message"
)

// Bounds of a Reporter.
const (
	perDomain  = 10  // reports about one domain in an hour
	perHour    = 200 // reports in all
	maxDomains = 10_000
	maxWaiting = 100      // messages that wait for their report; more are not reported
	maxHeader  = 16 << 10 // bytes of the header that is shown
)

// A Queue takes the mail that reports travel in: *queue.Queue.
type Queue interface {
	NewID() mail.QueueID
	Put(ctx context.Context, env mail.Envelope, content mail.Content) (mail.QueueID, error)
}

// Config is what a Reporter needs.
type Config struct {
	From      mail.Address // of report mail, in header and envelope
	Hostname  string
	UserAgent string // Default: "Posthaste"
	Queue     Queue
	Resolver  dmarc.Resolver
	Log       *slog.Logger
}

// A Message is one that was evaluated.
type Message struct {
	ID           mail.QueueID // names the report
	Header       message.Header
	Result       dmarc.Result
	Results      results.Field // what our Authentication-Results says
	Source       netip.Addr
	EnvelopeFrom mail.ReversePath
	SPF          aggregate.Auth
	DKIM         []aggregate.Auth // of every signature
	Delivery     string           // delivered, spam, policy, reject, other (RFC 6591 section 3.2.2)
}

// A Reporter makes and sends reports. It is safe for concurrent use.
type Reporter struct {
	cfg     Config
	waiting chan pending

	mu      sync.Mutex // guards what follows
	hour    time.Time
	total   int
	domains map[string]int
}

// A pending is a report without its addresses.
type pending struct {
	record dmarc.Record
	domain string
	letter arf.Letter
	report arf.Report
	spf    string // the domain whose SPF record is to be shown
}

// New returns a Reporter. Run sends what it is offered.
func New(cfg Config) *Reporter {
	cfg.UserAgent = cmp.Or(cfg.UserAgent, "Posthaste")
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Reporter{cfg: cfg, waiting: make(chan pending, maxWaiting), domains: make(map[string]int)}
}

// Offer tells of a message. It does not block, and tells whether a report will be tried; a nil Reporter
// makes none.
func (r *Reporter) Offer(m Message, now time.Time) bool {
	if r == nil || !Wanted(m) || !r.allowed(m.Result.Domain, now) {
		return false
	}
	select {
	case r.waiting <- r.prepare(m, now):
		return true
	default:
		return false
	}
}

// Wanted tells whether the domain asks for a report about m, and m may have one. Public suffixes get none
// (RFC 9990 section 7.3).
func Wanted(m Message) bool {
	record := m.Result.Record
	decided := m.Result.Verdict == dmarc.Pass || m.Result.Verdict == dmarc.Fail
	if !decided || len(record.Failure) == 0 || record.PublicSuffix == "y" || mayBeReport(m) {
		return false
	}
	switch options := strings.Split(cmp.Or(record.FailureWhen, "0"), ":"); {
	case slices.Contains(options, "1"):
		return !m.Result.AlignedBy("spf") || !m.Result.AlignedBy("dkim")
	case slices.Contains(options, "0"):
		return m.Result.Verdict == dmarc.Fail
	}
	return false // reports of SPF and DKIM alone are not made
}

// mayBeReport tells whether a message may have been made by a machine, so that a report about it could
// lead to another.
func mayBeReport(m Message) bool {
	auto := strings.ToLower(m.Header.Get("Auto-Submitted"))
	return m.EnvelopeFrom.Null() || auto != "" && auto != "no" || strings.HasPrefix(strings.ToLower(m.Header.Get("Content-Type")), "multipart/report")
}

// allowed counts a report against the rates.
func (r *Reporter) allowed(domain string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if hour := now.UTC().Truncate(time.Hour); !hour.Equal(r.hour) {
		r.hour, r.total = hour, 0
		clear(r.domains)
	}
	if r.total >= perHour || r.domains[domain] >= perDomain || len(r.domains) >= maxDomains {
		return false
	}
	r.total++
	r.domains[domain]++
	return true
}

// prepare makes all of a report that needs no lookup.
func (r *Reporter) prepare(m Message, now time.Time) pending {
	report := arf.Report{
		Type: "auth-failure", UserAgent: r.cfg.UserAgent, Reporter: r.cfg.Hostname, Arrival: now, Incidents: 1,
		Domains: []string{m.Result.Author}, Failure: "dmarc", Delivery: m.Delivery, Alignment: alignment(m.Result),
		Results: []string{redact(m.Results.String())}, MailFrom: redact(m.EnvelopeFrom.Address.String()),
	}
	if m.Source.IsValid() {
		report.Source = m.Source.Unmap().String()
	}
	p := pending{record: m.Result.Record, domain: m.Result.Domain, report: report}
	for _, a := range m.DKIM {
		if a.Result != "pass" && near(a.Domain, m.Result.Author) {
			p.report.DKIMDomain, p.report.DKIMSelector, p.report.DKIMIdentity = a.Domain, a.Selector, "@"+a.Domain
			break
		}
	}
	if m.SPF.Result != "pass" && m.SPF.Domain != "" && near(m.SPF.Domain, m.Result.Author) {
		p.spf = m.SPF.Domain
	}
	p.letter = arf.Letter{
		From: r.cfg.From, Date: now, Header: shown(m.Header),
		MessageID: fmt.Sprintf("%s.%d.dmarc@%s", m.ID, now.UnixNano(), r.cfg.Hostname),
		Subject:   fmt.Sprintf("DMARC failure report about %s", m.Result.Author),
		Text: fmt.Sprintf("A message with %s in its From field came from %s.\n\n%s\n\nThis report is sent because the DMARC record of %s asks for it (RFC 9991).\n",
			m.Result.Author, cmp.Or(report.Source, "an unknown address"), m.Result.Reason, m.Result.Domain),
	}
	return p
}

// near tells whether one domain is the other or above it.
func near(a, b string) bool {
	return a == b || strings.HasSuffix(a, "."+b) || strings.HasSuffix(b, "."+a)
}

// alignment names the methods that did not authenticate a domain that aligns (RFC 9991 section 4).
func alignment(r dmarc.Result) string {
	var failed []string
	for _, method := range []string{"dkim", "spf"} {
		if !r.AlignedBy(method) {
			failed = append(failed, method)
		}
	}
	return cmp.Or(strings.Join(failed, ", "), "none")
}

// Run sends reports until ctx ends.
func (r *Reporter) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case p := <-r.waiting:
			if err := r.send(ctx, p); err != nil && ctx.Err() == nil {
				r.cfg.Log.Info("DMARC failure report not sent", "domain", p.domain, "reason", err)
			}
		}
	}
}

// send puts a report into the queue for every address that takes it.
func (r *Reporter) send(ctx context.Context, p pending) error {
	to, err := dmarc.Destinations(ctx, r.cfg.Resolver, p.domain, p.record, dmarc.FailureReport)
	if len(to) == 0 {
		return err
	}
	if p.spf != "" {
		p.report.SPFRecord = r.spfRecord(ctx, p.spf)
	}
	for _, address := range to {
		p.letter.To = address
		env := mail.Envelope{ID: r.cfg.Queue.NewID(), From: mail.ReversePath{Address: r.cfg.From}, Received: p.letter.Date,
			Recipients: []mail.Recipient{{Address: address, Notify: mail.NotifyNever}}}
		if _, err := r.cfg.Queue.Put(ctx, env, mail.Bytes(arf.Compose(p.letter, p.report))); err != nil {
			return err
		}
	}
	return nil
}

// spfRecord returns the record as the field SPF-DNS has it (RFC 6591 section 3.2.7).
func (r *Reporter) spfRecord(ctx context.Context, domain string) string {
	answer, err := r.cfg.Resolver.TXT(ctx, domain)
	if err != nil {
		return "txt : " + domain + " :"
	}
	for _, text := range answer.Records {
		if strings.HasPrefix(strings.ToLower(text), "v=spf1") {
			return "txt : " + domain + ` : "` + text + `"`
		}
	}
	return "txt : " + domain + " :"
}

// fields are those of a header that a report shows.
var fields = []string{"Return-Path", "Received", "DKIM-Signature", "ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results",
	"Authentication-Results", "Received-SPF", "From", "Sender", "Reply-To", "Date", "Message-ID", "MIME-Version", "Content-Type",
	"List-Id", "User-Agent", "X-Mailer"}

// shown returns what a report shows of a header.
func shown(h message.Header) []byte {
	var out []byte
	for _, f := range h.Fields() {
		if !slices.ContainsFunc(fields, f.Is) || len(out)+len(f.Raw()) > maxHeader {
			continue
		}
		if f.Is("From") || f.Is("Sender") || f.Is("Reply-To") {
			out = append(out, addressField(f)...)
			continue
		}
		out = append(out, redact(string(f.Raw()))...)
	}
	return bytes.ToValidUTF8(out, []byte("?"))
}

// addressField shows of addresses their domains alone: display names are names of people.
func addressField(f message.Field) []byte {
	var domains []string
	for a := range message.Mailboxes(message.ParseAddresses(string(f.Value()))) {
		if domain := a.Address().Domain; domain != "" && len(domains) < 20 {
			domains = append(domains, "<redacted@"+domain+">")
		}
	}
	return message.AppendField(nil, string(f.Name()), strings.Join(domains, ", "))
}

// redact replaces what stands before each "@" (RFC 6590), up to a character that no local-part has bare.
func redact(s string) string {
	var b strings.Builder
	for {
		at := strings.IndexByte(s, '@')
		if at < 0 {
			b.WriteString(s)
			return b.String()
		}
		start := strings.LastIndexAny(s[:at], " \t\r\n<>()[]:;,\"=") + 1
		if strings.HasSuffix(s[:at], `"`) { // a quoted local-part
			start = max(strings.LastIndexByte(s[:at-1], '"'), 0)
		}
		b.WriteString(s[:start])
		if start < at {
			b.WriteString("redacted")
		}
		b.WriteByte('@')
		s = s[at+1:]
	}
}
