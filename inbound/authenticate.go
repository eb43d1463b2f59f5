package inbound

import (
	"context"
	"fmt"
	"slices"

	"posthaste/filter/reputation"
	"posthaste/filter/spam"
	"posthaste/mail"
	"posthaste/mailauth/arc"
	"posthaste/mailauth/dkim"
	"posthaste/mailauth/dmarc"
	"posthaste/mailauth/spf"
)

// Evidence is what was found out about who sent a message.
type Evidence struct {
	SPF        spf.Verdict
	Signatures []dkim.Verification
	Chain      arc.Chain
	DMARC      dmarc.Result
	Author     mail.Address          // of From, whose domain proved itself; zero: it did not
	Identities []reputation.Identity // that were proven, and the network of the client
	Hosts      []string              // that links lead to, each once
}

// SPF is the check whether the client may send for the envelope sender's domain (RFC 7208).
type SPF struct {
	Resolver spf.Resolver
	Hostname string // ours
	Refuse   bool   // who fails is refused, in the words of the domain
}

// Check implements [Check].
func (c SPF) Check(ctx context.Context, m *Message) Report {
	if !m.direct() {
		return Report{}
	}
	o := &m.Envelope.Origin
	v := spf.Check(ctx, c.Resolver, spf.Query{IP: o.IP, Helo: o.Helo, From: m.Envelope.From, Hostname: c.Hostname, Now: m.Envelope.Received})
	m.Evidence.SPF = v
	r := one(Result{Method: "spf", Result: string(v.Result), Reason: v.Reason, Info: v.Resinfo()})
	if c.Refuse && v.Result == spf.Fail {
		r.Refuse = v.Status()
	}
	return r
}

// DKIM is the check of signatures (RFC 6376).
type DKIM struct{ Verifier *dkim.Verifier }

// Check implements [Check].
func (c DKIM) Check(ctx context.Context, m *Message) (r Report) {
	all := c.Verifier.Verify(ctx, m.Header, m.Content, m.Envelope.Received)
	m.Evidence.Signatures = all
	if len(all) == 0 {
		return one(Result{Method: "dkim", Result: "none", Reason: "there is no signature", Info: "dkim=none"})
	}
	best := bestOf(all)
	for i := range all {
		v := &all[i]
		reason := v.Reason
		if reason == "" {
			reason = fmt.Sprintf("%s signed the message, with selector %s", v.Domain, v.Selector)
		}
		r.Results = append(r.Results, Result{Method: "dkim", Result: string(v.Result), Reason: reason, Info: v.Resinfo(), Quiet: i != best})
	}
	if v := &all[best]; v.Result == dkim.Pass && v.Partial > 0 {
		r.Findings = []mail.Finding{{Rule: "DKIM_PARTIAL", Weight: 2, Evidence: fmt.Sprintf("%d bytes are not signed", v.Partial),
			Meaning: "The signature covers only the beginning of the message: anybody may have added the rest (l=)."}}
	}
	return r
}

// bestOf returns which signature says most for the message: a broken one beside one that holds is no
// evidence against it.
func bestOf(all []dkim.Verification) (best int) {
	order := []dkim.Result{dkim.Pass, dkim.TempError, dkim.Neutral, dkim.Policy, dkim.PermError, dkim.Fail}
	rank := func(i int) int { return slices.Index(order, all[i].Result) }
	for i := range all {
		if rank(i) < rank(best) {
			best = i
		}
	}
	return best
}

// ARC is the check of what those found who passed the message on (RFC 8617).
type ARC struct{ Verifier *arc.Verifier }

// Check implements [Check].
func (c ARC) Check(ctx context.Context, m *Message) Report {
	if !m.Header.Has("ARC-Seal") {
		return Report{}
	}
	m.Evidence.Chain = c.Verifier.Verify(ctx, m.Header, m.Content)
	chain := &m.Evidence.Chain
	reason := chain.Reason
	if n := len(chain.Sets); reason == "" && n > 0 {
		reason = fmt.Sprintf("%d hosts passed it on, the last one %s", n, chain.Sets[n-1].Domain)
	}
	return one(Result{Method: "arc", Result: string(chain.Result), Reason: reason, Info: chain.Resinfo()})
}

// DMARC is the check whether SPF or DKIM proves the author's domain, and what that domain asks for (RFC
// 9989). It comes after SPF, DKIM and ARC.
type DMARC struct {
	Resolver dmarc.Resolver
	Enforce  bool     // do what domains ask for
	Sealers  []string // domains whose seals are believed: what they found to be proven is
}

// Check implements [Check].
func (c DMARC) Check(ctx context.Context, m *Message) Report {
	if m.relayed {
		return Report{} // SPF is not known
	}
	in := dmarc.Input{From: dmarc.Authors(m.Header)}
	if v := m.Evidence.SPF; v.Identity == spf.MailFrom {
		in.SPF, in.SPFDomain = string(v.Result), v.Domain
	}
	for _, s := range m.Evidence.Signatures {
		switch {
		case proves(s):
			in.DKIM = append(in.DKIM, s.Domain)
		case s.Result == dkim.TempError:
			in.Unsure = append(in.Unsure, s.Domain)
		}
	}
	found := dmarc.Evaluate(ctx, c.Resolver, in)
	m.Evidence.DMARC = found
	if found.Verdict == dmarc.Pass && c.provesWhole(ctx, m, in) {
		m.Evidence.Author = dmarc.Author(m.Header)
	}
	r := one(Result{Method: "dmarc", Result: string(found.Verdict), Reason: found.Reason, Info: found.ResInfo().String()})
	c.demand(m, &r)
	return r
}

// Ahead returns a check that asks for the policies of the author's domain, so that the resolver has them
// when c wants them. It is to run while others wait for the DNS.
func (c DMARC) Ahead() Check { return ahead{c.Resolver} }

type ahead struct{ resolver dmarc.Resolver }

// Check asks and reports nothing.
func (c ahead) Check(ctx context.Context, m *Message) Report {
	if !m.relayed {
		dmarc.Evaluate(ctx, c.resolver, dmarc.Input{From: dmarc.Authors(m.Header)})
	}
	return Report{}
}

// proves tells whether a signature says anything about its domain: keys that are only tested do not.
func proves(s dkim.Verification) bool { return s.Result == dkim.Pass && !s.Testing }

// provesWhole tells whether m would pass without the signatures that cover only the beginning of its body:
// anybody may have sent such a message again with other text below, so its author is not known.
func (c DMARC) provesWhole(ctx context.Context, m *Message, in dmarc.Input) bool {
	in.DKIM = nil
	partial := false
	for _, s := range m.Evidence.Signatures {
		if proves(s) && s.Partial == 0 {
			in.DKIM = append(in.DKIM, s.Domain)
		}
		partial = partial || proves(s) && s.Partial > 0
	}
	return !partial || dmarc.Evaluate(ctx, c.Resolver, in).Verdict == dmarc.Pass
}

// demand adds what the author's domain asks for, unless a sealer that we believe found it proven.
func (c DMARC) demand(m *Message, r *Report) {
	found := &m.Evidence.DMARC
	if found.Applied < dmarc.Quarantine || !c.Enforce {
		return
	}
	if sealer := c.believed(m.Evidence.Chain); sealer != "" {
		r.Findings = append(r.Findings, mail.Finding{Rule: "ARC_BELIEVED", Weight: -1, Evidence: sealer,
			Meaning: "Somebody whose seals are believed found the author proven before it passed the message on."})
		return
	}
	d := spam.Demand{Action: mail.Junk, Reason: found.Domain + " asks to be suspicious of mail that does not prove itself, as this does not (DMARC)"}
	if found.Applied == dmarc.Reject {
		d.Action = mail.Reject
		d.Reason = found.Domain + " asks to refuse mail that does not prove itself, as this does not (DMARC)"
		d.Reply = mail.NewStatus(550, "5.7.26", "neither SPF nor DKIM proves %s, which asks to refuse such mail (DMARC p=reject)", found.Author)
	}
	r.Demands = append(r.Demands, d)
}

// believed returns the last sealer of a chain that holds, where it is one that is believed and found the
// author proven.
func (c DMARC) believed(chain arc.Chain) string {
	if chain.Result != arc.Pass || len(chain.Sets) == 0 {
		return ""
	}
	last := &chain.Sets[len(chain.Sets)-1]
	if !slices.Contains(c.Sealers, last.Domain) {
		return ""
	}
	for _, f := range last.Results {
		if f.Method == "dmarc" && f.Value == "pass" {
			return last.Domain
		}
	}
	return ""
}
