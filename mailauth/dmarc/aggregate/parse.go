package aggregate

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Bounds of a report that comes in.
const (
	maxRows      = 5000    // that are kept; more only count in Omitted
	maxResults   = 10      // of DKIM and of SPF in a row
	maxOverrides = 5       // in a row
	maxElements  = 300_000 // of XML in all
	maxInside    = 1000    // of XML in one element of the first level
)

// errNoReport says that there is no report in what was read.
var errNoReport = errors.New("aggregate: not a DMARC report")

// Parse reads a report: XML, compressed by gzip or the first XML file in a zip archive.
func Parse(b []byte) (Report, error) {
	budget := int64(maxUnpacked)
	text, err := unpack(b, &budget)
	if err != nil {
		return Report{}, err
	}
	return parseXML(text)
}

// parseXML reads the elements one by one, so that no more is in memory than what is kept.
func parseXML(b []byte) (Report, error) {
	raw := xml.NewDecoder(bytes.NewReader(mend(b)))
	raw.Strict = false
	p := parser{meter: &meter{raw: raw, limit: maxElements}}
	p.decoder = xml.NewTokenDecoder(p.meter)
	p.decoder.Strict = false
	for {
		token, err := p.decoder.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return Report{}, fmt.Errorf("aggregate: %w", err)
		}
		if end, ok := token.(xml.EndElement); ok && end.Name.Local == "feedback" {
			break // what comes after it is often broken
		}
		if start, ok := token.(xml.StartElement); ok {
			if err := p.element(start); err != nil {
				return Report{}, fmt.Errorf("aggregate: %w", err)
			}
		}
	}
	return p.report, p.check()
}

// A meter passes tokens on until there are too many of them.
type meter struct {
	raw      *xml.Decoder
	elements int
	limit    int
}

// Token returns the next token, or an error beyond the limit.
func (m *meter) Token() (xml.Token, error) {
	token, err := m.raw.RawToken()
	if _, ok := token.(xml.StartElement); ok {
		if m.elements++; m.elements > m.limit {
			return nil, errElements
		}
	}
	return token, err
}

var errElements = errors.New("too many elements")

// A parser makes a report of the elements that it is given.
type parser struct {
	meter   *meter
	decoder *xml.Decoder
	report  Report
	inside  bool // of a feedback element
}

// decode reads an element of the first level.
func (p *parser) decode(v any, start xml.StartElement) error {
	p.meter.limit = min(maxElements, p.meter.elements+maxInside)
	err := p.decoder.DecodeElement(v, &start)
	p.meter.limit = maxElements
	return err
}

func (p *parser) element(start xml.StartElement) error {
	switch name := start.Name.Local; {
	case name == "feedback":
		p.inside = true
	case !p.inside:
	case name == "report_metadata":
		var m metadata
		if err := p.decode(&m, start); err != nil {
			return err
		}
		p.metadata(m)
	case name == "policy_published":
		var x policyXML
		if err := p.decode(&x, start); err != nil {
			return err
		}
		p.report.Policy = Published{text(x.Domain), word(x.P), word(x.SP), word(x.NP), word(x.ADKIM), word(x.ASPF), word(x.FO), word(x.Testing), word(x.Discovery)}
	case name == "record":
		var r record
		if err := p.decode(&r, start); err != nil {
			return err
		}
		p.record(r)
	}
	return nil
}

func (p *parser) metadata(m metadata) {
	r := &p.report
	r.Organization, r.Email, r.Contact, r.ID = text(m.Organization), text(m.Email), text(m.Contact), text(m.ID)
	r.Generator, r.Error = text(m.Generator), text(strings.Join(m.Errors[:min(len(m.Errors), 10)], "; "))
	r.Begin, r.End = timeOf(m.Range.Begin), timeOf(m.Range.End)
}

func (p *parser) record(x record) {
	count, err := strconv.ParseInt(strings.TrimSpace(x.Row.Count), 10, 64)
	if err != nil || count < 0 || count > 1<<40 {
		count = 0
	}
	if len(p.report.Rows) == maxRows {
		p.report.Omitted += count
		return
	}
	row := Row{Source: text(x.Row.Source), Count: count, Disposition: word(x.Row.Evaluated.Disposition),
		DKIM: word(x.Row.Evaluated.DKIM), SPF: word(x.Row.Evaluated.SPF),
		HeaderFrom: domain(x.Identifiers.HeaderFrom), EnvelopeTo: domain(x.Identifiers.EnvelopeTo)}
	if x.Identifiers.EnvelopeFrom != nil {
		row.EnvelopeFrom = domain(*x.Identifiers.EnvelopeFrom)
	}
	for _, o := range x.Row.Evaluated.Reasons[:min(len(x.Row.Evaluated.Reasons), maxOverrides)] {
		if o.Type != "" || o.Comment != "" {
			row.Overrides = append(row.Overrides, Override{word(o.Type), text(o.Comment)})
		}
	}
	for _, a := range x.Auth.DKIM[:min(len(x.Auth.DKIM), maxResults)] {
		row.DKIMResults = append(row.DKIMResults, Auth{Domain: domain(a.Domain), Selector: text(a.Selector), Result: word(a.Result), Text: text(a.Text)})
	}
	for _, a := range x.Auth.SPF[:min(len(x.Auth.SPF), maxResults)] {
		row.SPFResults = append(row.SPFResults, Auth{Domain: domain(a.Domain), Scope: word(a.Scope), Result: word(a.Result), Text: text(a.Text)})
	}
	p.report.Rows = append(p.report.Rows, row)
}

// check tells whether what was read is a report.
func (p *parser) check() error {
	if p.report.Policy.Domain == "" || p.report.ID == "" && p.report.Organization == "" {
		return errNoReport
	}
	if p.report.Begin.Unix() < 0 || p.report.Begin.Year() > 9999 || p.report.End.Year() > 9999 {
		return errors.New("aggregate: a report about no time")
	}
	return nil
}

// word returns a value that is one word of a fixed set; some hosts write it in capitals.
func word(s string) string { return strings.ToLower(text(s)) }

func domain(s string) string { return strings.TrimSuffix(strings.ToLower(text(s)), ".") }

// timeOf reads seconds since 1970. Some hosts write a fraction or a date.
func timeOf(s string) time.Time {
	s = strings.TrimSpace(s)
	whole, _, _ := strings.Cut(s, ".")
	if n, err := strconv.ParseInt(whole, 10, 64); err == nil && n >= 0 && n < 1<<37 {
		return time.Unix(n, 0).UTC()
	}
	for _, layout := range []string{time.RFC3339, time.DateTime} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Unix(0, 0).UTC()
}
