// Package dmarc says whether a message may use the domain in its From field, and what the owner of that
// domain asks of receivers if not: DMARC (RFC 9989, which obsoletes RFC 7489).
//
// [Authors] finds the domains of the From field. [Evaluate] finds the policy record of such a domain, by the
// DNS tree walk of section 4.10 and not by a list of public suffixes, and compares the domain with those
// that SPF and DKIM have authenticated. It decides nothing about the message: [Result.Applied] is what the
// domain's owner asks for, and what to do is up to the receiver (section 5.4). Lookups that fail leave it
// open whether a message passes; then nothing is asked for. [WouldAlign] tells the same of mail that we are
// about to send.
//
// The package keeps no state. Answers are kept by the resolver, so that walks over the same names cost
// nothing: at most 8 questions for a name, however long it is. The tags pct, rf and ri of RFC 7489 mean
// nothing any more.
//
// What reports tell about all this is below: aggregate (RFC 9990) and failure (RFC 9991).
package dmarc

import (
	"context"
	"fmt"

	"posthaste/dns"
)

// A Resolver is the part of *dns.Resolver that is needed.
type Resolver interface {
	TXT(ctx context.Context, name string) (dns.Answer[string], error)
}

// A Policy is what the owner of a domain asks of receivers for mail that fails (section 4.7, tag p). The
// zero Policy is none that is stated; the others ascend by strictness.
type Policy uint8

// The policies.
const (
	Unset Policy = iota
	None
	Quarantine
	Reject
)

var policyNames = [...]string{"", "none", "quarantine", "reject"}

// String returns the word of a policy, or "" for Unset.
func (p Policy) String() string {
	if int(p) < len(policyNames) {
		return policyNames[p]
	}
	return fmt.Sprintf("policy(%d)", uint8(p))
}

// MarshalText prints the word.
func (p Policy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the word of a policy.
func (p *Policy) UnmarshalText(text []byte) error {
	for i, name := range policyNames {
		if name == string(text) {
			*p = Policy(i)
			return nil
		}
	}
	return fmt.Errorf("dmarc: %q is no policy", text)
}

// milder returns the policy one step below p: what a test (t=y) has applied (section 4.7).
func (p Policy) milder() Policy {
	if p == Reject {
		return Quarantine
	}
	return None
}

// A Verdict is the result of an evaluation, in the words of RFC 8601 section 2.7.
type Verdict string

// The verdicts.
const (
	Pass      Verdict = "pass"      // a domain that was authenticated aligns with that of From
	Fail      Verdict = "fail"      // none does
	NoPolicy  Verdict = "none"      // nobody published a record for the domain
	TempError Verdict = "temperror" // a lookup failed: it may pass or fail
	PermError Verdict = "permerror" // there is no domain to look at, or its record is of no use
)

// An Aligned is a domain that was authenticated and aligns with that of From.
type Aligned struct {
	Method string `json:"method"` // "spf" or "dkim"
	Domain string `json:"domain"`
}

// A Result is what is known about one message.
type Result struct {
	Verdict Verdict `json:"verdict"`
	Author  string  `json:"author,omitempty"` // the domain of From that decided
	Domain  string  `json:"domain,omitempty"` // where the policy record is, the DMARC Policy Domain
	// OrgDomain is the Organizational Domain of Author. It is empty where nothing depended on it, and
	// was not looked for.
	OrgDomain string `json:"org_domain,omitempty"`
	// Policy is what the record asks for mail of Author that fails, before the test mode.
	Policy Policy `json:"policy,omitempty"`
	// Applied is what is asked for this message: None unless it fails.
	Applied Policy `json:"applied"`
	// Aligned holds at most one domain for each method.
	Aligned []Aligned `json:"aligned,omitempty"`
	Record  Record    `json:"record,omitzero"`
	Reason  string    `json:"reason"` // one sentence for people
}

// AlignedBy tells whether a method, "spf" or "dkim", authenticated a domain that aligns.
func (r Result) AlignedBy(method string) bool {
	for _, a := range r.Aligned {
		if a.Method == method {
			return true
		}
	}
	return false
}

// Enforced tells whether the policy for Author, test mode included, asks for more than nothing.
func (r Result) Enforced() bool { return r.effective() > None }

// effective is the policy with the test mode in it.
func (r Result) effective() Policy {
	if r.Record.Test {
		return r.Policy.milder()
	}
	return r.Policy
}
