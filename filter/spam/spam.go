// Package spam turns what was seen in a message into a verdict that explains itself.
//
// Everything is a rule, and every rule is data: a name, a weight in points, and a sentence for people.
// [Rules.Result] finds the rule for a result of authentication, [Rules.Content] those that header and
// body match; classifier, reputation, lists and engines bring findings of their own. [Rules.Judge] adds
// the weights up, which the operator may change by name, and says what becomes of the message, what
// decided, and what would have changed the outcome. It is a pure function.
//
// The package does not look anything up and keeps no state.
package spam

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"posthaste/mail"
)

// Thresholds say from how many points on something is done. Zero turns one off.
type Thresholds struct {
	Tag, Junk, Quarantine, Greylist, Reject float64
}

// Defaults.
const (
	DefaultTag    = 3
	DefaultJunk   = 5
	DefaultReject = 15
)

// A CustomRule is a rule of the operator.
type CustomRule struct {
	Name    string
	Weight  float64
	Meaning string
	Field   string // a field of the header, or body, sender, recipient, client, name or helo
	Pattern string // RE2, matched against the decoded text
}

// Config says how to judge.
type Config struct {
	Thresholds Thresholds
	Weights    []string // "RULE points": in the place of what a rule counts
	Custom     []CustomRule
}

// Rules judge mail. They may be used at the same time and do not change.
type Rules struct {
	thresholds Thresholds
	weights    map[string]float64
	custom     []customRule
}

type customRule struct {
	CustomRule
	pattern *regexp.Regexp
}

// Bounds of a configuration.
const (
	maxCustom  = 500
	maxPattern = 2000 // bytes of a pattern
	maxWeight  = 1000
)

// New returns the rules of cfg. The error says which weight or rule makes no sense.
func New(cfg Config) (*Rules, error) {
	r := &Rules{thresholds: cfg.Thresholds, weights: make(map[string]float64, len(cfg.Weights))}
	for _, text := range cfg.Weights {
		name, weight, err := parseWeight(text)
		if err != nil {
			return nil, err
		}
		r.weights[name] = weight
	}
	if len(cfg.Custom) > maxCustom {
		return nil, fmt.Errorf("spam: %d rules (at most %d)", len(cfg.Custom), maxCustom)
	}
	for _, c := range cfg.Custom {
		if len(c.Pattern) > maxPattern {
			return nil, fmt.Errorf("spam: rule %s: the pattern is longer than %d bytes", c.Name, maxPattern)
		}
		pattern, err := regexp.Compile(c.Pattern)
		if err != nil {
			return nil, fmt.Errorf("spam: rule %s: %w", c.Name, err)
		}
		r.custom = append(r.custom, customRule{c, pattern})
	}
	return r, nil
}

func parseWeight(text string) (name string, weight float64, err error) {
	name, number, _ := strings.Cut(strings.TrimSpace(text), " ")
	weight, err = strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || name == "" || weight < -maxWeight || weight > maxWeight {
		return "", 0, fmt.Errorf("spam: weight %q: want a rule and its points, as \"SPF_FAIL 2.5\"", text)
	}
	return name, weight, nil
}

// A Demand is an action that something asks for, whatever the points say: a policy of the sender's
// domain, a virus scanner.
type Demand struct {
	Action mail.Action
	Reason string
	Reply  *mail.Status // in its own words; nil: ours
}
