package inbound

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"posthaste/dns"
	"posthaste/filter"
	"posthaste/filter/spam"
	"posthaste/mail"
	"posthaste/trace"
)

// A Check looks at a message and reports what it found.
type Check interface {
	// Check must not fail: what it could not find out is a "temperror". It may read what the checks
	// before it found.
	Check(ctx context.Context, m *Message) Report
}

// A Report is what one check found.
type Report struct {
	Results  []Result       // what was authenticated
	Findings []mail.Finding // whatever else was seen
	Demands  []spam.Demand  // what somebody asks to be done about it
	Refuse   *mail.Status   // the answer that refuses the message at once, or nil
}

// A Result is what one method of authentication said.
type Result struct {
	Method string // of RFC 8601, or our own word
	Result string // "pass", "fail", "none", "temperror" …
	Reason string // one sentence for people: what was seen, and what it means
	Info   string // as it stands in Authentication-Results: "spf=pass smtp.mailfrom=north.test"; empty: not there
	Quiet  bool   // it counts nothing: another of the same method says it all
}

// Times of one message, which name servers that are silent cannot stretch. Those that ask at the same time
// have a part of it: who holds answers back about domains of its own must not keep us from hearing what
// the author's domain asks for.
const (
	checkTime = 4 * time.Second // for all checks
	askTime   = 3 * time.Second // for those of one [Together]
)

// examine runs the checks. The error is the answer of the first that refuses.
func (p *Policy) examine(ctx context.Context, how Taking, m *Message) error {
	if len(p.checks) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	for _, c := range p.checks {
		began := time.Now()
		r := c.Check(ctx, m)
		m.add(r)
		if m.clientName != "" {
			m.Envelope.Origin.Name = m.clientName
		}
		if p.spam == nil || r.Refuse != nil { // else the verdict tells of them all
			p.tellResults(how, m, r, time.Since(began))
		}
		if r.Refuse != nil {
			return r.Refuse
		}
	}
	return nil
}

// add takes a report in.
func (m *Message) add(r Report) {
	m.Results = append(m.Results, r.Results...)
	m.Findings = append(m.Findings, r.Findings...)
	m.Demands = append(m.Demands, r.Demands...)
}

// tellResults leaves an event for each result.
func (p *Policy) tellResults(how Taking, m *Message, report Report, took time.Duration) {
	for _, r := range report.Results {
		p.trace.Record(trace.Event{
			ID: m.Envelope.ID, Session: how.Session, Step: trace.Check, OK: report.Refuse == nil && r.Result != "fail",
			Peer: m.peer(), Asked: r.Method, Answered: r.Result, Reason: r.Reason, Text: r.Reason, Took: took,
		})
	}
}

// Together is a check that runs others at the same time. Their reports come in the order given.
func Together(checks ...Check) Check { return together(checks) }

type together []Check

// Check runs all checks.
func (t together) Check(ctx context.Context, m *Message) (all Report) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	reports := make([]Report, len(t))
	filter.Each(len(t), func(i int) { reports[i] = t[i].Check(ctx, m) })
	for _, r := range reports {
		all.Results = append(all.Results, r.Results...)
		all.Findings = append(all.Findings, r.Findings...)
		all.Demands = append(all.Demands, r.Demands...)
		if all.Refuse == nil {
			all.Refuse = r.Refuse
		}
	}
	return all
}

func one(r Result) Report { return Report{Results: []Result{r}} }

// An IprevResolver confirms the name of an address forward and back, as *dns.Resolver does.
type IprevResolver interface {
	Iprev(ctx context.Context, ip netip.Addr) (string, error)
}

// Iprev is the check whether the client's address has a name that leads back to it (RFC 8601 section
// 2.7.3). It refuses nothing. A confirmed name goes into Origin.Name.
type Iprev struct {
	Resolver IprevResolver
	Loopback bool // also of this machine, where hosts of a demo or test live
}

// Check implements [Check].
func (c Iprev) Check(ctx context.Context, m *Message) Report {
	o := &m.Envelope.Origin
	if !m.direct() || o.IP.IsLoopback() && !c.Loopback {
		return Report{} // no host of the Internet
	}
	r := Result{Method: "iprev"}
	name, err := o.Name, error(nil)
	if name == "" {
		name, err = c.Resolver.Iprev(ctx, o.IP)
	}
	switch {
	case err == nil:
		m.clientName = name
		r.Result, r.Reason = "pass", o.IP.String()+" is "+name+", and "+name+" has that address"
	case errors.Is(err, dns.ErrUnconfirmed):
		r.Result, r.Reason = "fail", "no name of "+o.IP.String()+" leads back to it"
	case errors.Is(err, dns.ErrNotFound):
		r.Result, r.Reason = "permerror", o.IP.String()+" has no name in the DNS"
	default:
		r.Result, r.Reason = "temperror", "the DNS did not tell the name of "+o.IP.String()
	}
	r.Info = "iprev=" + r.Result + " policy.iprev=" + o.IP.String()
	return one(r)
}

// Helo is the check whether the client gives a name that can be one (RFC 5321 section 4.1.4). It
// refuses nothing: the standard forbids refusing for that alone.
type Helo struct {
	Hostname string // ours: a client that claims it is lying
	Loopback bool   // also of this machine; empty: not checked
}

// Check implements [Check].
func (c Helo) Check(_ context.Context, m *Message) Report {
	o := &m.Envelope.Origin
	if !m.direct() || o.IP.IsLoopback() && !c.Loopback {
		return Report{}
	}
	r := Result{Method: "helo", Result: "pass"}
	switch name := strings.TrimSuffix(o.Helo, "."); {
	case c.Hostname != "" && strings.EqualFold(name, c.Hostname):
		r.Result, r.Reason = "policy", "the client calls itself by our own name"
	case strings.HasPrefix(name, "[") && !isLiteralOf(name, o.IP):
		r.Result, r.Reason = "fail", "the client names the address "+name+" and comes from "+o.IP.String()
	case !strings.HasPrefix(name, "[") && (!strings.Contains(name, ".") || !dns.IsHostName(name)):
		r.Result, r.Reason = "fail", "the client calls itself \""+name+"\", which is no full host name"
	default:
		r.Reason = "the client calls itself " + name
	}
	return one(r)
}

// isLiteralOf tells whether an address literal is that of ip.
func isLiteralOf(literal string, ip netip.Addr) bool {
	text := strings.TrimSuffix(strings.TrimPrefix(literal, "["), "]")
	if len(text) > 5 && strings.EqualFold(text[:5], "IPv6:") {
		text = text[5:]
	}
	named, err := netip.ParseAddr(text)
	return err == nil && named.Unmap() == ip.Unmap().WithZone("")
}

// AuthenticationResults returns the value of our Authentication-Results field, or "".
func (m *Message) AuthenticationResults() string {
	return strings.TrimSuffix(strings.TrimPrefix(string(m.results(m.host)), "Authentication-Results: "), "\r\n")
}

// results returns the Authentication-Results field (RFC 8601 section 2.2), or nothing.
func (m *Message) results(host string) []byte {
	var b []byte
	for _, r := range m.Results {
		if r.Info == "" {
			continue
		}
		if b == nil {
			b = append(b, "Authentication-Results: "+host...)
		}
		b = append(b, ";\r\n\t"+r.Info...)
	}
	if b == nil {
		return nil
	}
	return append(b, "\r\n"...)
}
