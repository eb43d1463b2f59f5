package tlsrpt

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"posthaste/mail"
	"posthaste/message"
	"posthaste/smtp"
)

// Bounds of a report that comes in.
const (
	maxPacked   = 2 << 20  // bytes, compressed
	maxUnpacked = 16 << 20 // bytes of JSON
	maxEntries  = 1000     // policies, and failures of each
)

// report makes the Report about a domain and day.
func (c *Collector) report(day, domain string, policies sums) Report {
	start, _ := time.Parse(dayLayout, day) // send has read it before
	return Report{
		Organization: c.cfg.Organization,
		Range:        Range{Start: start, End: start.Add(24*time.Hour - time.Second)},
		Contact:      c.cfg.Contact,
		ID:           day + "_" + domain + "@" + c.cfg.Hostname,
		Policies:     policies,
	}
}

// pack returns r as compressed JSON.
func (r Report) pack() ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := json.NewEncoder(z).Encode(r); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// compose writes the mail that carries a report (RFC 8460 section 5.3).
func (c *Collector) compose(r Report, domain string, to mail.Address, packed []byte) []byte {
	var b message.Builder
	from := c.cfg.From
	b.Field("From", "<"+from.String()+">")
	b.Field("To", "<"+to.String()+">")
	b.Date(time.Now())
	b.Field("Message-ID", "<"+r.ID[:strings.LastIndexByte(r.ID, '@')]+"@"+c.cfg.Hostname+">")
	b.Text("Subject", fmt.Sprintf("Report Domain: %s Submitter: %s Report-ID: <%s>", domain, from.Domain, r.ID))
	b.Field("TLS-Report-Domain", domain)
	b.Field("TLS-Report-Submitter", from.Domain)
	b.Field("TLS-Required", "No")
	b.Field("Auto-Submitted", "auto-generated")
	body := message.Multipart("report", message.TextEntity("plain", r.Text()), message.Entity{
		Type: "application/tlsrpt+gzip", Disposition: "attachment", Body: packed,
		Filename: fmt.Sprintf("%s!%s!%d!%d.json.gz", from.Domain, domain, r.Range.Start.Unix(), r.Range.End.Unix()),
	})
	body.Params = append(body.Params, message.Param{Name: "report-type", Value: "tlsrpt"})
	return b.Body(body)
}

// parseMailto reads the address of a mailto: URI (RFC 6068). Its header fields are not honoured.
func parseMailto(u *url.URL) (mail.Address, error) {
	text, err := url.PathUnescape(u.Opaque)
	if err != nil {
		return mail.Address{}, err
	}
	return smtp.ParseAddress(text)
}

// errNoReport says that a message brings no report.
var errNoReport = errors.New("tlsrpt: the message holds no TLS report (application/tlsrpt+gzip or +json)")

// Extract returns the Report that a message brings. A message without one is an error.
func Extract(content []byte) (Report, error) {
	var found *message.Part
	message.Parse(content).Walk(func(p *message.Part) bool {
		if t := p.Type(); found == nil && (t == "application/tlsrpt+gzip" || t == "application/tlsrpt+json") {
			found = p
		}
		return found == nil
	})
	if found == nil {
		return Report{}, errNoReport
	}
	body, err := found.Decode(nil)
	if err != nil {
		return Report{}, fmt.Errorf("tlsrpt: the attachment cannot be decoded: %w", err)
	}
	return Parse(body)
}

// Parse reads a report as JSON, compressed by gzip or not.
func Parse(b []byte) (Report, error) {
	if len(b) > maxPacked {
		return Report{}, fmt.Errorf("tlsrpt: a report of %d bytes: at most %d are read", len(b), maxPacked)
	}
	if bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return Report{}, fmt.Errorf("tlsrpt: %w", err)
		}
		if b, err = io.ReadAll(io.LimitReader(z, maxUnpacked+1)); err != nil {
			return Report{}, fmt.Errorf("tlsrpt: %w", err)
		}
		if len(b) > maxUnpacked {
			return Report{}, fmt.Errorf("tlsrpt: a report of more than %d bytes when unpacked", maxUnpacked)
		}
	}
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		return Report{}, fmt.Errorf("tlsrpt: not a report: %w", err)
	}
	return r, r.check()
}

func (r *Report) check() error {
	if r.ID == "" || r.Organization == "" || len(r.Policies) == 0 {
		return errors.New("tlsrpt: not a report: it has no report-id, organization-name or policies")
	}
	if len(r.Policies) > maxEntries {
		return fmt.Errorf("tlsrpt: a report of %d policies: at most %d are read", len(r.Policies), maxEntries)
	}
	for i := range r.Policies {
		p := &r.Policies[i]
		p.Details = p.Details[:min(len(p.Details), maxEntries)]
	}
	return nil
}

// UnmarshalJSON reads a Policy. Some senders give one string where RFC 8460 has a list.
func (p *Policy) UnmarshalJSON(b []byte) error {
	var raw struct {
		Type   string `json:"policy-type"`
		String texts  `json:"policy-string"`
		Domain string `json:"policy-domain"`
		MX     texts  `json:"mx-host"`
	}
	err := json.Unmarshal(b, &raw)
	*p = Policy{raw.Type, raw.String, raw.Domain, raw.MX}
	return err
}

type texts []string

func (t *texts) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = nil
		if one != "" {
			*t = texts{one}
		}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
}

// Text sums r up for people. What strangers wrote is made safe for a terminal.
func (r Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "TLS report %s of %s (%s),\r\n%s to %s\r\n", r.ID, r.Organization, r.Contact,
		r.Range.Start.UTC().Format(time.DateTime), r.Range.End.UTC().Format(time.DateTime))
	for _, p := range r.Policies {
		fmt.Fprintf(&b, "\r\n%s, policy %s: %d sessions succeeded, %d failed\r\n", p.Policy.Domain, p.Policy.Type, p.Summary.Successful, p.Summary.Failed)
		for _, f := range p.Details {
			fmt.Fprintf(&b, "  %6d %s", f.Sessions, f.Result)
			for _, more := range []struct{ name, text string }{{" at ", f.Host}, {" ", f.ReceivingIP}, {" from ", f.SendingIP}, {": ", f.Reason}} {
				if more.text != "" {
					b.WriteString(more.name + more.text)
				}
			}
			b.WriteString("\r\n")
		}
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' && c != '\r' && c != '\n' || c >= 0x7f && c < 0xa0 {
			return '?'
		}
		return c
	}, b.String())
}
