// Package dnsbl asks lists in the DNS about who sends a message and what it names: block lists of addresses
// and domains (DNSBL, RHSBL) and welcome lists (DNSWL), as RFC 5782 describes them.
//
// Lists are data: a [Config] each, with the weight and meaning of what they answer. [Lists.Check] asks all
// lists at the same time and returns what they say and which of them said nothing. That a list is silent, or
// answers to us in particular that we may not ask (127.255.255.0/24), is no evidence. Answers outside
// 127.0.0.0/8, as those of an expired domain, never are.
//
// No list is asked before it has shown that it works: [Lists.Run] tests each by the entries that every list
// must have and must not have, at once and then again and again. A list that fails is off until it passes;
// one that refuses us or leaves three questions in a row without answer, too. [Lists.Status] tells why.
//
// Addresses of private use are not asked about. At most 40 names of a message are, 200 questions in all.
package dnsbl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"posthaste/dns"
)

// Limits.
const (
	DefaultTimeout = 3 * time.Second // for one list
	MaxLists       = 50
	maxCodes       = 64  // of one list
	maxNames       = 40  // of one message
	maxQuestions   = 200 // about one message
	maxAtOnce      = 64  // of them
	maxSilences    = 3   // in a row until a list is left alone
)

// A Role says whose address or name something is.
type Role string

// The roles.
const (
	Client Role = "client" // the address of the client
	Helo   Role = "helo"   // what it calls itself
	Sender Role = "sender" // the domain of the reverse-path
	From   Role = "from"   // that of the author
	URL    Role = "url"    // that of a link
)

// A Config is one list.
type Config struct {
	Name    string  // as rules, log and commands call it: letters, digits, hyphens
	Zone    string  // below which is asked: "zen.spamhaus.org"
	Domains bool    // it lists domains, else addresses
	Asks    []Role  // what it is asked about; empty: Client, or all but that for Domains
	Weight  float64 // of an answer whose code has none, in points; at least 0
	Codes   []Code  // what answers mean; empty: each means that the list has an entry
	Allow   bool    // an entry speaks for a message: weights count as negative
	Host    bool    // also ask for whole host names, not only for the domain that somebody registered
	Private bool    // also ask about addresses of private use, for labs
	Test    Test
	Timeout time.Duration // for one question; 0: DefaultTimeout
}

// A Test says how a list shows that it works.
type Test struct {
	Off      bool
	Listed   string // address or domain that must be listed; empty: that of RFC 5782 section 5
	Unlisted string // that must not be; likewise
}

// A Resolver answers questions, as *dns.Resolver does.
type Resolver interface {
	A(ctx context.Context, host string) (dns.Answer[netip.Addr], error)
	TXT(ctx context.Context, name string) (dns.Answer[string], error)
}

// Lists are all lists of a node. They are safe for concurrent use.
type Lists struct {
	resolver Resolver
	log      *slog.Logger
	nudge    chan struct{} // a test came due

	mu  sync.Mutex // guards all and what the lists in it say they guard by it
	all []*list
}

// A list is one list and how it fares.
type list struct {
	cfg     Config
	timeout time.Duration

	// What follows is guarded by Lists.mu.
	state    State
	why      string
	silences int // in a row
	tested   time.Time
	due      time.Time // of the next test
	asked    int64
	entries  int64
	failed   int64
}

// New returns Lists without any list: see [Lists.Configure].
func New(r Resolver, log *slog.Logger) *Lists {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Lists{resolver: r, log: log, nudge: make(chan struct{}, 1)}
}

// Configure puts lists in the place of those before. One that stays as it was keeps its state.
func (l *Lists) Configure(configs []Config) error {
	if err := Validate(configs); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.all
	l.all = nil
	for _, c := range configs {
		l.all = append(l.all, kept(before, complete(c)))
	}
	l.wake()
	return nil
}

// kept returns the list of before that has this Config, or a new one.
func kept(before []*list, c Config) *list {
	for _, old := range before {
		if same(old.cfg, c) {
			return old
		}
	}
	fresh := &list{cfg: c, timeout: cmp.Or(c.Timeout, DefaultTimeout), state: Untested, why: "not tested yet"}
	if c.Test.Off {
		fresh.state, fresh.why = On, untestedReason
	}
	return fresh
}

func same(a, b Config) bool {
	return a.Name == b.Name && a.Zone == b.Zone && a.Domains == b.Domains && slices.Equal(a.Asks, b.Asks) && a.Weight == b.Weight &&
		slices.Equal(a.Codes, b.Codes) && a.Allow == b.Allow && a.Host == b.Host && a.Private == b.Private && a.Test == b.Test && a.Timeout == b.Timeout
}

// complete fills in what c leaves to defaults.
func complete(c Config) Config {
	c.Zone = strings.ToLower(strings.Trim(c.Zone, "."))
	switch {
	case len(c.Asks) > 0:
	case c.Domains:
		c.Asks = []Role{Helo, Sender, From, URL}
	default:
		c.Asks = []Role{Client}
	}
	listed, unlisted := "127.0.0.2", "127.0.0.1"
	if c.Domains {
		listed, unlisted = "test", "invalid"
	}
	c.Test.Listed, c.Test.Unlisted = cmp.Or(c.Test.Listed, listed), cmp.Or(c.Test.Unlisted, unlisted)
	return c
}

// Validate tells what is wrong with the configuration of lists, for all of them.
func Validate(configs []Config) error {
	var errs []error
	if len(configs) > MaxLists {
		errs = append(errs, fmt.Errorf("dnsbl: %d lists, at most %d are asked", len(configs), MaxLists))
	}
	seen := map[string]bool{}
	for _, c := range configs {
		if err := c.validate(); err != nil {
			errs = append(errs, fmt.Errorf("dnsbl: %q: %w", c.Name, err))
		}
		if name := strings.ToLower(c.Name); seen[name] {
			errs = append(errs, fmt.Errorf("dnsbl: two lists are called %q", c.Name))
		} else {
			seen[name] = true
		}
	}
	return errors.Join(errs...)
}

func (c Config) validate() error {
	switch {
	case !isName(c.Name):
		return errors.New("the name is not of letters, digits, - and _, at most 40")
	case !dns.IsHostName(c.Zone) || len(c.Zone) > maxZone:
		return fmt.Errorf("the zone %q is no name of the DNS", c.Zone)
	case c.Weight < 0 || c.Weight > maxWeight:
		return fmt.Errorf("the weight is not 0 to %d; a list that speaks for mail has allow = true", maxWeight)
	case c.Timeout < 0:
		return errors.New("the timeout is negative")
	case len(c.Codes) > maxCodes:
		return fmt.Errorf("%d codes, at most %d are read", len(c.Codes), maxCodes)
	}
	for _, r := range c.Asks {
		if !slices.Contains([]Role{Client, Helo, Sender, From, URL}, r) {
			return fmt.Errorf("%q is none of client, helo, sender, from and url", r)
		}
		if (r == Client) == c.Domains {
			return fmt.Errorf("it cannot be asked about the %s: client is for lists of addresses, the others for those of domains", r)
		}
	}
	return nil
}

// isName tells whether s may be the name of a list.
func isName(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	return s != "" && len(s) <= 40 && strings.Trim(strings.ToLower(s), letters+"-_") == "" && strings.Contains(letters, strings.ToLower(s[:1]))
}
