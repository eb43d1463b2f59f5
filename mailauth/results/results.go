// Package results prints and reads Authentication-Results fields (RFC 8601): what a mail host found out
// about who sent a message.
//
// A [Field] is one such field: the name of the host that speaks and a [Result] for each method. What
// [Field.String] and [Field.Append] print is strict. [Parse] takes what is found in mail, including the
// fields of hosts that leave their own name out, and passes over what it cannot read; it is bounded in
// every direction. The package believes nothing: whether the host that a field names is to be trusted is
// for the reader to know (section 7.1).
package results

import (
	"strings"
)

// Bounds of one field. What is beyond them is not read, or cut when it is printed.
const (
	maxField      = 64 << 10 // bytes
	maxResults    = 100
	maxProperties = 50   // of a result
	maxText       = 1000 // bytes of a value, a reason or a comment
	maxWord       = 80   // bytes of a method, a result, or the name of a property
	maxDepth      = 20   // of comments within comments
)

// A Field is the content of one Authentication-Results field. Without Results it says "none": nothing was
// looked at.
type Field struct {
	Server  string // the authserv-id; empty in the fields of some hosts that break the rule
	Results []Result
}

// A Result is what one method found (RFC 8601 section 2.2, resinfo).
type Result struct {
	Method     string     `json:"method"`            // lower case: "spf"
	Value      string     `json:"value"`             // lower case: "pass"
	Comment    string     `json:"comment,omitempty"` // for people, in parentheses after the value
	Reason     string     `json:"reason,omitempty"`  // for people and programs
	Properties []Property `json:"properties,omitempty"`
}

// A Property is what a method looked at or decided: smtp.mailfrom=ann@example.org.
type Property struct {
	Type string `json:"type"` // lower case: "smtp"
	Name string `json:"name"` // lower case: "mailfrom"
	// Value is text, or an address as it stands in an SMTP path.
	Value string `json:"value"`
}

// Property returns the first value of a property such as "header.d", or "".
func (r Result) Property(name string) string {
	for _, p := range r.Properties {
		if len(name) == len(p.Type)+1+len(p.Name) && strings.HasPrefix(name, p.Type+".") && strings.HasSuffix(name, p.Name) {
			return p.Value
		}
	}
	return ""
}

// Get returns the results of a method, such as "dkim", in order.
func (f Field) Get(method string) []Result {
	var found []Result
	for _, r := range f.Results {
		if r.Method == method {
			found = append(found, r)
		}
	}
	return found
}

// Claims tells whether the value of a field speaks in the name of server, or to a lenient reader might, so
// that a host of that name removes it from what comes from outside (RFC 8601 section 5). A field that is too
// long to be read counts as one that does, as does one that names no host and holds the name anywhere.
func Claims(value, server string) bool {
	if len(value) > maxField {
		return true
	}
	f, err := Parse(value)
	if err != nil || f.Server == "" {
		return strings.Contains(strings.ToLower(value), strings.ToLower(server))
	}
	return strings.EqualFold(hostIn(f.Server), hostIn(server))
}

// hostIn returns the first run of letters that a host name is made of.
func hostIn(s string) string {
	other := func(c rune) bool { return c >= 0x80 || !isDomainByte(byte(c)) }
	s = strings.TrimLeftFunc(s, other)
	if end := strings.IndexFunc(s, other); end >= 0 {
		s = s[:end]
	}
	return strings.TrimSuffix(s, ".")
}
