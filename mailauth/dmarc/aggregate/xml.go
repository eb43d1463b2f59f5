package aggregate

import (
	"bytes"
	"encoding/xml"
	"strconv"
	"strings"
	"time"
)

// namespace is that of RFC 9990 section 6.1. Most reports that come have none.
const namespace = "urn:ietf:params:xml:ns:dmarc-2.0"

// The elements of a report as XML has them. Numbers are text, so that one that is none spoils no more
// than itself.
type (
	feedback struct {
		XMLName   xml.Name  `xml:"feedback"`
		Namespace string    `xml:"xmlns,attr"`
		Version   string    `xml:"version"`
		Metadata  metadata  `xml:"report_metadata"`
		Policy    policyXML `xml:"policy_published"`
		Records   []record  `xml:"record"`
	}
	metadata struct {
		Organization string `xml:"org_name"`
		Email        string `xml:"email"`
		Contact      string `xml:"extra_contact_info,omitempty"`
		ID           string `xml:"report_id"`
		Range        struct {
			Begin string `xml:"begin"`
			End   string `xml:"end"`
		} `xml:"date_range"`
		Errors    []string `xml:"error"`
		Generator string   `xml:"generator,omitempty"`
	}
	policyXML struct {
		Domain    string `xml:"domain"`
		Discovery string `xml:"discovery_method,omitempty"`
		P         string `xml:"p"`
		SP        string `xml:"sp,omitempty"`
		NP        string `xml:"np,omitempty"`
		FO        string `xml:"fo,omitempty"`
		ADKIM     string `xml:"adkim,omitempty"`
		ASPF      string `xml:"aspf,omitempty"`
		Testing   string `xml:"testing,omitempty"`
	}
	record struct {
		Row struct {
			Source    string `xml:"source_ip"`
			Count     string `xml:"count"`
			Evaluated struct {
				Disposition string     `xml:"disposition"`
				DKIM        string     `xml:"dkim"`
				SPF         string     `xml:"spf"`
				Reasons     []override `xml:"reason"`
			} `xml:"policy_evaluated"`
		} `xml:"row"`
		Identifiers struct {
			HeaderFrom   string  `xml:"header_from"`
			EnvelopeFrom *string `xml:"envelope_from"`
			EnvelopeTo   string  `xml:"envelope_to,omitempty"`
		} `xml:"identifiers"`
		Auth struct {
			DKIM []dkimXML `xml:"dkim"`
			SPF  []spfXML  `xml:"spf"`
		} `xml:"auth_results"`
	}
	override struct {
		Type    string `xml:"type"`
		Comment string `xml:"comment,omitempty"`
	}
	dkimXML struct {
		Domain   string `xml:"domain"`
		Selector string `xml:"selector"`
		Result   string `xml:"result"`
		Text     string `xml:"human_result,omitempty"`
	}
	spfXML struct {
		Domain string `xml:"domain"`
		Scope  string `xml:"scope,omitempty"`
		Result string `xml:"result"`
		Text   string `xml:"human_result,omitempty"`
	}
)

// XML returns r as RFC 9990 appendix A has it.
func (r Report) XML() ([]byte, error) {
	f := feedback{Namespace: namespace, Version: "1.0", Policy: policyXML(r.Policy.xml())}
	f.Metadata.Organization, f.Metadata.Email, f.Metadata.Contact = text(r.Organization), text(r.Email), text(r.Contact)
	f.Metadata.ID, f.Metadata.Generator = text(r.ID), text(r.Generator)
	f.Metadata.Range.Begin, f.Metadata.Range.End = seconds(r.Begin), seconds(r.End)
	if r.Error != "" {
		f.Metadata.Errors = []string{text(r.Error)}
	}
	for _, row := range r.Rows {
		f.Records = append(f.Records, row.xml())
	}
	var b bytes.Buffer
	b.WriteString(xml.Header)
	e := xml.NewEncoder(&b)
	e.Indent("", " ")
	if err := e.Encode(f); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

func seconds(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

func (p Published) xml() policyXML {
	return policyXML{Domain: p.Domain, Discovery: p.Discovery, P: p.P, SP: p.SP, NP: p.NP, FO: p.FO, ADKIM: p.ADKIM, ASPF: p.ASPF, Testing: p.Testing}
}

func (row Row) xml() record {
	var r record
	r.Row.Source, r.Row.Count = text(row.Source), strconv.FormatInt(row.Count, 10)
	r.Row.Evaluated.Disposition, r.Row.Evaluated.DKIM, r.Row.Evaluated.SPF = row.Disposition, row.DKIM, row.SPF
	for _, o := range row.Overrides {
		r.Row.Evaluated.Reasons = append(r.Row.Evaluated.Reasons, override{o.Type, text(o.Comment)})
	}
	from := text(row.EnvelopeFrom) // empty for the null reverse-path
	r.Identifiers.HeaderFrom, r.Identifiers.EnvelopeFrom, r.Identifiers.EnvelopeTo = text(row.HeaderFrom), &from, text(row.EnvelopeTo)
	for _, a := range row.DKIMResults {
		r.Auth.DKIM = append(r.Auth.DKIM, dkimXML{text(a.Domain), text(a.Selector), a.Result, text(a.Text)})
	}
	for _, a := range row.SPFResults {
		r.Auth.SPF = append(r.Auth.SPF, spfXML{text(a.Domain), a.Scope, a.Result, text(a.Text)})
	}
	return r
}

// maxText is how many bytes of one text are written, read and kept.
const maxText = 500

// text makes s fit for one element: of bounded length, valid and on one line.
func text(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), maxText)], "")
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 || c == '\ufffe' || c == '\uffff' {
			return ' '
		}
		return c
	}, s)
	return strings.TrimSpace(s)
}
