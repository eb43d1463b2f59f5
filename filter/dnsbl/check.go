package dnsbl

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"posthaste/dns"
	"posthaste/explain"
)

// A Subject is what lists are asked about.
type Subject struct {
	Client netip.Addr // may be invalid
	Names  []Name
}

// A Name is a domain or host name of a message. It may be anything that a stranger wrote.
type Name struct {
	Role   Role
	Domain string
}

// A Hit is one entry of a list.
type Hit struct {
	List    string     `json:"list"`
	Allow   bool       `json:"allow,omitempty"`
	Role    Role       `json:"role"`
	Asked   string     `json:"asked"` // the address or domain
	Code    netip.Addr `json:"code"`
	Weight  float64    `json:"weight"` // what speaks for spam is positive
	Meaning string     `json:"meaning"`

	query string // the name that was asked for
}

// A Failure is a question that a list left open.
type Failure struct {
	List  string `json:"list"`
	Asked string `json:"asked"`
	Why   string `json:"why"`
}

// A Report is what the lists said, in the order of the configuration. A list that is off is not in it.
type Report struct {
	Hits   []Hit     `json:"hits"`
	Failed []Failure `json:"failed"`
}

// A question is one of a check.
type question struct {
	list  *list
	role  Role
	asked string
	query string
}

// Check asks the lists about s. What is not known when ctx ends counts as failed.
func (l *Lists) Check(ctx context.Context, s Subject) Report {
	questions := l.questions(s)
	found := make([]Report, len(questions))
	slots := make(chan struct{}, maxAtOnce)
	var asking sync.WaitGroup
	for i, q := range questions {
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			found[i] = l.put(ctx, q)
		})
	}
	asking.Wait()
	var all Report
	for _, f := range found {
		all.Hits, all.Failed = append(all.Hits, f.Hits...), append(all.Failed, f.Failed...)
	}
	return all
}

// questions returns what is to be asked, each question once.
func (l *Lists) questions(s Subject) (all []question) {
	names := clean(s.Names)
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := map[string]bool{}
	add := func(list *list, role Role, asked, query string) {
		once := list.cfg.Name + " " + query
		if query != "" && !seen[once] && len(all) < maxQuestions {
			seen[once] = true
			all = append(all, question{list, role, asked, query})
		}
	}
	for _, list := range l.all {
		if list.state != On {
			continue
		}
		c := &list.cfg
		if !c.Domains {
			if slices.Contains(c.Asks, Client) && s.Client.IsValid() && (c.Private || !local(s.Client)) {
				add(list, Client, s.Client.Unmap().WithZone("").String(), c.queryAddr(s.Client))
			}
			continue
		}
		for _, n := range names {
			if !slices.Contains(c.Asks, n.Role) {
				continue
			}
			domain := registrable(n.Domain)
			add(list, n.Role, domain, c.queryDomain(domain))
			if c.Host && n.Domain != domain {
				add(list, n.Role, n.Domain, c.queryDomain(n.Domain))
			}
		}
	}
	return all
}

// clean returns the names that can be asked for, in the form of the DNS, each once.
func clean(names []Name) (all []Name) {
	for _, n := range names {
		domain, err := idna.Lookup.ToASCII(strings.TrimSuffix(n.Domain, "."))
		if err != nil {
			domain = strings.ToLower(strings.TrimSuffix(n.Domain, ".")) // underscores, which that refuses
		}
		if _, err := netip.ParseAddr(domain); err == nil || !dns.IsHostName(domain) || !strings.Contains(domain, ".") {
			continue
		}
		if n.Domain = domain; !slices.Contains(all, n) && len(all) < maxNames {
			all = append(all, n)
		}
	}
	return all
}

// registrable returns the domain that somebody registered, of a host name; a public suffix is its own.
func registrable(host string) string {
	if domain, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
		return domain
	}
	return host
}

// carrier is the network that providers number their customers from (RFC 6598).
var carrier = netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10)

// local tells whether an address is one that no list can know.
func local(ip netip.Addr) bool {
	ip = ip.Unmap()
	return !ip.IsGlobalUnicast() || ip.IsPrivate() || carrier.Contains(ip)
}

// queryAddr returns the name below the zone for an address (RFC 5782 sections 2.1 and 2.4).
func (c *Config) queryAddr(ip netip.Addr) string {
	name := dns.ReverseName(ip)
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".in-addr.arpa"), ".ip6.arpa")
	return name + "." + c.Zone
}

// queryDomain returns the name below the zone for a domain (RFC 5782 section 3), or "" where it is too long.
func (c *Config) queryDomain(domain string) string {
	name := domain + "." + c.Zone
	if !dns.IsHostName(name) {
		return ""
	}
	return name
}

// put asks one question.
func (l *Lists) put(ctx context.Context, q question) (r Report) {
	c := &q.list.cfg
	began := time.Now()
	addrs, err := l.ask(ctx, q.list, q.query)
	if err != nil {
		l.silent(ctx, q.list, err, time.Since(began))
		explain.Note(ctx, "dnsbl", "%s was asked about %s: %v", c.Name, q.asked, err)
		r.Failed = append(r.Failed, Failure{c.Name, q.asked, err.Error()})
		return r
	}
	a := c.judge(addrs)
	l.spoke(q.list, a)
	if a.refusal != "" {
		explain.Note(ctx, "dnsbl", "%s was asked about %s: %s", c.Name, q.asked, a.refusal)
		r.Failed = append(r.Failed, Failure{c.Name, q.asked, a.refusal})
		return r
	}
	if len(a.codes) == 0 {
		explain.Note(ctx, "dnsbl", "%s does not list %s", c.Name, q.asked)
	}
	for i, code := range a.codes {
		hit := Hit{List: c.Name, Allow: c.Allow, Role: q.role, Asked: q.asked, Code: a.at[i], Weight: c.weight(code),
			Meaning: c.meaning(code), query: q.query}
		explain.Note(ctx, "dnsbl", "%s lists %s as %s: %s (%+.1f)", c.Name, q.asked, hit.Code, hit.Meaning, hit.Weight)
		r.Hits = append(r.Hits, hit)
	}
	return r
}

// ask returns the addresses that a list has for a name; none is no error.
func (l *Lists) ask(ctx context.Context, list *list, query string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, list.timeout)
	defer cancel()
	answer, err := l.resolver.A(ctx, query)
	if errors.Is(err, dns.ErrNotFound) {
		return nil, nil
	}
	return answer.Records, err
}

func (c *Config) weight(code Code) float64 {
	weight := c.Weight
	if code.Weighted {
		weight = code.Weight
	}
	if c.Allow {
		return -weight
	}
	return weight
}

func (c *Config) meaning(code Code) string {
	switch {
	case code.Meaning != "":
		return code.Meaning
	case c.Allow:
		return "the list " + c.Name + " speaks for it"
	}
	return "the list " + c.Name + " warns of it"
}

// maxReason bounds what a list says in text, in bytes.
const maxReason = 255

// Reason asks the list of a hit why it has the entry. Its words are those of a stranger: printable ASCII, at
// most 255 bytes.
func (l *Lists) Reason(ctx context.Context, h Hit) (string, error) {
	if h.query == "" {
		return "", fmt.Errorf("dnsbl: nothing was asked for %s", h.Asked)
	}
	ctx, cancel := context.WithTimeout(ctx, DefaultTimeout)
	defer cancel()
	answer, err := l.resolver.TXT(ctx, h.query)
	if errors.Is(err, dns.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("dnsbl: %w", err)
	}
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, answer.Records[0])
	return text[:min(len(text), maxReason)], nil
}

// spoke notes that a list answered.
func (l *Lists) spoke(list *list, a answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list.asked++
	list.silences = 0
	if len(a.codes) > 0 {
		list.entries++
	}
	if a.refusal != "" {
		list.failed++
		l.turn(list, Off, a.refusal, time.Now().Add(spread(refusedInterval)))
	}
}

// patience is what a list is given before its silence counts against it, where whoever asked has less of it
// than the list's own time.
const patience = 2 * time.Second

// silent notes that a list did not answer for some time. That our resolver is lost, or that whoever asked
// has gone, is not the fault of the list.
func (l *Lists) silent(ctx context.Context, list *list, err error, waited time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list.asked++
	list.failed++
	gone := ctx.Err() != nil && (!errors.Is(ctx.Err(), context.DeadlineExceeded) || waited < patience)
	if errors.Is(err, dns.ErrUnreachable) || gone {
		return
	}
	if list.silences++; list.silences >= maxSilences {
		l.turn(list, Off, fmt.Sprintf("it left %d questions in a row without answer, the last one: %v", list.silences, err),
			time.Now().Add(spread(silentInterval)))
	}
}
