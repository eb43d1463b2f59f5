package hook

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"posthaste/filter"
	"posthaste/mail"
	"posthaste/message"
	"posthaste/smtp"
)

// errReply is the cause of errors about replies that do not follow docs/hooks.md.
var errReply = errors.New("hook: the reply is wrong")

// parse reads a reply. Unknown keys are left for later versions; an unknown action is an error.
func parse(text []byte) (Reply, error) {
	var r Reply
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("%w: %w", errReply, err)
	}
	switch {
	case len(r.Findings) > maxFindings:
		return r, fmt.Errorf("%w: more than %d findings", errReply, maxFindings)
	case len(r.Add)+len(r.Remove) > maxFields:
		return r, fmt.Errorf("%w: more than %d changes of the header", errReply, maxFields)
	}
	return r, nil
}

// result makes of a reply about a message with header h what the engine called name says.
func (r Reply) result(name string, h message.Header) (filter.Result, error) {
	out := filter.Result{Action: r.Action, Discard: r.Discard, Reason: bounded(r.Reason)}
	whole := mail.Finding{Rule: "HOOK", Weight: r.Score, Evidence: name + ": " + out.Reason, Meaning: "What a program of this site says of the message."}
	if out.Reason == "" {
		whole.Evidence = name + ": " + r.Action.String()
	}
	if r.Score != 0 || r.Action != mail.Accept || r.Discard {
		out.Findings = append(out.Findings, whole)
	}
	for _, f := range r.Findings {
		if f.Rule = ruleName(f.Rule); f.Rule == "" {
			return filter.Result{}, fmt.Errorf("%w: a finding without rule", errReply)
		}
		f.Evidence, f.Meaning = bounded(f.Evidence), bounded(f.Meaning)
		out.Findings = append(out.Findings, f)
	}
	for _, f := range out.Findings {
		if !(f.Weight >= -maxScore && f.Weight <= maxScore) {
			return filter.Result{}, fmt.Errorf("%w: %v points, want at most %d up or down", errReply, f.Weight, maxScore)
		}
	}
	if r.Action != mail.Accept && out.Reason == "" {
		out.Reason = name + " asks for " + r.Action.String()
	}
	var err error
	if out.Edits.Fields, err = r.fields(h); err != nil {
		return filter.Result{}, err
	}
	out.Reply, err = r.status()
	return out, err
}

// status reads the words for the client, which must fit the action.
func (r Reply) status() (*mail.Status, error) {
	if r.Reply == "" {
		return nil, nil
	}
	code, rest, _ := strings.Cut(bounded(r.Reply), " ")
	class := map[mail.Action]byte{mail.Reject: '5', mail.Greylist: '4'}[r.Action]
	if len(code) != 3 || code[0] != class || code[1] < '0' || code[1] > '9' || code[2] < '0' || code[2] > '9' {
		return nil, fmt.Errorf("%w: the words for the client, %.60q, do not go with %s: want \"550 5.7.1 text\" with reject, \"451 4.7.1 text\" with greylist", errReply, r.Reply, r.Action)
	}
	s := &mail.Status{Code: int(code[0]-'0')*100 + int(code[1]-'0')*10 + int(code[2]-'0'), Enhanced: string(code[0]) + ".7.1", Text: rest}
	if word, rest, _ := strings.Cut(rest, " "); smtp.IsEnhanced(word) && word[0] == class {
		s.Enhanced, s.Text = word, rest
	}
	if s.Text == "" {
		s.Text = "refused by a filter"
	}
	return s, nil
}

// fields returns the changes of the header, removals first.
func (r Reply) fields(h message.Header) ([]filter.FieldEdit, error) {
	var all []filter.FieldEdit
	for _, name := range r.Remove {
		if !isFieldName(name) {
			return nil, fmt.Errorf("%w: %.60q is no name of a header field", errReply, name)
		}
		for _, f := range h.Fields() {
			if f.Is(name) && len(all) < maxFields { // each edit takes the first that is left
				all = append(all, filter.FieldEdit{Op: filter.ChangeField, At: 1, Name: name})
			}
		}
	}
	for _, f := range r.Add {
		if !isFieldName(f.Name) || len(f.Value) > maxValue || strings.ContainsRune(f.Value, 0) {
			return nil, fmt.Errorf("%w: the header field %.60q cannot be added", errReply, f.Name)
		}
		all = append(all, filter.FieldEdit{Op: filter.AddField, Name: f.Name, Value: f.Value})
	}
	return all, nil
}

// isFieldName tells whether name is printable ASCII without colon (RFC 5322 section 3.6.8).
func isFieldName(name string) bool {
	return name != "" && len(name) <= maxText && strings.IndexFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7F || r == ':' }) < 0
}

// ruleName returns the name of a rule in capitals, with underscores for all that is no letter or digit.
func ruleName(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_':
			return r
		}
		return '_'
	}, name[:min(len(name), 64)])
}

// bounded returns s as one line of at most maxText bytes.
func bounded(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return strings.ToValidUTF8(s[:min(len(s), maxText)], "")
}
