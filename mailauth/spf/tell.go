package spf

import (
	"context"
	"strings"

	"posthaste/mail"
)

// How much of a stranger's words is told on.
const (
	maxTold        = 255 // of a name, or a term
	maxRecordTold  = 2000
	maxExplanation = 400
)

// explanation fetches and expands what the domain tells those whom it fails (RFC 7208 section 6.2).
// Whatever goes wrong with it, there is none.
func (c *checking) explanation(ctx context.Context, o outcome) string {
	target, ok, err := c.target(ctx, o.exp, o.at)
	if err != nil || !ok {
		return ""
	}
	texts, err := ask(ctx, c, "TXT", target, c.resolver.TXT)
	if err != nil || len(texts) != 1 {
		return ""
	}
	m, err := parseMacros(texts[0], inExplanation)
	if err != nil {
		return ""
	}
	text, err := m.expand(func(letter byte) string { return c.value(ctx, letter, o.at) })
	if err != nil {
		return ""
	}
	return strings.TrimSpace(printable(text, maxExplanation))
}

// printable keeps at most n bytes of s, each that is not printable ASCII replaced by a question mark.
func printable(s string, n int) string {
	cut := len(s) > n
	if cut {
		s = s[:n]
	}
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	if cut {
		clean = clean[:max(0, min(len(clean), n)-3)] + "..."
	}
	return clean
}

// reason is the sentence of a verdict. err is what stood in the way.
func (v Verdict) reason(err error) string {
	by := v.Domain + " says so"
	if v.Mechanism != "" {
		by = "the record of " + v.At + " has " + v.Mechanism
	}
	switch v.Result {
	case Pass:
		return v.IP + " may send mail of " + v.Domain + ": " + by
	case Fail:
		return v.IP + " may not send mail of " + v.Domain + ": " + by
	case SoftFail:
		return v.IP + " probably may not send mail of " + v.Domain + ": " + by
	case Neutral:
		if v.Mechanism == "" {
			by = "nothing in its record matches"
		}
		return v.Domain + " does not say whether " + v.IP + " may send its mail: " + by
	case TempError:
		return "whether " + v.IP + " may send mail of " + v.Domain + " cannot be told now: " + printable(err.Error(), maxRecordTold)
	case PermError:
		return "the policy of " + v.Domain + " cannot be understood: " + printable(err.Error(), maxRecordTold)
	}
	if err != nil {
		return printable(err.Error(), maxRecordTold)
	}
	return v.Domain + " does not say who may send its mail"
}

func (v Verdict) who() string { return string(v.Identity) + " " + v.Domain }

// Properties returns what names the identity in Authentication-Results (RFC 8601 section 2.7.2):
// "smtp.mailfrom=north.test". A name that is no word is quoted.
func (v Verdict) Properties() string { return "smtp." + string(v.Identity) + "=" + pvalue(v.Domain) }

// Resinfo returns the result as it stands in Authentication-Results: "spf=pass smtp.mailfrom=north.test".
func (v Verdict) Resinfo() string { return "spf=" + string(v.Result) + " " + v.Properties() }

// pvalue returns s as a token, or as a quoted-string where it is none (RFC 2045 section 5.1).
func pvalue(s string) string {
	token := s != ""
	for i := range len(s) {
		if c := s[i]; !isAlpha(c) && !isDigit(c) && strings.IndexByte("-._", c) < 0 {
			token = false
		}
	}
	if token {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(printable(s, maxTold)) + `"`
}

// Status returns the answer for who refuses because of v (RFC 7208 section 8, codes of RFC 7372), or nil
// when v gives no cause. The explanation stands in it as what it is: the words of the domain.
func (v Verdict) Status() *mail.Status {
	switch v.Result {
	case Fail:
		text := "SPF: " + v.Reason
		if v.Explanation != "" {
			text += "\n" + printable(v.At, maxTold) + " explains: " + v.Explanation
		}
		return mail.NewStatus(550, "5.7.23", "%s", text)
	case PermError:
		return mail.NewStatus(550, "5.7.24", "%s", "SPF: "+v.Reason)
	case TempError:
		return mail.NewStatus(451, "4.7.24", "%s", "SPF: "+v.Reason)
	}
	return nil
}
