package dmarc

import (
	"posthaste/mailauth/results"
)

// ResInfo returns r as Authentication-Results has it (RFC 9989 section 9.1, RFC 8601 section 2.7).
func (r Result) ResInfo() results.Result {
	info := results.Result{Method: "dmarc", Value: string(r.Verdict)}
	if r.Domain != "" {
		info.Comment = "p=" + word(r.Record.Policy)
		switch {
		case r.Domain == r.Author:
		case r.Record.Nonexistent != Unset && r.Policy == r.Record.Nonexistent && r.Policy != r.Record.Subdomains:
			info.Comment += " np=" + r.Policy.String()
		case r.Record.Subdomains != Unset:
			info.Comment += " sp=" + r.Record.Subdomains.String()
		}
		if r.Record.Test {
			info.Comment += " t=y"
		}
	}
	if r.Author != "" {
		info.Properties = append(info.Properties, results.Property{Type: "header", Name: "from", Value: r.Author})
	}
	if r.Domain != "" {
		info.Properties = append(info.Properties, results.Property{Type: "policy", Name: "dmarc", Value: word(r.effective())})
	}
	return info
}

// word returns the word of a policy, of one that is not stated that which counts in its place.
func word(p Policy) string { return max(p, None).String() }
