package table

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"posthaste/explain"
)

// maxKeyBytes bounds keys. No address or name of the mail system is that long.
const maxKeyBytes = 2048

// An opened is what [Set.Open] returns: any kind of table under the rules that all have in common.
type opened struct {
	name  string
	find  func(ctx context.Context, key string) (string, bool, error)
	check func(context.Context) error // nil: nothing can be wrong
	folds bool                        // keys to lower case
	whole bool
}

func (t *opened) wholeKeys() bool { return t.whole }

// String returns the specification of t, shortened, for logs and explanations.
func (t *opened) String() string { return t.name }

// Lookup implements [Table].
func (t *opened) Lookup(ctx context.Context, key string) (string, bool, error) {
	value, found, err := t.lookup(ctx, key)
	switch {
	case err != nil:
		err = fmt.Errorf("table %s: look up %q: %w", t.name, shortened(key), err)
		explain.Note(ctx, "table", "%v; the answer is temporary until it works again", err)
		return "", false, err
	case found:
		explain.Note(ctx, "table", "%s: %q → %q", t.name, key, value)
	default:
		explain.Note(ctx, "table", "%s: %q is not there", t.name, key)
	}
	return value, found, nil
}

func (t *opened) lookup(ctx context.Context, key string) (string, bool, error) {
	if len(key) > maxKeyBytes {
		return "", false, fmt.Errorf("the key has more than %d bytes", maxKeyBytes)
	}
	if key == "" {
		return "", false, nil
	}
	if t.folds {
		key = fold(key)
	}
	value, found, err := t.find(ctx, key)
	if err != nil || !found {
		return "", false, err
	}
	if value = strings.TrimSpace(value); strings.IndexFunc(value, isControl) >= 0 {
		return "", false, fmt.Errorf("the value %q holds a control character", shortened(value))
	}
	return value, value != "", nil
}

func always(c content) func(context.Context, string) (string, bool, error) {
	return func(_ context.Context, key string) (string, bool, error) {
		value, found := c.find(key)
		return value, found, nil
	}
}

func fold(key string) string { return strings.ToLower(key) }

// shortened returns s for a log or a person.
func shortened(s string) string {
	const longest = 100
	if len(s) <= longest {
		return s
	}
	end := longest
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
