package table

import (
	"errors"
	"fmt"
	"iter"
	"strings"
)

// A line is a logical line of a table file: one that begins at its margin, with the indented lines
// after it appended. Blank lines and those whose first visible character is "#" do not count, not even
// within a logical line (postmap(1), TABLE FORMAT).
type line struct {
	number int // of its first line in the file, from 1
	text   string
}

// logicalLines yields the logical lines of text. A continuation without a line before it comes as a
// line that begins with a blank.
func logicalLines(text string) iter.Seq[line] {
	return func(yield func(line) bool) {
		var current line
		number := 0
		for physical := range strings.SplitSeq(text, "\n") {
			number++
			physical = strings.TrimRight(physical, " \t\r")
			switch visible := strings.TrimLeft(physical, " \t"); {
			case visible == "" || visible[0] == '#':
			case len(visible) < len(physical) && current.number > 0:
				current.text += physical
			default:
				if current.number > 0 && !yield(current) {
					return
				}
				current = line{number, physical}
			}
		}
		if current.number > 0 {
			yield(current)
		}
	}
}

// check refuses what no logical line may be.
func (l line) check() error {
	switch {
	case isBlank(l.text[0]):
		return errors.New("is indented, but there is no line before it to go on with")
	case strings.IndexFunc(l.text, isControl) >= 0:
		return errors.New("holds a control character")
	}
	return nil
}

// split divides a logical line at its first blank outside of double quotes, where a backslash takes
// the meaning off the character after it.
func (l line) split() (key, value string, err error) {
	quoted := false
	for i := 0; i < len(l.text); i++ {
		switch c := l.text[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case isBlank(c) && !quoted:
			return l.text[:i], strings.TrimLeft(l.text[i:], " \t"), nil
		}
	}
	if quoted {
		return "", "", errors.New(`has a double quote (") without the one that ends it`)
	}
	return "", "", errors.New("has no value: a line is a key, a blank, and a value")
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// isControl tells whether r could break a line of a protocol or a log. A tab cannot.
func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// maxProblems bounds how many problems of one file are told.
const maxProblems = 20

// problems gathers what is wrong with a file.
type problems struct {
	name  string
	found []error
	more  int
}

func (p *problems) add(number int, err error) {
	if len(p.found) == maxProblems {
		p.more++
		return
	}
	p.found = append(p.found, fmt.Errorf("%s: line %d %w", p.name, number, err))
}

func (p *problems) err() error {
	if p.more > 0 {
		return errors.Join(append(p.found, fmt.Errorf("%s: and %d more lines", p.name, p.more))...)
	}
	return errors.Join(p.found...)
}
