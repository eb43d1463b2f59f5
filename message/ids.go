package message

import "strings"

// maxIDs bounds how many msg-ids one field is read for.
const maxIDs = 1000

// ParseMessageIDs reads a list of msg-ids (RFC 5322 section 3.6.4) and returns them without their
// angle brackets. Other words between them, which old In-Reply-To fields have, are left out; where
// no bracket is at all, every word is an id.
func ParseMessageIDs(s string) []string {
	if !strings.Contains(s, "<") {
		return bareIDs(s)
	}
	var ids []string
	for len(ids) < maxIDs {
		_, rest, ok := strings.Cut(s, "<")
		if !ok {
			break
		}
		end := strings.IndexAny(rest, "<>")
		if end < 0 {
			end = len(rest)
		}
		if id := strings.TrimSpace(rest[:end]); id != "" {
			ids = append(ids, id)
		}
		s = rest[end:]
	}
	return ids
}

func bareIDs(s string) []string {
	ids := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' || r == '>' })
	if len(ids) == 0 {
		return nil
	}
	return ids[:min(len(ids), maxIDs)]
}
