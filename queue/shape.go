package queue

import (
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"posthaste/mail"
)

// Shaping says how mail flows to destinations that have wishes of their own, from whom, and from
// which of our addresses.
//
// All rules whose Match fits a destination count, in order: of each setting the first rule that sets
// it, and of the replies the first whose pattern fits. The built-in rules come after those given.
type Shaping struct {
	Rules     []Rule
	Senders   []SenderRule
	Warmups   []Warmup
	NoBuiltin bool // leave the built-in rules out
}

// A Rule shapes the mail to some destinations.
type Rule struct {
	// Match holds patterns, as of a shell, for names of mail exchangers or of recipients' domains:
	// "*.mail.protection.outlook.com". A rule that fits only the domain makes a destination of its own
	// of that domain's mail.
	Match []string

	Together      bool    // the destinations of Match share Concurrency, Rate and what replies bring
	Concurrency   int     // deliveries at the same time; 0 is the default
	Rate          Rate    // what may start in a time; zero is no limit
	PerConnection int     // messages over one connection, handed to the agents; 0 is their default
	Replies       []Reply // what to do about answers
}

// A Reply says what to do about answers of a host.
type Reply struct {
	Pattern *regexp.Regexp // fits a part of "421 4.7.0 text"
	Action  ReplyAction
	For     time.Duration // of Slow and Suspend; 0 is an hour for Slow, 30 minutes for Suspend
	Reason  string        // for people
}

// A ReplyAction is what a Reply asks for.
type ReplyAction string

// The actions. Slow halves concurrency and rate, each minute at most once; Suspend lets nothing
// start; Bounce makes a temporary answer permanent, Defer a permanent one temporary.
const (
	Slow    ReplyAction = "slow"
	Suspend ReplyAction = "suspend"
	Bounce  ReplyAction = "bounce"
	Defer   ReplyAction = "defer"
)

// A SenderRule limits how fast mail of a sender starts: of each sender of Match by itself.
type SenderRule struct {
	Match string // a pattern for the reverse-path, in lower case; "" is the null one
	Rate  Rate
}

// A Warmup limits the mail from one of our addresses while the world gets to know it. Each day's
// limit flows evenly over the day.
type Warmup struct {
	Source netip.Addr
	Start  time.Time
	Daily  []int // messages on the first day, the second …; after the last there is no limit
}

// Check returns an error when s holds what cannot work.
func (s *Shaping) Check() error {
	for i := range s.Rules {
		if err := s.Rules[i].check(); err != nil {
			return fmt.Errorf("shaping rule %d: %w", i+1, err)
		}
	}
	for i, r := range s.Senders {
		if _, err := path.Match(r.Match, ""); err != nil {
			return fmt.Errorf("sender rule %d: the pattern %q is not closed", i+1, r.Match)
		}
	}
	for i, w := range s.Warmups {
		if !w.Source.IsValid() || w.Start.IsZero() || slices.ContainsFunc(w.Daily, func(n int) bool { return n < 1 }) {
			return fmt.Errorf("warm-up %d: it needs a source address, a first day, and limits above 0", i+1)
		}
	}
	return nil
}

func (r *Rule) check() error {
	if len(r.Match) == 0 {
		return fmt.Errorf("it matches nothing: give it a pattern for mail exchangers or domains")
	}
	for _, p := range r.Match {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("the pattern %q is not closed", p)
		}
	}
	for _, y := range r.Replies {
		if y.Pattern == nil || !slices.Contains([]ReplyAction{Slow, Suspend, Bounce, Defer}, y.Action) {
			return fmt.Errorf("a reply needs a pattern, and slow, suspend, bounce or defer")
		}
	}
	return nil
}

// A shape is what the rules say of one destination.
type shape struct {
	key           string // of the pool: which destinations are shaped together; "" is none but itself
	own           string // the pattern of a domain that makes a destination of its own; or ""
	concurrency   int
	rate          Rate
	perConnection int
	replies       []Reply
}

// shaping is a Shaping with all its rules.
type shaping struct {
	Shaping
	rules []Rule
}

func newShaping(s Shaping) *shaping {
	out := &shaping{Shaping: s, rules: slices.Clone(s.Rules)}
	if !s.NoBuiltin {
		out.rules = append(out.rules, builtinRules()...)
	}
	return out
}

// of returns the shape of the mail over route.
func (s *shaping) of(route Route) shape {
	var out shape
	hosts := strings.Split(strings.ToLower(route.Destination), ",")
	domain := strings.ToLower(route.Domain)
	for i := range s.rules {
		r := &s.rules[i]
		switch byHost, byDomain := r.fits(hosts...), r.fits(domain); {
		case byHost != "":
			out.add(r)
		case byDomain != "":
			out.add(r)
			if out.own == "" {
				out.own = byDomain
			}
		}
	}
	return out
}

// fits returns the first pattern that fits one of names.
func (r *Rule) fits(names ...string) string {
	for _, p := range r.Match {
		for _, name := range names {
			if ok, _ := path.Match(strings.ToLower(p), name); ok {
				return p
			}
		}
	}
	return ""
}

func (s *shape) add(r *Rule) {
	if r.Together && s.key == "" {
		s.key = strings.Join(r.Match, " ")
	}
	if s.concurrency == 0 {
		s.concurrency = r.Concurrency
	}
	if s.rate.Count == 0 {
		s.rate = r.Rate
	}
	if s.perConnection == 0 {
		s.perConnection = r.PerConnection
	}
	s.replies = append(s.replies, r.Replies...)
}

// reply returns what is to be done about answer a, or nil.
func (s *shape) reply(a *mail.Status) *Reply {
	if a.OK() {
		return nil
	}
	text := a.Error()
	for i := range s.replies {
		if s.replies[i].Pattern.MatchString(text) {
			return &s.replies[i]
		}
	}
	return nil
}

const (
	slowTime    = time.Hour
	suspendTime = 30 * time.Minute
)

// lasts returns how long the action holds.
func (y *Reply) lasts() time.Duration {
	switch {
	case y.For > 0:
		return y.For
	case y.Action == Slow:
		return slowTime
	default:
		return suspendTime
	}
}

// change returns answer a as the reply makes it.
func (y *Reply) change(a *mail.Status) *mail.Status {
	changed := *a
	switch {
	case y.Action == Bounce && a.Temporary():
		changed.Code = 554
	case a.Permanent() && (y.Action == Defer || y.Action == Slow || y.Action == Suspend):
		changed.Code = 451
	default:
		return a
	}
	if len(changed.Enhanced) > 1 {
		changed.Enhanced = fmt.Sprint(changed.Code/100) + changed.Enhanced[1:]
	}
	changed.Text = fmt.Sprintf("%s (the answer was %d; by a shaping rule: %s)", a.Text, a.Code, y.reason())
	return &changed
}

func (y *Reply) reason() string {
	if y.Reason != "" {
		return y.Reason
	}
	return "the answer fits the pattern " + y.Pattern.String()
}

// sender returns the Rate of mail from a reverse-path.
func (s *Shaping) sender(from mail.ReversePath) Rate {
	name := ""
	if !from.Null() {
		name = strings.ToLower(from.String())
	}
	for _, r := range s.Senders {
		if ok, _ := path.Match(strings.ToLower(r.Match), name); ok {
			return r.Rate
		}
	}
	return Rate{}
}

// rate returns the limit of a warm-up at now.
func (w *Warmup) rate(now time.Time) Rate {
	const day = 24 * time.Hour
	n := int(max(0, now.Sub(w.Start)) / day)
	if n >= len(w.Daily) {
		return Rate{}
	}
	return Rate{Count: w.Daily[n], Per: day}
}
