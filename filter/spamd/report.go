package spamd

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"posthaste/filter"
	"posthaste/mail"
)

// result makes of an answer what the engine says.
func (c *Client) result(a answer) (filter.Result, error) {
	if !a.judged {
		return filter.Result{}, fmt.Errorf("spamd: %w: there is no verdict", errAnswer)
	}
	whole := mail.Finding{Rule: "SPAMD", Meaning: "What SpamAssassin says of the message as a whole.",
		Evidence: fmt.Sprintf("%.1f of %.1f points", a.score, a.required)}
	r := filter.Result{Findings: []mail.Finding{whole}}
	rest := a.score
	for _, rule := range rules(a.body) {
		f := mail.Finding{Rule: "SA_" + rule.name, Meaning: rule.description}
		if c.cfg.Follow {
			f.Evidence = fmt.Sprintf("%.1f points", rule.points)
		} else {
			f.Weight = rule.points * c.cfg.Scale
		}
		rest -= rule.points
		r.Findings = append(r.Findings, f)
	}
	const rounding = 0.05 // the report has one digit
	if !c.cfg.Follow && math.Abs(rest) > rounding {
		r.Findings[0].Weight = rest * c.cfg.Scale
	}
	if c.cfg.Follow && a.spam {
		r.Action, r.Reason = mail.Junk, fmt.Sprintf("%s calls it spam: %s", c.Name(), whole.Evidence)
	}
	return r, nil
}

// A rule is one line of a report.
type rule struct {
	points      float64
	name        string
	description string
}

// rules reads the table of a report, which begins below a line of hyphens:
//
//	 pts rule name              description
//	---- ---------------------- --------------------------------------------------
//	 2.7 MISSING_DATE           Missing Date: header
//	-0.0 NO_RELAYS              Informational: message was not relayed via
//	                            SMTP
func rules(report string) []rule {
	var all []rule
	inTable := false
	for line := range strings.Lines(report) {
		line = strings.TrimRight(line, "\r\n")
		if !inTable {
			inTable = strings.HasPrefix(strings.TrimSpace(line), "---- ----")
			continue
		}
		if r, ok := parseRule(line); ok {
			if len(all) == maxRules {
				return all
			}
			all = append(all, r)
			continue
		}
		more := clean(strings.TrimSpace(line))
		if more == "" || len(all) == 0 || !strings.HasPrefix(line, "    ") {
			continue
		}
		if last := &all[len(all)-1]; len(last.description)+len(more) < maxDescription {
			last.description = strings.TrimSpace(last.description + " " + more)
		}
	}
	return all
}

// maxDescription bounds what is kept of a rule's description, in bytes.
const maxDescription = 500

// parseRule reads a line that begins a rule.
func parseRule(line string) (rule, bool) {
	first, rest, _ := strings.Cut(strings.TrimLeft(line, " *"), " ")
	name, description, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	f, err := strconv.ParseFloat(first, 64)
	if err != nil || !finite(f) || !isRule(name) {
		return rule{}, false
	}
	description = clean(strings.TrimSpace(description))
	return rule{f, name, strings.ToValidUTF8(description[:min(len(description), maxDescription)], "")}, true
}

// isRule tells whether name is one of SpamAssassin's: capitals, digits and underscores, at most 64.
func isRule(name string) bool {
	return name != "" && len(name) <= 64 && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == "" && (name[0] > '9' || name[0] == '_')
}

// clean returns s as text: what is no UTF-8 or no character is a question mark.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
