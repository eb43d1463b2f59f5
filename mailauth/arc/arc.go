// Package arc follows a message through those who forwarded it: it validates the chain of sets that they
// left (ARC, RFC 8617), tells what each of them had found, and adds a set of ours.
//
// A chain that is [Pass] proves only that those who are named in it, and nobody else, handled the message
// in that order and wrote what [Set.Results] holds. Whether they are to be believed is for the reader to
// decide. A DNS failure is [TempError], never [Fail].
//
// The body is read once, each key is asked for once; a chain has at most [MaxSets] sets, and time is
// linear in the size of the header.
package arc

import (
	"time"

	"posthaste/mailauth/internal/sig"
	"posthaste/mailauth/results"
)

// MaxSets is the length of the longest chain that can be valid (RFC 8617 section 4.2.1).
const MaxSets = 50

// A Result is a word for a chain (RFC 8617 section 4.4); TempError, which is none of its, is for a chain
// whose keys cannot be had now.
type Result string

// The results of a chain.
const (
	None      Result = "none" // there is no chain
	Pass      Result = "pass"
	Fail      Result = "fail"
	TempError Result = "temperror"
)

// A Chain is what became of the sets of a message.
type Chain struct {
	Result Result `json:"result"`
	Reason string `json:"reason,omitempty"` // a sentence for people, unless all is well
	// Sets are those of a chain in good order, the oldest first, also where Result is Fail.
	Sets []Set `json:"sets,omitempty"`
	// Oldest is the lowest instance whose signature fits the message as it is now: nobody after it
	// changed what was signed. It is 0 unless Result is Pass.
	Oldest int `json:"oldest,omitempty"`
}

// A Set is what one hop left.
type Set struct {
	Instance  int              `json:"instance"` // from 1
	Domain    string           `json:"domain"`   // whose seal it is, in lower case and A-labels
	Selector  string           `json:"selector"`
	Claimed   Result           `json:"cv"` // what it found the chain before it to be (cv=)
	Sealed    time.Time        `json:"sealed,omitzero"`
	AuthServ  string           `json:"authserv"` // who found Results
	Results   []results.Result `json:"results,omitempty"`
	Canonical string           `json:"-"` // the whole payload of ARC-Authentication-Results after "i=N;"
}

// Resinfo returns c as one result of an Authentication-Results field (RFC 8617 section 4.1).
func (c Chain) Resinfo() string {
	text := "arc=" + string(c.Result)
	if c.Result == TempError { // not a word for a chain; there it means that nothing is known
		text = "arc=none (temporary error)"
	}
	if n := len(c.Sets); n > 0 && c.Result == Pass {
		text += " header.oldest-pass=" + itoa(c.Oldest)
	}
	return text
}

// A Resolver asks for text records, as *dns.Resolver does.
type Resolver = sig.Resolver

// A Verifier validates chains. It is safe for concurrent use.
type Verifier struct{ keys *sig.Keys }

// NewVerifier returns a Verifier that gets keys from resolver.
func NewVerifier(resolver Resolver) *Verifier { return &Verifier{sig.NewKeys(resolver)} }
