package aggregate

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"slices"
	"strings"
	"time"

	"posthaste/mail"
	"posthaste/message"
)

// maxSent bounds a report as it is sent: many hosts take no more than 10 MB with base64 around it.
const maxSent = 7 << 20

// pack returns r as compressed XML. Where that is too large, rows of the fewest messages are left out.
func (r *Report) pack() ([]byte, error) {
	slices.SortFunc(r.Rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.key(), b.key()))
	})
	for {
		packed, err := r.zip()
		if err != nil || len(packed) <= maxSent {
			return packed, err
		}
		for _, row := range r.Rows[len(r.Rows)/2:] {
			r.Omitted += row.Count
		}
		r.Rows = r.Rows[:len(r.Rows)/2]
	}
}

func (r *Report) zip() ([]byte, error) {
	text, err := r.XML()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(text); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// compose writes the mail that carries a report (RFC 9990 section 3.5.2).
func (c *Collector) compose(r Report, to mail.Address, packed []byte) []byte {
	var b message.Builder
	from := c.cfg.From
	b.Field("From", "<"+from.String()+">")
	b.Field("To", "<"+to.String()+">")
	b.Date(time.Now())
	b.Field("Message-ID", "<"+r.ID+">")
	b.Field("Subject", fmt.Sprintf("Report Domain: %s Submitter: %s Report-ID: <%s>", r.Policy.Domain, from.Domain, r.ID))
	b.Field("Auto-Submitted", "auto-generated")
	return b.Body(message.Multipart("mixed", message.TextEntity("plain", r.Text()), message.Entity{
		Type: "application/gzip", Disposition: "attachment", Body: packed,
		Filename: fmt.Sprintf("%s!%s!%d!%d.xml.gz", from.Domain, r.Policy.Domain, r.Begin.Unix(), r.End.Unix()),
	}))
}

// maxLines is how many rows Text shows.
const maxLines = 100

// Text sums r up for people. What strangers wrote is on one line each, without control characters.
func (r Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "DMARC report %s of %s (%s)\n%s to %s\n\n%s asks for %s", r.ID, r.Organization, r.Email,
		r.Begin.UTC().Format(time.DateTime), r.End.UTC().Format(time.DateTime), r.Policy.Domain, cmp.Or(r.Policy.P, "nothing"))
	for _, more := range [][2]string{{"sp", r.Policy.SP}, {"np", r.Policy.NP}, {"adkim", r.Policy.ADKIM}, {"aspf", r.Policy.ASPF}, {"testing", r.Policy.Testing}} {
		if more[1] != "" {
			b.WriteString(", " + more[0] + "=" + more[1])
		}
	}
	b.WriteString("\n")
	if r.Error != "" {
		b.WriteString("Noted: " + r.Error + "\n")
	}
	total, pass := int64(0), int64(0)
	for _, row := range r.Rows {
		total += row.Count
		if row.Pass() {
			pass += row.Count
		}
	}
	fmt.Fprintf(&b, "%d messages, %d pass\n\n", total, pass)
	for i, row := range r.Rows {
		if i == maxLines {
			fmt.Fprintf(&b, "and %d rows more\n", len(r.Rows)-i)
			break
		}
		b.WriteString(row.String() + "\n")
	}
	return b.String()
}

// String returns a row for people.
func (r Row) String() string {
	s := fmt.Sprintf("%6d  %s  from %s", r.Count, r.Source, r.HeaderFrom)
	if r.EnvelopeFrom != "" && r.EnvelopeFrom != r.HeaderFrom {
		s += " (envelope " + r.EnvelopeFrom + ")"
	}
	s += fmt.Sprintf(": DKIM %s, SPF %s, %s", r.DKIM, r.SPF, cmp.Or(r.Disposition, "none"))
	for _, o := range r.Overrides {
		s += " (" + strings.TrimSpace(o.Type+" "+o.Comment) + ")"
	}
	for _, a := range r.DKIMResults {
		s += fmt.Sprintf(", dkim=%s %s", a.Result, a.Domain)
	}
	for _, a := range r.SPFResults {
		s += fmt.Sprintf(", spf=%s %s", a.Result, a.Domain)
	}
	return s
}
