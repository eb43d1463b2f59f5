package table

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A regexpMap is a list of patterns as regexp_table(5) has it, in the syntax of RE2: the first line
// that the key matches gives the value, in which $1, ${1} and $(1) are what the groups matched and $$
// is a dollar. Case does not matter unless the flag i says that it does.
type regexpMap struct{ steps []step[pattern] }

// A pattern is a condition: to match, or not.
type pattern struct {
	re  *regexp.Regexp
	not bool
}

func parseRegexpMap(name, text string) (*regexpMap, error) {
	steps, err := parseSteps(name, text, parsePattern, func(p pattern, result string) error {
		_, err := p.expand(result, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &regexpMap{steps}, nil
}

func (m *regexpMap) find(key string) (string, bool) {
	s := walk(m.steps, func(p pattern) bool { return p.re.MatchString(key) != p.not })
	if s == nil {
		return "", false
	}
	var groups []string
	if !s.pattern.not {
		groups = s.pattern.re.FindStringSubmatch(key)
	}
	value, _ := s.pattern.expand(s.result, groups) // it was checked when it was read
	return value, value != ""
}

// parsePattern reads [!]/pattern/flags from the start of text. Any character that is no letter, digit,
// blank or backslash may stand for the slash.
func parsePattern(text string) (p pattern, rest string, err error) {
	if after, ok := strings.CutPrefix(text, "!"); ok {
		p.not, text = true, strings.TrimLeft(after, " \t")
	}
	if text == "" || isWordOrBackslash(text[0]) || isBlank(text[0]) || text[0] >= 0x80 {
		return p, "", errors.New("does not begin with a pattern: write /pattern/ value")
	}
	end := closing(text)
	if end < 0 {
		return p, "", fmt.Errorf("has a pattern without the %q that ends it", text[:1])
	}
	source, rest := text[1:end], text[end+1:]
	flags := rest[:len(rest)-len(strings.TrimLeft(rest, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))]
	rest = rest[len(flags):]
	if rest != "" && !isBlank(rest[0]) {
		return p, "", errors.New("has no blank between its pattern and its value")
	}
	prefix, err := goFlags(flags)
	if err != nil {
		return p, "", err
	}
	if p.re, err = regexp.Compile(prefix + source); err != nil {
		return p, "", fmt.Errorf("has a pattern that is not in the syntax of RE2: %w", err)
	}
	return p, rest, nil
}

// closing returns where the delimiter that text begins with comes again, not counting escaped ones.
func closing(text string) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case text[0]:
			return i
		}
	}
	return -1
}

func isWordOrBackslash(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '\\'
}

// goFlags turns the flags of regexp_table(5) and pcre_table(5) into those of RE2. Each toggles: i
// (case does not matter) is on, m (^ and $ match at lines) and s (dot matches a newline) are off. x
// toggles POSIX's extended syntax, which RE2 always has.
func goFlags(flags string) (string, error) {
	on := map[rune]bool{'i': true}
	for _, f := range flags {
		if !strings.ContainsRune("imsx", f) {
			return "", fmt.Errorf("has the flag %q after its pattern: known are i, m, s and x", f)
		}
		on[f] = !on[f]
	}
	set := ""
	for _, f := range "ims" {
		if on[f] {
			set += string(f)
		}
	}
	if set == "" {
		return "", nil
	}
	return "(?" + set + ")", nil
}

// reference is a dollar in a result with what it refers to.
var reference = regexp.MustCompile(`\$(?:\$|([0-9]+)|\{([0-9]+)\}|\(([0-9]+)\)|)`)

// expand puts groups, the first being the whole match, in place of their references.
func (p pattern) expand(result string, groups []string) (string, error) {
	var err error
	value := reference.ReplaceAllStringFunc(result, func(ref string) string {
		if ref == "$$" {
			return "$"
		}
		n, wrong := strconv.Atoi(strings.Trim(ref, "${}()"))
		switch {
		case wrong != nil:
			err = errors.New("has a \"$\" without a number after it: write $$ for a dollar")
		case p.not:
			err = fmt.Errorf("has %s in its value, but a pattern with \"!\" matches nothing to put there", ref)
		case n == 0 || n > p.re.NumSubexp():
			err = fmt.Errorf("has %s in its value, but its pattern has %d groups", ref, p.re.NumSubexp())
		case n < len(groups):
			return groups[n]
		}
		return ""
	})
	return value, err
}
