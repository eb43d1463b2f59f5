package mail

import "fmt"

// A Finding is one thing that was seen in a message or its sender and what it counts.
type Finding struct {
	Rule     string  `json:"rule"`               // its name, in capitals: SPF_FAIL
	Weight   float64 `json:"weight"`             // points; what speaks for spam is positive, 0 only tells
	Evidence string  `json:"evidence,omitempty"` // what was seen in this message
	Meaning  string  `json:"meaning,omitempty"`  // one sentence for people about the rule
}

// An Action is what becomes of a message, the gentlest first.
type Action uint8

// The actions.
const (
	Accept     Action = iota // delivered as ever
	Tag                      // delivered, with a note for readers and filters
	Junk                     // filed into the mailbox for junk
	Quarantine               // kept apart until somebody releases it
	Greylist                 // put off (4xx): who comes again is taken
	Reject                   // refused (5xx)
)

var actionNames = [...]string{"accept", "tag", "junk", "quarantine", "greylist", "reject"}

// String returns the word of an action as configuration, header and trace have it.
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return fmt.Sprintf("action(%d)", uint8(a))
}

// ParseAction returns the action of a word.
func ParseAction(word string) (Action, error) {
	for a, name := range actionNames {
		if name == word {
			return Action(a), nil
		}
	}
	return 0, fmt.Errorf("mail: %q is no action: want accept, tag, junk, quarantine, greylist or reject", word)
}

// MarshalText prints the word of a.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads the word of an action.
func (a *Action) UnmarshalText(text []byte) (err error) {
	*a, err = ParseAction(string(text))
	return err
}

// A Verdict is what was decided about a message, and all that led to it.
type Verdict struct {
	Action   Action    `json:"action"`
	Score    float64   `json:"score"`            // the sum of the weights
	Reason   string    `json:"reason,omitempty"` // one sentence: what decided
	Findings []Finding `json:"findings,omitempty"`
	// Otherwise says what would have changed the outcome, a sentence each.
	Otherwise []string `json:"otherwise,omitempty"`
}
