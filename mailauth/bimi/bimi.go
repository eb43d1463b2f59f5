// Package bimi finds what a domain shows beside its mail: the record of Brand Indicators for Message
// Identification (draft-brand-indicators-for-message-identification). It only looks the record up, and
// only for mail that passes DMARC under a policy that is enforced; it fetches neither indicator nor
// evidence, so that a client must not take what it returns for proven.
package bimi

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"posthaste/dns"
	"posthaste/mailauth/dmarc"
	"posthaste/mailauth/results"
	"posthaste/message"
)

const (
	defaultSelector = "default"
	maxSelector     = 63
	maxRecord       = 4 << 10
)

// A Verdict is what came of the lookup.
type Verdict string

// The verdicts. Found is not yet "pass", which only who checks the indicator may say.
const (
	Found     Verdict = "found"
	None      Verdict = "none"      // there is no record
	Declined  Verdict = "declined"  // the domain says that it takes no part
	Fail      Verdict = "fail"      // the record is wrong
	Skipped   Verdict = "skipped"   // nobody looked: the message does not pass DMARC, or nothing is enforced
	TempError Verdict = "temperror" // a lookup failed
)

// A Result is what a domain says.
type Result struct {
	Verdict   Verdict `json:"verdict"`
	Domain    string  `json:"domain,omitempty"` // where the record is, or was looked for
	Selector  string  `json:"selector,omitempty"`
	Location  string  `json:"location,omitempty"`  // https URI of the indicator (l=)
	Authority string  `json:"authority,omitempty"` // https URI of its evidence (a=)
	Reason    string  `json:"reason"`              // one sentence for people
}

// Lookup finds the record for a message with that header and DMARC result.
func Lookup(ctx context.Context, r dmarc.Resolver, h message.Header, d dmarc.Result) Result {
	if d.Verdict != dmarc.Pass || !d.Enforced() {
		return Result{Verdict: Skipped, Reason: "The message does not pass DMARC under a policy of quarantine or reject."}
	}
	selector := selectorOf(h)
	org, err := dmarc.OrgDomain(ctx, r, d.Author)
	if err != nil {
		return Result{Verdict: TempError, Domain: d.Author, Selector: selector, Reason: err.Error() + "."}
	}
	if org != d.Author {
		above := dmarc.Evaluate(ctx, r, dmarc.Input{From: []string{org}})
		if above.Verdict == dmarc.TempError {
			return Result{Verdict: TempError, Domain: org, Selector: selector, Reason: above.Reason}
		}
		if !above.Enforced() {
			return Result{Verdict: Skipped, Reason: fmt.Sprintf("The policy of %s, the organization's domain, is not quarantine or reject.", org)}
		}
	}
	result := at(ctx, r, d.Author, selector)
	if result.Verdict == None && org != d.Author {
		return at(ctx, r, org, selector)
	}
	return result
}

// selectorOf reads the field BIMI-Selector: "v=BIMI1; s=name". Where it is wrong or there are several,
// the default counts.
func selectorOf(h message.Header) string {
	values := h.Values("BIMI-Selector")
	if len(values) != 1 {
		return defaultSelector
	}
	tags, ok := parseTags(values[0])
	selector := strings.ToLower(tags["s"])
	if !ok || selector == "" || len(selector) > maxSelector || !dns.IsHostName(selector) {
		return defaultSelector
	}
	return selector
}

// at looks the record up at one domain.
func at(ctx context.Context, r dmarc.Resolver, domain, selector string) Result {
	result := Result{Verdict: None, Domain: domain, Selector: selector}
	answer, err := r.TXT(ctx, selector+"._bimi."+domain)
	switch {
	case errors.Is(err, dns.ErrNotFound):
		result.Reason = fmt.Sprintf("%s has no BIMI record.", domain)
		return result
	case err != nil:
		result.Verdict, result.Reason = TempError, fmt.Sprintf("The BIMI record of %s is not known now: %v.", domain, err)
		return result
	}
	var found []map[string]string
	for _, text := range answer.Records {
		if tags, ok := parseTags(text); ok {
			found = append(found, tags)
		}
	}
	if len(found) != 1 {
		result.Reason = fmt.Sprintf("%s has %d BIMI records where one is wanted.", domain, len(found))
		return result
	}
	return result.read(found[0])
}

// read takes a record over.
func (r Result) read(tags map[string]string) Result {
	location, authority := tags["l"], tags["a"]
	switch {
	case location == "" && authority == "":
		r.Verdict, r.Reason = Declined, fmt.Sprintf("%s says that it takes no part in BIMI.", r.Domain)
	case location != "" && !isHTTPS(location), authority != "" && !isHTTPS(authority):
		r.Verdict, r.Reason = Fail, fmt.Sprintf("The BIMI record of %s names no https URI.", r.Domain)
	default:
		r.Verdict, r.Location, r.Authority = Found, location, authority
		r.Reason = fmt.Sprintf("%s has a BIMI record; the indicator was not fetched.", r.Domain)
	}
	return r
}

func isHTTPS(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != ""
}

// parseTags reads a list of tags that begins with v=BIMI1. Of a tag that is twice there the first counts.
func parseTags(text string) (map[string]string, bool) {
	tags := make(map[string]string)
	if len(text) > maxRecord {
		return tags, false
	}
	for i, part := range strings.Split(text, ";") {
		name, value, _ := strings.Cut(part, "=")
		name, value = strings.ToLower(strings.Trim(name, " \t")), strings.Trim(value, " \t")
		if i == 0 && (name != "v" || value != "BIMI1") {
			return tags, false
		}
		if _, twice := tags[name]; !twice {
			tags[name] = value
		}
	}
	return tags, true
}

// ResInfo returns r as Authentication-Results has it. A record that was found is told as skipped, with
// its URIs, since nobody has checked them.
func (r Result) ResInfo() results.Result {
	info := results.Result{Method: "bimi", Value: string(r.Verdict)}
	put := func(kind, name, value string) {
		if value != "" {
			info.Properties = append(info.Properties, results.Property{Type: kind, Name: name, Value: value})
		}
	}
	if r.Verdict == Found {
		info.Value, info.Comment = string(Skipped), "record found, indicator not fetched"
	}
	put("header", "d", r.Domain)
	put("header", "selector", r.Selector)
	put("policy", "authority-uri", r.Authority)
	put("policy", "indicator-uri", r.Location)
	return info
}
