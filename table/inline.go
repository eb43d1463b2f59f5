package table

import (
	"errors"
	"fmt"
	"strings"
)

// An inlineMap holds what a specification says itself: {key=value, key=value}. An entry that holds a
// comma stands in braces of its own, in which blanks around key and value do not count.
type inlineMap map[string]string

// maxInlineBytes bounds an inline table; a longer one belongs into a file.
const maxInlineBytes = 64 << 10

func parseInlineMap(text string) (inlineMap, error) {
	text = strings.TrimSpace(text)
	if len(text) > maxInlineBytes {
		return nil, fmt.Errorf("is longer than %d bytes: use a file", maxInlineBytes)
	}
	if len(text) < 2 || text[0] != '{' || text[len(text)-1] != '}' {
		return nil, errors.New("is not in braces: write inline:{key=value, key=value}")
	}
	m := make(inlineMap)
	for rest := strings.TrimSpace(text[1 : len(text)-1]); rest != ""; {
		entry, braced, after, err := cutEntry(rest)
		if err != nil {
			return nil, err
		}
		if err := m.add(entry, braced); err != nil {
			return nil, err
		}
		rest = after
	}
	return m, nil
}

// cutEntry returns the first entry of text without its braces, and what follows its comma.
func cutEntry(text string) (entry string, braced bool, rest string, err error) {
	if text[0] != '{' {
		entry, rest, _ = strings.Cut(text, ",")
		return strings.TrimSpace(entry), false, strings.TrimSpace(rest), nil
	}
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case '{':
			depth++
		case '}':
			depth--
		}
		if depth > 0 {
			continue
		}
		rest = strings.TrimSpace(text[i+1:])
		if rest != "" && rest[0] != ',' {
			return "", false, "", fmt.Errorf("has %q after a brace where a comma belongs", rest)
		}
		return strings.TrimSpace(text[1:i]), true, strings.TrimSpace(strings.TrimPrefix(rest, ",")), nil
	}
	return "", false, "", errors.New("has a brace that nothing closes")
}

func (m inlineMap) add(entry string, braced bool) error {
	key, value, ok := strings.Cut(entry, "=")
	key, value = fold(strings.TrimSpace(key)), strings.TrimSpace(value)
	switch {
	case !ok:
		return fmt.Errorf("has the entry %q, which is not key=value", entry)
	case key == "" || value == "":
		return fmt.Errorf("has the entry %q without key or value", entry)
	case strings.IndexFunc(entry, isControl) >= 0:
		return fmt.Errorf("has a control character in the entry %q", entry)
	case !braced && strings.ContainsAny(value, " \t") && strings.Contains(value, "="):
		return fmt.Errorf("has the entry %q, which may be two: put commas between entries, and braces around an entry with blanks and \"=\"", entry)
	}
	if _, twice := m[key]; twice {
		return fmt.Errorf("has the key %q twice", key)
	}
	m[key] = value
	return nil
}

func (m inlineMap) find(key string) (string, bool) {
	value, found := m[key]
	return value, found
}
