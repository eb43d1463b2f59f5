package spam

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"posthaste/mail"
)

// Bounds of a verdict, so that a trace full of them stays small.
const (
	maxFindings  = 60
	maxEvidence  = 300 // bytes
	maxOtherwise = 4
)

// Judge adds up what was found and says what becomes of the message. Demands count whatever the points
// say; the gravest wins, and one that has words of its own for the sender wins over points that ask for the
// same. The findings of the verdict come with the weights that counted, the heaviest
// first, those without weight last.
func (r *Rules) Judge(findings []mail.Finding, demands ...Demand) mail.Verdict {
	v := mail.Verdict{Findings: slices.Clone(findings)}
	for i := range v.Findings {
		f := &v.Findings[i]
		if own, ok := r.weights[f.Rule]; ok {
			f.Weight = own
		}
		f.Weight = round(f.Weight)
		f.Evidence = cut(f.Evidence)
		v.Score += f.Weight
	}
	v.Score = round(v.Score)
	slices.SortStableFunc(v.Findings, func(a, b mail.Finding) int { return cmp.Compare(math.Abs(b.Weight), math.Abs(a.Weight)) })
	v.Findings = v.Findings[:min(len(v.Findings), maxFindings)]
	var by float64
	v.Action, by = r.thresholds.action(v.Score)
	switch {
	case v.Action != mail.Accept:
		v.Reason = fmt.Sprintf("%s points, and from %s on mail is %s", points(v.Score), points(by), done(v.Action))
	default:
		v.Reason = r.harmless(v.Score)
	}
	var demanded *Demand
	for i := range demands {
		if d := &demands[i]; d.Action > v.Action || d.Action == v.Action && demanded == nil && d.Reply != nil {
			v.Action, v.Reason, demanded = d.Action, d.Reason, d
		}
	}
	v.Otherwise = r.otherwise(&v, demanded)
	return v
}

// action returns the gravest action whose threshold a score reaches, and the threshold.
func (t Thresholds) action(score float64) (mail.Action, float64) {
	for _, step := range [...]struct {
		at     float64
		action mail.Action
	}{{t.Reject, mail.Reject}, {t.Greylist, mail.Greylist}, {t.Quarantine, mail.Quarantine}, {t.Junk, mail.Junk}, {t.Tag, mail.Tag}} {
		if step.at > 0 && score >= step.at {
			return step.action, step.at
		}
	}
	return mail.Accept, 0
}

// harmless is the reason of what stays below all thresholds.
func (r *Rules) harmless(score float64) string {
	at := r.thresholds.above(score)
	if at == 0 {
		return fmt.Sprintf("%s points, and points have no effect here", points(score))
	}
	next, _ := r.thresholds.action(at)
	return fmt.Sprintf("%s points, and only from %s on mail is %s", points(score), points(at), done(next))
}

// above returns the lowest threshold that is above a score, or 0. A threshold of 0 is none.
func (t Thresholds) above(score float64) (lowest float64) {
	for _, at := range []float64{t.Tag, t.Junk, t.Quarantine, t.Greylist, t.Reject} {
		if at > max(score, 0) && (lowest == 0 || at < lowest) {
			lowest = at
		}
	}
	return lowest
}

// otherwise says what would have changed the outcome: each finding without which it would be another,
// and how far away the next threshold is.
func (r *Rules) otherwise(v *mail.Verdict, demanded *Demand) (all []string) {
	if demanded != nil {
		without, _ := r.thresholds.action(v.Score)
		all = append(all, fmt.Sprintf("by its %s points alone it would be %s", points(v.Score), done(without)))
	}
	for _, f := range v.Findings {
		if demanded != nil || f.Weight == 0 || len(all) == maxOtherwise {
			break
		}
		if other, _ := r.thresholds.action(round(v.Score - f.Weight)); other != v.Action {
			all = append(all, fmt.Sprintf("without %s (%s) it would be %s", f.Rule, signed(f.Weight), done(other)))
		}
	}
	if demanded == nil {
		all = append(all, r.distance(v)...)
	}
	return all
}

// distance says how many points are missing to the thresholds around a score.
func (r *Rules) distance(v *mail.Verdict) (all []string) {
	t := r.thresholds
	if _, at := t.action(v.Score); at > 0 {
		below, _ := t.action(at - 0.01)
		all = append(all, fmt.Sprintf("with %s points less it would be %s", points(round(v.Score-at+0.01)), done(below)))
	}
	if above := t.above(v.Score); above > 0 {
		next, _ := t.action(above)
		all = append(all, fmt.Sprintf("with %s points more it would be %s", points(round(above-v.Score)), done(next)))
	}
	return all
}

// Sentence tells of a verdict in one sentence.
func Sentence(v *mail.Verdict) string {
	at := points(v.Score) + " points"
	if strings.HasPrefix(v.Reason, at) {
		return fmt.Sprintf("the message is %s: %s", done(v.Action), v.Reason)
	}
	return fmt.Sprintf("the message is %s, at %s: %s", done(v.Action), at, v.Reason)
}

// done is the action in a sentence.
func done(a mail.Action) string {
	switch a {
	case mail.Tag:
		return "delivered with a tag"
	case mail.Junk:
		return "filed as junk"
	case mail.Quarantine:
		return "kept in quarantine"
	case mail.Greylist:
		return "put off"
	case mail.Reject:
		return "refused"
	}
	return "delivered"
}

func round(f float64) float64 { return math.Round(f*100) / 100 }

// points prints a number of points without needless zeros.
func points(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func signed(f float64) string {
	if f > 0 {
		return "+" + points(f)
	}
	return points(f)
}

// cut bounds what a stranger may have written into a trace.
func cut(s string) string {
	if len(s) <= maxEvidence {
		return s
	}
	return s[:maxEvidence] + "…"
}
