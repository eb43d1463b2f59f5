package table

import (
	"context"
	"errors"
	"log/slog"
)

// A Config says what a [Set] knows beside files.
type Config struct {
	Definitions []Definition
	Log         *slog.Logger // nil: none
}

// A Set opens tables. Each is opened once, however often it is named, and shared. A reload makes a new
// Set beside the old one and closes the old one when nobody uses its tables any more.
type Set struct{}

// New returns a Set of c. It contacts no server. The error names everything that is wrong with the
// definitions.
func New(c Config) (*Set, error) { return &Set{}, nil }

// Open returns the table that spec, "type:name", names. Files are read at once, servers are asked when
// somebody looks up: see [Set.Check].
func (s *Set) Open(spec string) (Table, error) { return nil, errors.ErrUnsupported }

// Check asks every table that is defined or was opened and returns all errors, for `config check`.
func (s *Set) Check(ctx context.Context) error { return nil }

// Close gives up connections. Lookups under way fail.
func (s *Set) Close() error { return nil }
