package table

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// A Config says what a [Set] knows beside files.
type Config struct {
	Definitions []Definition
	Log         *slog.Logger // nil: none
}

// A Set opens tables. Each is opened once, however often it is named, and shared. A reload makes a new
// Set beside the old one and closes the old one when nobody uses its tables any more.
type Set struct {
	log     *slog.Logger
	defined map[string]*cache // by "type:name"

	mu     sync.Mutex // guards what follows
	opened map[string]*opened
}

// New returns a Set of c. It contacts no server. The error names everything that is wrong with the
// definitions.
func New(c Config) (*Set, error) {
	s := &Set{log: c.Log, defined: make(map[string]*cache), opened: make(map[string]*opened)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var wrong []error
	for _, d := range c.Definitions {
		spec := d.Type + ":" + d.Name
		server, err := d.open()
		switch {
		case err != nil:
			wrong = append(wrong, fmt.Errorf("table %s: %w", spec, err))
		case s.defined[spec] != nil:
			wrong = append(wrong, fmt.Errorf("table %s is defined twice", spec))
			server.Close()
		default:
			s.defined[spec] = newCache(server, d, s.log)
		}
	}
	if len(wrong) > 0 {
		return nil, errors.Join(append(wrong, s.Close())...)
	}
	return s, nil
}

// Open returns the table that spec, "type:name", names. Files are read at once, servers are asked when
// somebody looks up: see [Set.Check].
func (s *Set) Open(spec string) (Table, error) {
	t, err := s.open(strings.TrimSpace(spec))
	if err != nil { // not a nil *opened in an interface
		return nil, err
	}
	return t, nil
}

func (s *Set) open(spec string) (*opened, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.opened[spec]; t != nil {
		return t, nil
	}
	kind, name, _ := strings.Cut(spec, ":")
	t, err := s.openKind(spec, strings.ToLower(kind), name)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", shortened(spec), err)
	}
	t.name = shortened(spec)
	s.opened[spec] = t
	return t, nil
}

func (s *Set) openKind(spec, kind, name string) (*opened, error) {
	switch kind {
	case "inline":
		m, err := parseInlineMap(name)
		return &opened{find: always(m), folds: true}, err
	case "file":
		return s.openFile(name, maxFileBytes, &opened{folds: true}, func(name, text string) (content, error) { return parseTextMap(name, text) })
	case "cidr":
		return s.openFile(name, maxPatternBytes, &opened{whole: true}, func(name, text string) (content, error) { return parseCIDRMap(name, text) })
	case "regexp":
		return s.openFile(name, maxPatternBytes, &opened{whole: true}, func(name, text string) (content, error) { return parseRegexpMap(name, text) })
	case "sql", "ldap", "http":
		c := s.defined[spec]
		if c == nil {
			return nil, fmt.Errorf("no [[table]] section defines it: one with type = %q and name = %q is needed", kind, name)
		}
		return &opened{find: c.Lookup, check: c.check, folds: true}, nil
	}
	return nil, unknownKind(kind, name)
}

func unknownKind(kind, name string) error {
	switch kind {
	case "hash", "btree", "lmdb", "dbm", "cdb", "texthash":
		return fmt.Errorf("compiled tables are not read: write file:%s, which reads the text itself and needs no postmap", name)
	case "pcre":
		return fmt.Errorf("write regexp:%s: patterns have the syntax of RE2, which is that of PCRE without look-around and back-references", name)
	case "mysql", "pgsql", "sqlite":
		return fmt.Errorf("write a [[table]] section with type = \"sql\" and name it sql:NAME")
	}
	return errors.New("a table is type:name, where type is inline, file, cidr, regexp, sql, ldap or http")
}

func (s *Set) openFile(path string, maxBytes int64, t *opened, parse func(name, text string) (content, error)) (*opened, error) {
	if !filepath.IsAbs(path) {
		return nil, errors.New("a file is named by its full path, which begins with /")
	}
	f := &file{path: path, maxBytes: maxBytes, parse: parse, log: s.log}
	if err := f.open(); err != nil {
		return nil, err
	}
	t.find = func(_ context.Context, key string) (string, bool, error) { return f.find(key) }
	t.check = func(context.Context) error { return f.problem() }
	return t, nil
}

// Check asks every table that is defined or was opened and returns all errors, for `config check`.
func (s *Set) Check(ctx context.Context) error {
	s.mu.Lock()
	checks := make(map[string]func(context.Context) error)
	for spec, t := range s.opened {
		if t.check != nil {
			checks[spec] = t.check
		}
	}
	for spec, c := range s.defined {
		checks[spec] = c.check
	}
	s.mu.Unlock()
	wrong := make(map[string]error)
	var mu sync.Mutex // guards wrong
	var asked sync.WaitGroup
	for spec, check := range checks {
		asked.Go(func() {
			if err := check(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				wrong[spec] = fmt.Errorf("table %s: %w", shortened(spec), err)
			}
		})
	}
	asked.Wait()
	var all []error
	for _, spec := range slices.Sorted(maps.Keys(wrong)) {
		all = append(all, wrong[spec])
	}
	return errors.Join(all...)
}

// Close gives up connections and waits for queries under way, which it cuts short. Lookups after it fail.
func (s *Set) Close() error {
	var all []error
	for _, c := range s.defined {
		all = append(all, c.Close())
	}
	return errors.Join(all...)
}
