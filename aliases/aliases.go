// Package aliases reads what says in text where mail goes: the files of aliases(5), the .forward files
// of users, lists for ":include:", and the values of alias tables.
//
// [Parse] reads an alias file, [ParseTargets] what may stand at the right of a colon:
//
//	ann                      an address, without domain or with it, also as "Ann <ann@example.org>"
//	\ann                     ann's own mailbox, whatever is forwarded
//	"|command words"         a program that reads the message; also |"command words" and |command
//	/file                    an mbox file; with a slash at its end, a Maildir
//	/dev/null                nothing: the message is thrown away; also :blackhole:
//	:include:/file           the targets in a file
//	:fail: text              mail is refused with that text (up to the end of the line)
//	:defer: text             mail has to wait
//
// It is what sendmail, Postfix and Exim have in common, and what one of them has that harms no reader
// of the others. The package reads no files and follows no alias.
package aliases

import (
	"bytes"
	"fmt"
	"strings"

	"posthaste/mail"
)

// Bounds of what is read.
const (
	MaxFile    = 16 << 20 // bytes of an alias file
	MaxTargets = 10_000   // targets of one alias, or of one file of targets
	maxTarget  = 8 << 10  // bytes of one target
	maxShown   = 60       // bytes of wrong text in a problem
	maxTold    = 100      // problems that are told one by one
)

// A Kind says what a Target is.
type Kind uint8

// The kinds of a Target.
const (
	Address Kind = iota // to be looked up in turn
	Mailbox             // Address itself, without looking at what it forwards
	Program             // Text is a command
	File                // Text is a path; with "/" at its end a Maildir
	Include             // Text is the path of a file with more targets
	Fail                // Text is for the sender, maybe empty
	Defer               // so it is here
	Discard             // nothing
)

// A Target is one place that mail is sent to.
type Target struct {
	Kind    Kind
	Address mail.Address // of Address and Mailbox; without domain where the text has none
	Text    string
}

// An Entry is one alias.
type Entry struct {
	// Name is the local-part in lower case. It has a domain only where the file gives one.
	Name mail.Address
	// Targets are empty when they could not be read. Mail for Name must wait then.
	Targets []Target
	Line    int // where it begins, from 1
}

// A Problem is something in a text that could not be read.
type Problem struct {
	Line int // from 1
	Text string
}

// Problems are the error of the parsers: all that is wrong, by line.
type Problems []Problem

// Error tells of each problem on a line of its own.
func (p Problems) Error() string {
	var b strings.Builder
	for i, one := range p {
		if i == maxTold {
			fmt.Fprintf(&b, "\nand %d more", len(p)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "line %d: %s", one.Line, one.Text)
	}
	return b.String()
}

// Parse reads an alias file: "name: target, target", an alias that goes on in lines which begin with
// white space, and comments in lines of their own that begin with #. The error is Problems; the
// entries are those that could be read nevertheless. Of two for one name the first counts.
func Parse(text []byte) ([]Entry, error) {
	var p parser
	if len(text) > MaxFile {
		p.problem(1, "the file has %d bytes, %d are allowed", len(text), MaxFile)
		return nil, p.problems
	}
	seen := map[mail.Address]int{}
	var entries []Entry
	for line, logical := range logicalLines(text) {
		entry, ok := p.entry(line, logical)
		if !ok {
			continue
		}
		if first := seen[entry.Name]; first != 0 {
			p.problem(line, "%s stands on line %d already, which counts", entry.Name, first)
			continue
		}
		seen[entry.Name] = line
		entries = append(entries, entry)
	}
	return entries, p.err()
}

// ParseTargets reads targets with commas or line ends between them, as in a .forward file. Lines that
// begin with # are comments. The error is Problems; the targets are then not to be used.
func ParseTargets(text []byte) ([]Target, error) {
	var p parser
	var targets []Target
	if len(text) > MaxFile {
		p.problem(1, "the text has %d bytes, %d are allowed", len(text), MaxFile)
		return nil, p.problems
	}
	line := 0
	for physical := range bytes.Lines(text) {
		line++
		if trimmed := bytes.TrimSpace(physical); len(trimmed) > 0 && trimmed[0] != '#' {
			targets = p.targets(line, string(trimmed), targets)
		}
	}
	if len(p.problems) > 0 {
		return nil, p.problems
	}
	return targets, nil
}

// A parser gathers problems.
type parser struct{ problems Problems }

func (p *parser) problem(line int, format string, args ...any) {
	p.problems = append(p.problems, Problem{line, fmt.Sprintf(format, args...)})
}

func (p *parser) err() error {
	if len(p.problems) == 0 {
		return nil
	}
	return p.problems
}

// logicalLines yields each alias with the number of its first line, its lines joined.
func logicalLines(text []byte) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		var logical strings.Builder
		number, begin := 0, 0
		for physical := range bytes.Lines(text) {
			number++
			trimmed := bytes.TrimSpace(physical)
			if len(trimmed) == 0 || trimmed[0] == '#' {
				continue
			}
			if c := physical[0]; c != ' ' && c != '\t' || begin == 0 {
				if begin != 0 && !yield(begin, logical.String()) {
					return
				}
				begin = number
				logical.Reset()
			} else {
				logical.WriteByte(' ')
			}
			logical.Write(trimmed)
		}
		if begin != 0 {
			yield(begin, logical.String())
		}
	}
}

// entry reads one alias. ok is false when it has no name that could be read.
func (p *parser) entry(line int, text string) (e Entry, ok bool) {
	name, rest, err := cutName(text)
	if err != nil {
		p.problem(line, "%v", err)
		return Entry{}, false
	}
	before := len(p.problems)
	targets := p.targets(line, rest, nil)
	switch {
	case len(p.problems) > before:
		targets = nil
	case len(targets) == 0:
		p.problem(line, "%s leads nowhere: write its targets after the colon", name)
	}
	return Entry{Name: name, Targets: targets, Line: line}, true
}

// targets appends the targets in text to list.
func (p *parser) targets(line int, text string, list []Target) []Target {
	for rest := text; rest != ""; {
		var item string
		item, rest = cutItem(rest)
		if item == "" {
			continue
		}
		target, err := parseTarget(item)
		switch {
		case err != nil:
			p.problem(line, "%s: %v", shown(item), err)
		case len(list) == MaxTargets:
			p.problem(line, "more than %d targets", MaxTargets)
			return list
		default:
			list = append(list, target)
		}
	}
	return list
}

// shown returns text for a problem, not too long and in one line.
func shown(text string) string {
	if len(text) > maxShown {
		text = text[:maxShown] + "…"
	}
	return fmt.Sprintf("%q", text)
}
