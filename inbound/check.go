package inbound

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"posthaste/dns"
	"posthaste/mail"
	"posthaste/trace"
)

// A Check looks at a message and gives a verdict with its reason.
type Check interface {
	// Check must not fail: what it could not find out is a "temperror". It may read the verdicts of
	// the checks before it.
	Check(ctx context.Context, m *Message) Verdict
}

// A Verdict is what one check found.
type Verdict struct {
	Method     string       // of RFC 8601, or our own word
	Result     string       // "pass", "fail", "none", "temperror" …
	Properties string       // "policy.iprev=192.0.2.1", or empty
	Reason     string       // one sentence for people: what was seen, and what it means
	Header     bool         // it belongs into Authentication-Results
	Refuse     *mail.Status // the answer that refuses the message, or nil
}

// checkTime bounds all checks of one message together.
const checkTime = 10 * time.Second

// examine runs the checks. The error is the answer of the first that refuses.
func (p *Policy) examine(ctx context.Context, how Taking, m *Message) error {
	if len(p.checks) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	for _, c := range p.checks {
		began := time.Now()
		v := c.Check(ctx, m)
		if v.Method == "" {
			continue // it had nothing to say
		}
		m.Verdicts = append(m.Verdicts, v)
		p.trace.Record(trace.Event{
			ID: m.Envelope.ID, Session: how.Session, Step: trace.Check, OK: v.Refuse == nil && v.Result != "fail",
			Peer: m.peer(), Asked: v.Method, Answered: v.Result, Reason: v.Reason, Text: v.Reason, Took: time.Since(began),
		})
		if v.Refuse != nil {
			return v.Refuse
		}
	}
	return nil
}

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
func (c Iprev) Check(ctx context.Context, m *Message) Verdict {
	o := &m.Envelope.Origin
	if !o.IP.IsValid() || o.IP.IsLoopback() && !c.Loopback {
		return Verdict{} // no host of the Internet
	}
	v := Verdict{Method: "iprev", Properties: "policy.iprev=" + o.IP.String(), Header: true}
	name, err := o.Name, error(nil)
	if name == "" {
		name, err = c.Resolver.Iprev(ctx, o.IP)
	}
	switch {
	case err == nil:
		o.Name = name
		v.Result, v.Reason = "pass", o.IP.String()+" is "+name+", and "+name+" has that address"
	case errors.Is(err, dns.ErrUnconfirmed):
		v.Result, v.Reason = "fail", "no name of "+o.IP.String()+" leads back to it"
	case errors.Is(err, dns.ErrNotFound):
		v.Result, v.Reason = "permerror", o.IP.String()+" has no name in the DNS"
	default:
		v.Result, v.Reason = "temperror", "the DNS did not tell the name of "+o.IP.String()
	}
	return v
}

// Helo is the check whether the client gives a name that can be one (RFC 5321 section 4.1.4). It
// refuses nothing: the standard forbids refusing for that alone.
type Helo struct {
	Hostname string // ours: a client that claims it is lying
	Loopback bool   // also of this machine; empty: not checked
}

// Check implements [Check].
func (c Helo) Check(_ context.Context, m *Message) Verdict {
	o := &m.Envelope.Origin
	if !o.IP.IsValid() || o.IP.IsLoopback() && !c.Loopback {
		return Verdict{}
	}
	v := Verdict{Method: "helo", Result: "pass"}
	switch name := strings.TrimSuffix(o.Helo, "."); {
	case c.Hostname != "" && strings.EqualFold(name, c.Hostname):
		v.Result, v.Reason = "fail", "the client calls itself by our own name"
	case strings.HasPrefix(name, "[") && !isLiteralOf(name, o.IP):
		v.Result, v.Reason = "fail", "the client names the address "+name+" and comes from "+o.IP.String()
	case !strings.HasPrefix(name, "[") && (!strings.Contains(name, ".") || !dns.IsHostName(name)):
		v.Result, v.Reason = "fail", "the client calls itself \""+name+"\", which is no full host name"
	default:
		v.Reason = "the client calls itself " + name
	}
	return v
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

// results returns the Authentication-Results field (RFC 8601 section 2.2), or nothing.
func (m *Message) results(host string) []byte {
	var b []byte
	for _, v := range m.Verdicts {
		if !v.Header {
			continue
		}
		if b == nil {
			b = append(b, "Authentication-Results: "+host...)
		}
		b = append(b, ";\r\n\t"...)
		b = append(b, v.Method+"="+v.Result...)
		if v.Properties != "" {
			b = append(b, " "+v.Properties...)
		}
	}
	if b == nil {
		return nil
	}
	return append(b, "\r\n"...)
}
