package spam

import (
	"fmt"
	"strings"

	"posthaste/mail"
)

// VerdictField is the name of the field that tells of a verdict. Those that a message brings along are
// removed: they are not ours.
const VerdictField = "X-Posthaste-Verdict"

// FlagField is the customary field that programs look for.
const FlagField = "X-Spam-Flag"

// maxShown bounds the findings of a field; the trace has them all.
const maxShown = 25

// Fields returns the header fields that tell of v, each line ending in CRLF.
func Fields(v *mail.Verdict, thresholds Thresholds) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s; score=%s", VerdictField, v.Action, points(v.Score))
	before := " ("
	for _, t := range []struct {
		name string
		at   float64
	}{{"tag", thresholds.Tag}, {"junk", thresholds.Junk}, {"quarantine", thresholds.Quarantine}, {"greylist", thresholds.Greylist}, {"reject", thresholds.Reject}} {
		if t.at > 0 {
			fmt.Fprintf(&b, "%s%s from %s", before, t.name, points(t.at))
			before = ", "
		}
	}
	if before == ", " {
		b.WriteByte(')')
	}
	fmt.Fprintf(&b, ";\r\n\treason=%s", quoted(v.Reason))
	for i, f := range v.Findings {
		if i == maxShown {
			fmt.Fprintf(&b, ";\r\n\tand %d more", len(v.Findings)-maxShown)
			break
		}
		fmt.Fprintf(&b, ";\r\n\t%s=%s", word(f.Rule), points(f.Weight))
		if f.Evidence != "" {
			b.WriteString(" " + quoted(f.Evidence))
		}
	}
	for _, s := range v.Otherwise {
		b.WriteString(";\r\n\totherwise=" + quoted(s))
	}
	b.WriteString("\r\n")
	if v.Action >= mail.Tag {
		b.WriteString(FlagField + ": YES\r\n")
	}
	return []byte(b.String())
}

// maxQuoted bounds a text in a field, so that no line passes 998 bytes (RFC 5322 section 2.1.1).
const maxQuoted = 200

// quoted returns s as a quoted string of printable ASCII: what strangers write must not end the field.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case b.Len() >= maxQuoted:
			return b.String() + "...\""
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c >= ' ' && c < 0x7f:
			b.WriteRune(c)
		default:
			b.WriteByte('?')
		}
	}
	b.WriteByte('"')
	return b.String()
}

// word returns the name of a rule in letters that a field may hold.
func word(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_', c == '-', c == '.':
			return c
		}
		return '_'
	}, s[:min(len(s), 80)])
}
