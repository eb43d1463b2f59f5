// Package aggregate sums up how mail of other domains fared here and tells their owners once a day: DMARC
// aggregate reports (RFC 9990). It also reads and keeps what others report about us.
//
// A [Collector] takes an [Observation] for each message, adds them up in memory by the domain of the
// policy record and UTC day, and writes the sums to the store every few seconds: a crash costs the last
// seconds of statistics, never mail. After the end of a day it sends a [Report] to each address that the
// domain names and that wants it (section 4).
//
// [Parse] and [Extract] read the reports of others, which come as XML in many dialects and wrappings, some
// made to do harm. What is unpacked, read and kept of one is bounded. [Summarize] adds up what several
// reports say about each source.
package aggregate

import (
	"time"

	"posthaste/mailauth/dmarc"
)

// A Report is what one host saw of the mail of one domain (RFC 9990 section 3.1).
type Report struct {
	Organization string    `json:"organization"` // who reports
	Email        string    `json:"email,omitempty"`
	Contact      string    `json:"contact,omitempty"`
	ID           string    `json:"id"`
	Begin        time.Time `json:"begin"`
	End          time.Time `json:"end"`
	Error        string    `json:"error,omitempty"` // what was wrong with the record
	Generator    string    `json:"generator,omitempty"`
	Policy       Published `json:"policy"`
	Rows         []Row     `json:"rows"`
	// Omitted counts messages of rows beyond what is kept.
	Omitted int64 `json:"omitted,omitempty"`
}

// Published is the policy that was found. Its words are those of the record.
type Published struct {
	Domain    string `json:"domain"` // of the record
	P         string `json:"p,omitempty"`
	SP        string `json:"sp,omitempty"`
	NP        string `json:"np,omitempty"`
	ADKIM     string `json:"adkim,omitempty"`
	ASPF      string `json:"aspf,omitempty"`
	FO        string `json:"fo,omitempty"`
	Testing   string `json:"testing,omitempty"`          // "y" or "n"
	Discovery string `json:"discovery_method,omitempty"` // "treewalk" or "psl"
}

// A Row counts messages that came from one address and fared alike.
type Row struct {
	Source       string     `json:"source"` // IP address
	Count        int64      `json:"count"`
	Disposition  string     `json:"disposition"` // none, pass, quarantine, reject
	DKIM         string     `json:"dkim"`        // pass: a signature aligns
	SPF          string     `json:"spf"`         // pass: the reverse-path aligns
	Overrides    []Override `json:"overrides,omitempty"`
	HeaderFrom   string     `json:"header_from"`
	EnvelopeFrom string     `json:"envelope_from,omitempty"`
	EnvelopeTo   string     `json:"envelope_to,omitempty"`
	DKIMResults  []Auth     `json:"dkim_results,omitempty"`
	SPFResults   []Auth     `json:"spf_results,omitempty"`
}

// Pass tells whether DMARC passed.
func (r Row) Pass() bool { return r.DKIM == "pass" || r.SPF == "pass" }

// An Auth is the result of one method by itself, in the words of RFC 8601 section 2.7.
type Auth struct {
	Domain   string `json:"domain"`
	Selector string `json:"selector,omitempty"` // of DKIM
	Scope    string `json:"scope,omitempty"`    // of SPF: mfrom
	Result   string `json:"result"`
	Text     string `json:"text,omitempty"` // for people
}

// An Override is why something else than the policy was done (section 3.1.6).
type Override struct {
	Type    string `json:"type"` // local_policy, mailing_list, other, policy_test_mode, trusted_forwarder
	Comment string `json:"comment,omitempty"`
}

// published puts a record into the words of a report.
func published(domain string, r dmarc.Record) Published {
	mode := func(strict bool) string {
		if strict {
			return "s"
		}
		return "r"
	}
	p := Published{Domain: domain, P: max(r.Policy, dmarc.None).String(), SP: r.Subdomains.String(), NP: r.Nonexistent.String(),
		ADKIM: mode(r.StrictDKIM), ASPF: mode(r.StrictSPF), FO: r.FailureWhen, Testing: "n", Discovery: "treewalk"}
	if r.Test {
		p.Testing = "y"
	}
	return p
}
