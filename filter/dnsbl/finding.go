package dnsbl

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"posthaste/mail"
)

// maxEvidence bounds how many entries of one list are told.
const maxEvidence = 10

// Findings returns what a report counts: one finding for each list that has an entry, DNSBL_NAME or
// DNSWL_NAME, with the weight of its strongest entry however many there are, and one without weight,
// DNSBL_SILENT, where lists could not be asked.
func (r Report) Findings() []mail.Finding {
	var all []mail.Finding
	var names []string
	for _, h := range r.Hits {
		if !slices.Contains(names, h.List) {
			names = append(names, h.List)
			all = append(all, r.finding(h.List))
		}
	}
	var silent []string
	for _, f := range r.Failed {
		if !slices.Contains(silent, f.List) {
			silent = append(silent, f.List)
		}
	}
	if silent != nil {
		all = append(all, mail.Finding{Rule: "DNSBL_SILENT", Evidence: strings.Join(silent, ", "),
			Meaning: "A list could not be asked. That is no evidence for or against the message."})
	}
	return all
}

// finding makes one of all entries of a list.
func (r Report) finding(list string) mail.Finding {
	var f mail.Finding
	var told []string
	for _, h := range r.Hits {
		if h.List != list {
			continue
		}
		if f.Rule == "" || math.Abs(h.Weight) > math.Abs(f.Weight) {
			f.Rule, f.Weight, f.Meaning = RuleName(h.List, h.Allow), h.Weight, h.Meaning
		}
		if len(told) < maxEvidence {
			told = append(told, fmt.Sprintf("%s %s is %s", h.Role, h.Asked, h.Code))
		}
	}
	f.Evidence = strings.Join(told, ", ")
	return f
}

// RuleName returns the name of the rule of a list: "DNSBL_ZEN".
func RuleName(list string, allow bool) string {
	prefix := "DNSBL_"
	if allow {
		prefix = "DNSWL_"
	}
	return prefix + strings.ToUpper(strings.ReplaceAll(list, "-", "_"))
}
