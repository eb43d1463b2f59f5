package aggregate

import (
	"net/netip"
	"slices"
	"strings"

	"posthaste/mailauth/dmarc"
)

// An Observation is what became of one message.
type Observation struct {
	Source       netip.Addr // of the client
	Result       dmarc.Result
	Disposition  dmarc.Policy // what was done for DMARC's sake: None, Quarantine or Reject
	Overrides    []Override   // why it is not what was asked for
	EnvelopeFrom string       // domain of the reverse-path; empty for the null one
	DKIM         []Auth       // of every signature that was looked at
	SPF          Auth         // of MAIL FROM; without Domain it was not looked at
}

// counts tells whether the owner of the domain wants to hear of it.
func (o *Observation) counts() bool {
	if o.Result.Verdict != dmarc.Pass && o.Result.Verdict != dmarc.Fail || o.Result.Domain == "" {
		return false
	}
	return slices.ContainsFunc(o.Result.Record.Aggregate, func(uri string) bool {
		return len(uri) > 7 && strings.EqualFold(uri[:7], "mailto:")
	})
}

// row returns o as a row of one message.
func (o *Observation) row() Row {
	r := Row{Source: o.Source.Unmap().WithZone("").String(), Count: 1, Disposition: o.disposition(), Overrides: o.overrides(),
		DKIM: "fail", SPF: "fail", HeaderFrom: o.Result.Author, EnvelopeFrom: domain(o.EnvelopeFrom), DKIMResults: o.signatures()}
	if o.Result.AlignedBy("dkim") {
		r.DKIM = "pass"
	}
	if o.Result.AlignedBy("spf") {
		r.SPF = "pass"
	}
	if o.SPF.Domain != "" {
		r.SPFResults = []Auth{{Domain: domain(o.SPF.Domain), Scope: "mfrom", Result: known(o.SPF.Result), Text: text(o.SPF.Text)}}
	}
	return r
}

// disposition is the word of RFC 9990 appendix A, ActionDispositionType.
func (o *Observation) disposition() string {
	if o.Result.Verdict == dmarc.Pass && o.Result.Enforced() {
		return "pass"
	}
	return max(o.Disposition, dmarc.None).String()
}

// overrides says why something else was done than the policy asks: it must be said (section 3.1.1.9).
func (o *Observation) overrides() []Override {
	done := max(o.Disposition, dmarc.None)
	switch {
	case len(o.Overrides) > 0:
		return o.Overrides[:min(len(o.Overrides), maxOverrides)]
	case o.Result.Verdict == dmarc.Pass || done == max(o.Result.Policy, dmarc.None):
		return nil
	case o.Result.Record.Test && done == o.Result.Applied:
		return []Override{{Type: "policy_test_mode"}}
	}
	return []Override{{Type: "local_policy"}}
}

// signatures returns what is told about the signatures, those first that matter most (section 3.1.3).
func (o *Observation) signatures() []Auth {
	var all []Auth
	for _, a := range o.DKIM {
		all = append(all, Auth{Domain: domain(a.Domain), Selector: text(a.Selector), Result: known(a.Result), Text: text(a.Text)})
	}
	rank := func(a Auth) int {
		switch {
		case a.Result != "pass":
			return 3
		case a.Domain == o.Result.Author:
			return 0
		case slices.Contains(o.Result.Aligned, dmarc.Aligned{Method: "dkim", Domain: a.Domain}):
			return 1
		}
		return 2
	}
	slices.SortStableFunc(all, func(a, b Auth) int { return rank(a) - rank(b) })
	return all[:min(len(all), maxResults)]
}

// known returns a result that the schema of reports knows.
func known(result string) string {
	switch result = strings.ToLower(result); result {
	case "none", "pass", "fail", "softfail", "policy", "neutral", "temperror", "permerror":
		return result
	}
	return "neutral"
}

// key returns what two rows have in common that are counted as one.
func (r *Row) key() string {
	var b strings.Builder
	put := func(parts ...string) {
		for _, p := range parts {
			b.WriteString(p)
			b.WriteByte(0)
		}
	}
	put(r.Source, r.Disposition, r.DKIM, r.SPF, r.HeaderFrom, r.EnvelopeFrom)
	for _, o := range r.Overrides {
		put("o", o.Type, o.Comment)
	}
	for _, a := range r.DKIMResults {
		put("d", a.Domain, a.Selector, a.Result, a.Text)
	}
	for _, a := range r.SPFResults {
		put("s", a.Domain, a.Result, a.Text)
	}
	return b.String()
}
