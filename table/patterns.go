package table

import (
	"errors"
	"strings"
)

// A step is a line of a list of patterns: a pattern with its result, or the head of a block of lines
// that count only where its pattern holds.
type step[P any] struct {
	pattern P
	result  string
	end     int // of a head: the index of the first step after its block; else 0
}

// maxNesting bounds the depth of blocks.
const maxNesting = 16

// walk returns the first step that holds, or nil.
func walk[P any](steps []step[P], holds func(P) bool) *step[P] {
	for i := 0; i < len(steps); i++ {
		s := &steps[i]
		switch ok := holds(s.pattern); {
		case s.end == 0 && ok:
			return s
		case s.end != 0 && !ok:
			i = s.end - 1
		}
	}
	return nil
}

// parseSteps reads a file of patterns. Parse reads the pattern that text begins with, a "!" before it
// included, and returns what follows; check looks at a pattern with its result.
func parseSteps[P any](name, text string, parse func(text string) (P, string, error), check func(P, string) error) ([]step[P], error) {
	var steps []step[P]
	var open []int // heads of blocks that have not ended
	wrong := problems{name: name}
	for l := range logicalLines(text) {
		s, kind, err := parseStep(l, parse, check)
		switch {
		case err != nil:
			wrong.add(l.number, err)
		case kind == "endif" && len(open) == 0:
			wrong.add(l.number, errors.New(`is an "endif" without "if"`))
		case kind == "endif":
			steps[open[len(open)-1]].end = len(steps)
			open = open[:len(open)-1]
		case kind == "if" && len(open) == maxNesting:
			wrong.add(l.number, errors.New("nests too deep"))
		default:
			if kind == "if" {
				open = append(open, len(steps))
			}
			steps = append(steps, s)
		}
	}
	if len(open) > 0 && len(wrong.found) == 0 {
		return nil, errors.New(name + `: an "if" has no "endif"`)
	}
	return steps, wrong.err()
}

// parseStep reads one line. Kind is "if", "endif" or empty.
func parseStep[P any](l line, parse func(string) (P, string, error), check func(P, string) error) (s step[P], kind string, err error) {
	if err := l.check(); err != nil {
		return s, "", err
	}
	word, rest, _ := strings.Cut(l.text, " ")
	switch strings.ToLower(strings.TrimSpace(word)) {
	case "endif":
		return s, "endif", nil
	case "if":
		kind = "if"
	default:
		rest = l.text
	}
	if s.pattern, rest, err = parse(strings.TrimLeft(rest, " \t")); err != nil {
		return s, "", err
	}
	s.result = strings.TrimSpace(rest)
	switch {
	case kind == "if" && s.result != "":
		err = errors.New(`has text after its "if" and pattern`)
	case kind == "" && s.result == "":
		err = errors.New("has no value after its pattern")
	case kind == "":
		err = check(s.pattern, s.result)
	}
	return s, kind, err
}
