package rspamd

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"posthaste/filter"
	"posthaste/mail"
	"posthaste/message"
)

// result makes of an answer about a message with header h what the engine says.
func (c *Client) result(a answer, h message.Header) filter.Result {
	r := filter.Result{Findings: c.findings(a), Edits: filter.Edits{Fields: a.Milter.fields(h)}}
	if !c.cfg.Follow {
		return r
	}
	words := clean(cmp.Or(a.Messages.SMTP, "refused by a filter"))
	switch strings.ReplaceAll(a.Action, "_", " ") {
	case "reject":
		r.Action, r.Reply = mail.Reject, mail.NewStatus(550, "5.7.1", "%s", words)
	case "greylist", "soft reject":
		words = clean(cmp.Or(a.Messages.SMTP, "try again later"))
		r.Action, r.Reply = mail.Greylist, mail.NewStatus(451, "4.7.1", "%s", words)
	case "add header":
		r.Action = mail.Junk
	case "rewrite subject":
		r.Action = mail.Tag
		if a.Subject != "" {
			r.Edits.Fields = append(r.Edits.Fields, filter.FieldEdit{Op: filter.ChangeField, At: 1, Name: "Subject", Value: a.Subject})
		}
	case "quarantine":
		r.Action = mail.Quarantine
	case "discard":
		r.Discard = true
	}
	if r.Action != mail.Accept || r.Discard {
		r.Reason = fmt.Sprintf("%s says %q at %s of %s points", c.Name(), clean(a.Action), points(*a.Score), points(a.Required))
	}
	return r
}

// findings returns one for each symbol, the weightiest first, and one that tells the whole. The weights
// sum to the score: what rspamd caps or adds in groups stands in the whole.
func (c *Client) findings(a answer) []mail.Finding {
	names := slices.SortedFunc(maps.Keys(a.Symbols), func(x, y string) int {
		return cmp.Or(cmp.Compare(math.Abs(a.Symbols[y].Score), math.Abs(a.Symbols[x].Score)), cmp.Compare(x, y))
	})
	whole := mail.Finding{Rule: "RSPAMD", Meaning: "What rspamd says of the message as a whole."}
	whole.Evidence = fmt.Sprintf("%s at %s of %s points", clean(a.Action), points(*a.Score), points(a.Required))
	if a.Skipped {
		whole.Evidence += ", skipped"
	}
	rest := *a.Score
	all := []mail.Finding{whole}
	for _, name := range names[:min(len(names), maxSymbols)] {
		all = append(all, c.finding(name, a.Symbols[name]))
		rest -= a.Symbols[name].Score
	}
	const rounding = 0.005 // a score is printed with two digits
	if !c.cfg.Follow && math.Abs(rest) > rounding {
		all[0].Weight = rest * c.cfg.Scale
	}
	return all
}

// edits are the changes that rspamd's modules want. Each value of AddHeaders is a text, an object with
// value and order, or a list of such.
type edits struct {
	Add    map[string]json.RawMessage `json:"add_headers"`
	Remove map[string]json.RawMessage `json:"remove_headers"`
}

// fields returns the changes, removals first, in the order of names, so that the same answer always
// makes the same message.
func (e edits) fields(h message.Header) []filter.FieldEdit {
	var all []filter.FieldEdit
	for _, name := range slices.Sorted(maps.Keys(e.Remove)) {
		for _, at := range places(e.Remove[name], count(h, name)) {
			all = append(all, filter.FieldEdit{Op: filter.ChangeField, At: at, Name: name})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.Add)) {
		for _, h := range headersOf(e.Add[name]) {
			edit := filter.FieldEdit{Op: filter.AddField, Name: name, Value: cmp.Or(h.Value, " ")}
			if h.Order != nil && *h.Order >= 0 {
				edit.Op, edit.At = filter.InsertField, *h.Order
			}
			all = append(all, edit)
		}
	}
	all = slices.DeleteFunc(all, func(f filter.FieldEdit) bool { return !isFieldName(f.Name) })
	return all[:min(len(all), maxFields)]
}

// A header is a field to add.
type header struct {
	Value string `json:"value"`
	Order *int   `json:"order"`
}

// headersOf reads a value of add_headers. What is of another kind adds nothing.
func headersOf(raw json.RawMessage) []header {
	var h header
	if json.Unmarshal(raw, &h.Value) == nil || json.Unmarshal(raw, &h) == nil {
		return []header{h}
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	var all []header
	for _, one := range list[:min(len(list), maxFields)] {
		if len(one) > 0 && one[0] != '[' {
			all = append(all, headersOf(one)...)
		}
	}
	return all
}

// places reads a value of remove_headers for a name that n fields have: a number counts them from 1, or
// from the last when it is negative, and 0 means all. The last come first, so that no place moves.
func places(raw json.RawMessage, n int) []int {
	var one int
	var list []int
	if json.Unmarshal(raw, &one) == nil {
		list = []int{one}
	} else if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	var all []int
	for at := min(n, maxFields); at > 0; at-- {
		if slices.Contains(list, at) || slices.Contains(list, at-n-1) || slices.Contains(list, 0) {
			all = append(all, at)
		}
	}
	return all
}

// count returns how many fields have a name.
func count(h message.Header, name string) int {
	n := 0
	for _, f := range h.Fields() {
		if f.Is(name) {
			n++
		}
	}
	return n
}

// isFieldName tells whether name is printable ASCII without colon (RFC 5322 section 3.6.8).
func isFieldName(name string) bool {
	return name != "" && strings.IndexFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7F || r == ':' }) < 0
}
