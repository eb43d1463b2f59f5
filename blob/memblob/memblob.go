// Package memblob is a [blob.Store] in memory, for tests and simulations.
package memblob

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"posthaste/blob"
)

// A Store keeps blobs in memory. A blob that Put has returned for counts as durable.
type Store struct {
	mu    sync.Mutex // guards blobs; their bytes never change
	blobs map[blob.Name][]byte
}

var _ blob.Store = (*Store)(nil)

// New returns an empty store.
func New() *Store { return &Store{blobs: make(map[blob.Name][]byte)} }

// Put implements [blob.Store].
func (s *Store) Put(ctx context.Context, name blob.Name, r io.Reader, size int64) error {
	if !name.Valid() {
		return fmt.Errorf("%w: %q", blob.ErrName, name)
	}
	content, err := io.ReadAll(io.LimitReader(r, size+1))
	if err != nil {
		return fmt.Errorf("memblob: put %s: %w", name, err)
	}
	if int64(len(content)) != size {
		return fmt.Errorf("memblob: put %s: %w", name, blob.ErrSize)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[name] = content
	return nil
}

// Open implements [blob.Store].
func (s *Store) Open(ctx context.Context, name blob.Name) (blob.Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	content, ok := s.blobs[name]
	if !ok {
		return nil, fmt.Errorf("memblob: open %q: %w", name, blob.ErrNotFound)
	}
	return reader{bytes.NewReader(content)}, nil
}

// Delete implements [blob.Store].
func (s *Store) Delete(ctx context.Context, name blob.Name) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.blobs, name)
	return nil
}

// List implements [blob.Store].
func (s *Store) List(ctx context.Context, fn func(name blob.Name, size int64) error) error {
	s.mu.Lock()
	blobs := maps.Clone(s.blobs)
	s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(blobs)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(name, int64(len(blobs[name]))); err != nil {
			return err
		}
	}
	return nil
}

type reader struct{ *bytes.Reader }

func (reader) Close() error { return nil }
