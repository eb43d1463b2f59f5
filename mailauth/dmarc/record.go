package dmarc

import (
	"net/url"
	"slices"
	"strings"
)

// Bounds of a record.
const (
	maxRecord = 8 << 10 // bytes; a longer one is none
	maxTags   = 50
	maxURIs   = 10 // of one list that are kept
)

// A Record is a DMARC Policy Record (section 4.7). Tags that are absent or wrong have their defaults.
type Record struct {
	Policy       Policy `json:"p,omitempty"`  // of the domain; Unset where absent or wrong
	Subdomains   Policy `json:"sp,omitempty"` // of those below it that exist
	Nonexistent  Policy `json:"np,omitempty"` // of those below it that do not
	StrictDKIM   bool   `json:"strict_dkim,omitempty"`
	StrictSPF    bool   `json:"strict_spf,omitempty"`
	Test         bool   `json:"t,omitempty"`
	PublicSuffix string `json:"psd,omitempty"` // "y": a domain under which others register theirs; "n": an Organizational Domain; empty: either
	FailureWhen  string `json:"fo,omitempty"`  // "0", "1", "d", "s" with colons between them

	// Aggregate and Failure are where reports go: URIs as written, without the obsolete limit of size.
	Aggregate []string `json:"rua,omitempty"`
	Failure   []string `json:"ruf,omitempty"`

	// Problems says what was wrong, a phrase each, for reports to the owner.
	Problems []string `json:"problems,omitempty"`

	wrongPolicy bool // p, sp or np is there and wrong
}

// ParseRecord reads a TXT record. ok is false when it is no DMARC record: those begin with v=DMARC1.
// Whatever else is wrong with it costs only the tag in question (section 4.8).
func ParseRecord(text string) (r Record, ok bool) {
	if len(text) > maxRecord {
		return Record{}, false
	}
	version, rest, _ := strings.Cut(text, ";")
	name, value, _ := strings.Cut(version, "=")
	if !strings.EqualFold(trim(name), "v") || trim(value) != "DMARC1" {
		return Record{}, false
	}
	seen := make(map[string]bool)
	for tag := range strings.SplitSeq(rest, ";") {
		name, value, found := strings.Cut(tag, "=")
		name, value = strings.ToLower(trim(name)), trim(value)
		if len(seen) == maxTags {
			break
		}
		switch {
		case name == "" && !found:
		case !found || seen[name]:
			r.problem("a tag is twice there or has no value")
		default:
			seen[name] = true
			r.set(name, value)
		}
	}
	return r, true
}

func trim(s string) string { return strings.Trim(s, " \t") }

// set takes a tag over. Unknown ones mean nothing.
func (r *Record) set(name, value string) {
	word := strings.ToLower(value)
	good := true
	switch name {
	case "p":
		r.Policy, good = parsePolicy(word)
	case "sp":
		r.Subdomains, good = parsePolicy(word)
	case "np":
		r.Nonexistent, good = parsePolicy(word)
	case "adkim":
		r.StrictDKIM, good = word == "s", word == "s" || word == "r"
	case "aspf":
		r.StrictSPF, good = word == "s", word == "s" || word == "r"
	case "t":
		r.Test, good = word == "y", word == "y" || word == "n"
	case "psd":
		if good = word == "y" || word == "n" || word == "u"; good && word != "u" {
			r.PublicSuffix = word
		}
	case "rua":
		r.Aggregate, good = parseURIs(value)
	case "ruf":
		r.Failure, good = parseURIs(value)
	case "fo":
		if good = isFailureOption(word); good {
			r.FailureWhen = word
		}
	}
	if !good {
		r.problem("the value of " + name + " is wrong")
		r.wrongPolicy = r.wrongPolicy || name == "p" || name == "sp" || name == "np"
	}
}

func (r *Record) problem(text string) {
	if !slices.Contains(r.Problems, text) {
		r.Problems = append(r.Problems, text)
	}
}

// policyProblem tells whether p is absent or wrong, or sp or np are wrong: then the record counts as
// p=none if it wants reports, and else not at all (section 4.10.1).
func (r *Record) policyProblem() bool { return r.Policy == Unset || r.wrongPolicy }

func parsePolicy(word string) (Policy, bool) {
	var p Policy
	if word == "" || p.UnmarshalText([]byte(word)) != nil {
		return Unset, false
	}
	return p, true
}

// parseURIs reads a list of URIs. good is false when one of them is wrong; the others count.
func parseURIs(list string) (uris []string, good bool) {
	good = true
	for text := range strings.SplitSeq(list, ",") {
		text = trim(text)
		if i := strings.LastIndexByte(text, '!'); i >= 0 && isSize(text[i+1:]) {
			text = text[:i]
		}
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Scheme == "" || u.Opaque == "" && u.Host == "" || strings.Contains(text, "!"):
			good = false
		case len(uris) < maxURIs:
			uris = append(uris, text)
		}
	}
	return uris, good
}

// isSize tells whether s is the obsolete limit of size after a URI: digits and a unit.
func isSize(s string) bool {
	digits := strings.TrimRight(strings.ToLower(s), "kmgt")
	return digits != "" && len(s)-len(digits) <= 1 && strings.Trim(digits, "0123456789") == ""
}

// isFailureOption tells whether word is a value of fo: parts in any order, none twice, 0 and 1 not both.
func isFailureOption(word string) bool {
	seen := make(map[string]bool)
	for part := range strings.SplitSeq(word, ":") {
		part = trim(part)
		if len(part) != 1 || !strings.Contains("01ds", part) || seen[part] {
			return false
		}
		seen[part] = true
	}
	return !(seen["0"] && seen["1"])
}
