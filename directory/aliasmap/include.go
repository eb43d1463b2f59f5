package aliasmap

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"posthaste/aliases"
)

// Includes returns the paths of the files that f includes, and that these include, in their order. The
// error names those that cannot be used.
func (f *File) Includes() ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.refresh(); err != nil {
		return nil, err
	}
	w := inclusion{file: f, seen: map[string]bool{}}
	byLine := func(a, b aliases.Entry) int { return cmp.Compare(a.Line, b.Line) }
	for _, e := range slices.SortedFunc(maps.Values(f.byName), byLine) {
		w.walk(fmt.Sprintf("%s line %d", f.path, e.Line), e.Targets, 0)
	}
	return w.paths, errors.Join(w.wrong...)
}

// An inclusion follows what an alias file includes.
type inclusion struct {
	file  *File
	seen  map[string]bool
	paths []string
	wrong []error
}

// walk looks at targets that stand in from.
func (w *inclusion) walk(from string, targets []aliases.Target, depth int) {
	for _, t := range targets {
		if t.Kind != aliases.Include || w.seen[t.Text] || depth == maxDepth || len(w.paths) == maxIncludes {
			continue
		}
		w.seen[t.Text] = true
		w.paths = append(w.paths, t.Text)
		list, err := w.file.include(t.Text)
		if err != nil {
			w.wrong = append(w.wrong, fmt.Errorf("%s: %w", from, err))
			continue
		}
		w.walk(t.Text, list.targets, depth+1)
	}
}
