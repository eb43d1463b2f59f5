package dmarc

import (
	"context"
	"fmt"
	"strings"
)

// Advice says how mail that we are about to send will fare at receivers.
type Advice struct {
	Aligned  bool   `json:"aligned"` // SPF or DKIM can make it pass
	Both     bool   `json:"both"`    // both can, so that it survives forwarding or a broken signature
	Known    bool   `json:"known"`   // false: a lookup failed, and Aligned says nothing
	Policy   Policy `json:"policy,omitempty"`
	Sentence string `json:"sentence"`
}

// WouldAlign tells whether mail from an address at from, with a reverse-path at envelope (empty for none)
// and signatures of the domains signing, can pass DMARC, provided that SPF and the signatures do.
func WouldAlign(ctx context.Context, r Resolver, from, envelope string, signing []string) Advice {
	got := Evaluate(ctx, r, Input{From: []string{from}, SPF: "pass", SPFDomain: envelope, DKIM: signing})
	a := Advice{Aligned: got.Verdict == Pass, Both: got.AlignedBy("spf") && got.AlignedBy("dkim"), Policy: got.Policy,
		Known: got.Verdict != TempError}
	switch got.Verdict {
	case Pass:
		by := make([]string, len(got.Aligned))
		for i, one := range got.Aligned {
			by[i] = fmt.Sprintf("%s (%s)", one.Domain, strings.ToUpper(one.Method))
		}
		a.Sentence = fmt.Sprintf("Mail from %s aligns with %s.", got.Author, strings.Join(by, " and "))
		if !got.AlignedBy("dkim") {
			a.Sentence += " It has no signature that aligns, so that it fails when it is forwarded."
		}
	case NoPolicy:
		a.Sentence = fmt.Sprintf("%s has no DMARC policy: nobody is asked to refuse its mail, and large hosts may trust it less.", got.Author)
	case Fail:
		a.Sentence = fmt.Sprintf("Mail from %s %s: none of these aligns. ", got.Author, described(envelope, signing)) + consequence(got)
	default:
		a.Sentence = got.Reason
	}
	return a
}

func described(envelope string, signing []string) string {
	from := "has no reverse-path with a domain"
	if envelope != "" {
		from = "has a reverse-path at " + canonical(envelope)
	}
	if len(signing) == 0 {
		return from + " and is not signed"
	}
	return from + " and is signed by " + strings.Join(signing[:min(len(signing), 5)], ", ")
}

func consequence(r Result) string {
	switch r.Applied {
	case Reject:
		return fmt.Sprintf("%s asks receivers to reject it.", r.Domain)
	case Quarantine:
		return fmt.Sprintf("%s asks receivers to treat it as suspicious.", r.Domain)
	}
	return fmt.Sprintf("%s asks for nothing to be done about that yet.", r.Domain)
}
