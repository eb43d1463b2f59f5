// Package dlp keeps what must not leave from leaving by mail: it looks for numbers of cards and accounts,
// for patterns of the owner's, and for pieces of registered documents in what our users send.
//
// An [Engine] goes by [Rule] values, which are data. It judges outgoing mail only, and asks for the gravest
// action among the rules that a message breaks: a warning, keeping it until somebody releases it, or a
// refusal that says what to remove. No answer, finding or header that it makes holds a number whole or
// any of what a pattern matched.
//
// It reads the subject, all text and HTML, and attachments that are text, Office Open XML, OpenDocument or
// a zip of text, within bounds of bytes. What it cannot read (pictures, PDF, what is encrypted) it does
// not judge. Who wants to get something out past it can: it is there for mistakes.
package dlp

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"posthaste/filter"
	"posthaste/mail"
)

// Bounds of rules.
const (
	MaxRules    = 100
	MaxPatterns = 50   // of one rule
	maxTogether = 200  // patterns of all rules
	MaxPattern  = 1000 // bytes of one
	maxMatches  = 1000 // of one rule in one message that are counted
)

// Header is the name of the field that a warning adds.
const Header = "X-Posthaste-DLP"

// An Action is what a rule does about a message that breaks it.
type Action string

// The actions, the gentlest first.
const (
	Warn  Action = "warn"  // it goes out with a field in its header; Notice has words for the sender
	Hold  Action = "hold"  // it is kept until somebody releases it
	Block Action = "block" // it is refused
)

// A Rule says what must not leave. What it looks for is any of cards, IBANs, patterns and documents.
type Rule struct {
	Name      string
	Cards     bool     // numbers of payment cards, with a right check digit
	IBANs     bool     // international bank account numbers, with right check digits
	Patterns  []string // regular expressions of RE2
	Documents []string // names of registered documents; "*" is all
	Share     float64  // of a document that must be in a message, 0 to 1; default: DefaultShare

	Count   int      // different matches that break the rule, of documents one; default: 1
	Senders []string // addresses or domains ("example.org", ".example.org" for those below) it is for; empty: all
	Outside bool     // only for messages with a recipient who is not ours
	Action  Action
	Advice  string // what the sender hears besides, a sentence; may be empty
}

// DefaultShare is how much of a document makes a match.
const DefaultShare = 0.3

// Config is what an Engine goes by.
type Config struct {
	Rules     []Rule
	Documents *Registry // nil: none are registered
	// Ours tells whether a recipient is. Nil: nobody is.
	Ours func(context.Context, mail.Address) (bool, error)
}

// An Engine is a [filter.Engine] for outgoing mail.
type Engine struct {
	cfg      Config
	patterns [][]*regexp.Regexp // by rule
}

var _ filter.Engine = (*Engine)(nil)

// New returns an Engine, or what is wrong with a rule.
func New(cfg Config) (*Engine, error) {
	if len(cfg.Rules) > MaxRules {
		return nil, fmt.Errorf("dlp: %d rules, of at most %d", len(cfg.Rules), MaxRules)
	}
	e := &Engine{cfg: cfg, patterns: make([][]*regexp.Regexp, len(cfg.Rules))}
	e.cfg.Rules = slices.Clone(cfg.Rules)
	patterns := 0
	for i := range e.cfg.Rules {
		r := &e.cfg.Rules[i]
		if patterns += len(r.Patterns); patterns > maxTogether {
			return nil, fmt.Errorf("dlp: more than %d patterns in all rules", maxTogether)
		}
		if err := r.complete(); err != nil {
			return nil, fmt.Errorf("dlp: rule %q: %w", r.Name, err)
		}
		for _, p := range r.Patterns {
			compiled, err := regexp.Compile(p)
			if err != nil {
				return nil, fmt.Errorf("dlp: rule %q: %w", r.Name, err)
			}
			if compiled.MatchString("") {
				return nil, fmt.Errorf("dlp: rule %q: the pattern %q matches nothing at all, so every message", r.Name, p)
			}
			e.patterns[i] = append(e.patterns[i], compiled)
		}
	}
	return e, nil
}

// complete checks r and fills in defaults.
func (r *Rule) complete() error {
	if r.Count <= 0 {
		r.Count = 1
	}
	if r.Share == 0 {
		r.Share = DefaultShare
	}
	switch {
	case r.Name == "":
		return fmt.Errorf("it has no name")
	case !r.Cards && !r.IBANs && len(r.Patterns) == 0 && len(r.Documents) == 0:
		return fmt.Errorf("it looks for nothing")
	case r.Action != Warn && r.Action != Hold && r.Action != Block:
		return fmt.Errorf("%q is no action: want warn, hold or block", r.Action)
	case r.Share < 0 || r.Share > 1:
		return fmt.Errorf("a share of %v is not between 0 and 1", r.Share)
	case len(r.Patterns) > MaxPatterns:
		return fmt.Errorf("%d patterns, of at most %d", len(r.Patterns), MaxPatterns)
	}
	for _, p := range r.Patterns {
		if len(p) > MaxPattern {
			return fmt.Errorf("a pattern has %d bytes, of at most %d", len(p), MaxPattern)
		}
	}
	return nil
}

// Name returns "dlp".
func (e *Engine) Name() string { return "dlp" }

// Scan judges an outgoing message. It has nothing to say about others.
func (e *Engine) Scan(ctx context.Context, m *filter.Mail) (filter.Result, error) {
	if !m.Outgoing {
		return filter.Result{}, nil
	}
	var rules []int
	outside := -1 // not known yet
	for i := range e.cfg.Rules {
		r := &e.cfg.Rules[i]
		if !r.isFor(m.Envelope) {
			continue
		}
		if r.Outside {
			if outside < 0 {
				some, err := e.leaves(ctx, m.Envelope)
				if err != nil {
					return filter.Result{}, err
				}
				if outside = 0; some {
					outside = 1
				}
			}
			if outside == 0 {
				continue
			}
		}
		rules = append(rules, i)
	}
	if len(rules) == 0 {
		return filter.Result{}, nil
	}
	documents, err := e.cfg.Documents.present(ctx)
	if err != nil {
		return filter.Result{}, err
	}
	texts := textsOf(m.Message)
	var broken []breach
	for _, i := range rules {
		if err := ctx.Err(); err != nil {
			return filter.Result{}, err
		}
		if b := e.look(ctx, i, texts, documents); b.breaks() {
			broken = append(broken, b)
		}
	}
	return result(broken), ctx.Err()
}

// leaves tells whether some recipient is not ours.
func (e *Engine) leaves(ctx context.Context, env *mail.Envelope) (bool, error) {
	for _, to := range env.Recipients {
		if e.cfg.Ours == nil {
			return true, nil
		}
		ours, err := e.cfg.Ours(ctx, to.Address)
		if err != nil {
			return false, fmt.Errorf("dlp: whether %s is ours: %w", to.Address, err)
		}
		if !ours {
			return true, nil
		}
	}
	return false, nil
}

// isFor tells whether the sender of a message is among those of r: by its address in the envelope, or by
// the name it logged in with.
func (r *Rule) isFor(env *mail.Envelope) bool {
	if len(r.Senders) == 0 {
		return true
	}
	for _, sender := range []string{env.From.Address.String(), env.Origin.Login} {
		sender = strings.ToLower(sender)
		_, domain, _ := strings.Cut(sender, "@")
		for _, s := range r.Senders {
			s = strings.ToLower(s)
			if s == sender || domain != "" && (s == domain || strings.HasPrefix(s, ".") && strings.HasSuffix(domain, s)) {
				return true
			}
		}
	}
	return false
}

// look searches all texts for what one rule is about. It stops early when ctx ends.
func (e *Engine) look(ctx context.Context, i int, texts []text, documents *documents) breach {
	r := &e.cfg.Rules[i]
	b := breach{rule: r, seen: map[string]bool{}}
	for t := range texts {
		where, s := texts[t].where, texts[t].text
		if r.Cards {
			eachCard(s, func(number string) bool { return b.add(kindCard, number, where) })
		}
		if r.IBANs {
			eachIBAN(s, func(number string) bool { return b.add(kindIBAN, number, where) })
		}
		for _, p := range e.patterns[i] {
			if ctx.Err() != nil {
				return b
			}
			for _, at := range p.FindAllStringIndex(s, maxMatches) {
				if !b.add(kindPattern, s[at[0]:at[1]], where) {
					break
				}
			}
		}
	}
	if len(r.Documents) > 0 {
		documents.find(texts, func(name string, share float64) {
			if share >= r.Share && (slices.Contains(r.Documents, name) || slices.Contains(r.Documents, "*")) {
				b.documents = append(b.documents, found{name, share})
			}
		})
	}
	return b
}
