package filter

import (
	"bytes"
	"slices"
	"strings"

	"posthaste/mail"
	"posthaste/message"
)

// Edits are changes that an engine wants in a message. The zero Edits changes nothing.
type Edits struct {
	From   *mail.ReversePath // in the place of the reverse-path; nil: it stays
	Add    []mail.Address    // more recipients
	Remove []mail.Address    // recipients who shall not have it
	Fields []FieldEdit       // of the header, in order
	Body   []byte            // in the place of the body; nil: it stays
}

// Empty tells whether e changes nothing.
func (e *Edits) Empty() bool {
	return e.From == nil && len(e.Add) == 0 && len(e.Remove) == 0 && len(e.Fields) == 0 && e.Body == nil
}

// A FieldEdit is one change of the header. At says where: 0 is at the end for a new field; for Insert it
// is the place counted from the top; for Change the how-manieth field of that name from 1, as milters
// count.
type FieldEdit struct {
	Op    FieldOp
	At    int
	Name  string
	Value string // unfolded or folded with CRLF; Change to the empty value deletes
}

// A FieldOp is a kind of FieldEdit.
type FieldOp uint8

// The kinds.
const (
	AddField    FieldOp = iota // at the end
	InsertField                // before the field now at place At, 0 being the first
	ChangeField                // the At-th field of that name; an empty Value deletes it
)

// maxFieldEdits bounds what one engine may change.
const maxFieldEdits = 1000

// Apply returns content with header and body changed. It returns content itself when nothing is.
func (e *Edits) Apply(content []byte) []byte {
	if len(e.Fields) == 0 && e.Body == nil {
		return content
	}
	h := message.ParseHeader(content)
	fields := make([][]byte, 0, len(h.Fields())+len(e.Fields))
	names := make([]string, 0, cap(fields))
	for _, f := range h.Fields() {
		fields, names = append(fields, f.Raw()), append(names, string(f.Name()))
	}
	for _, edit := range e.Fields[:min(len(e.Fields), maxFieldEdits)] {
		fields, names = edit.apply(fields, names)
	}
	body := content[len(h.Raw()):]
	if e.Body != nil {
		body = e.Body
	}
	return slices.Concat(bytes.Join(fields, nil), []byte("\r\n"), body)
}

// apply changes one field.
func (e FieldEdit) apply(fields [][]byte, names []string) ([][]byte, []string) {
	line := e.line()
	switch e.Op {
	case AddField:
		return append(fields, line), append(names, e.Name)
	case InsertField:
		at := min(max(e.At, 0), len(fields))
		return slices.Insert(fields, at, line), slices.Insert(names, at, e.Name)
	}
	count := 0
	for i, name := range names {
		if !strings.EqualFold(name, e.Name) {
			continue
		}
		if count++; count != max(e.At, 1) {
			continue
		}
		if e.Value == "" {
			return slices.Delete(fields, i, i+1), slices.Delete(names, i, i+1)
		}
		fields[i] = line
		return fields, names
	}
	if e.Value == "" {
		return fields, names
	}
	return append(fields, line), append(names, e.Name)
}

// line returns the field as it stands in a header. Bare line ends become folds, so that a value cannot
// make a second field.
func (e FieldEdit) line() []byte {
	value := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.TrimRight(e.Value, "\r\n"))
	lines := strings.Split(value, "\n")
	for i := 1; i < len(lines); i++ {
		if lines[i] == "" || lines[i][0] != ' ' && lines[i][0] != '\t' {
			lines[i] = "\t" + lines[i]
		}
	}
	return []byte(e.Name + ": " + strings.TrimLeft(strings.Join(lines, "\r\n"), " ") + "\r\n")
}
