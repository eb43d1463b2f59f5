// Package memkv is a [kv.Store] in memory, for tests and simulations.
//
// A commit counts as durable at once; [Store.Crash] plays the power cut: it hands over what was
// committed and cuts everybody else off. Each partition is a pair of copy-on-write trees, so that a
// View is a snapshot for the price of two pointers.
//
// Lock order: partition.writing, Store.mu, partition.mu.
package memkv

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"posthaste/kv"
)

// A Store keeps everything in memory.
type Store struct {
	lastBody atomic.Uint64

	mu         sync.Mutex // guards what follows
	partitions map[kv.Partition]*partition
	crashed    bool
	closed     bool
	running    sync.WaitGroup // calls that Close waits for
}

var _ kv.Store = (*Store)(nil)

// New returns an empty store.
func New() *Store {
	return &Store{partitions: make(map[kv.Partition]*partition)}
}

// Crash returns a new store that holds what was committed, as after a power cut and a restart. Calls
// that still run on s fail: an Update with kv.ErrUnknown, because its commit may be in or not.
func (s *Store) Crash() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	after := New()
	after.lastBody.Store(s.lastBody.Load())
	for name, p := range s.partitions {
		if state, written := p.snapshot(); written {
			after.partitions[name] = &partition{state: state, written: true}
		}
	}
	s.crashed = true
	return after
}

// Close implements [kv.Store].
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.running.Wait()
	return nil
}

// enter admits a call on partition name; leave ends it.
func (s *Store) enter(ctx context.Context, name kv.Partition) (*partition, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := name.Check(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.crashed {
		return nil, kv.ErrClosed
	}
	s.running.Add(1)
	p := s.partitions[name]
	if p == nil {
		p = &partition{state: emptyState()}
		s.partitions[name] = p
	}
	return p, nil
}

func (s *Store) leave() { s.running.Done() }

// View implements [kv.Store].
func (s *Store) View(ctx context.Context, name kv.Partition, fn func(kv.Reader) error) error {
	p, err := s.enter(ctx, name)
	if err != nil {
		return err
	}
	defer s.leave()
	state, _ := p.snapshot()
	if state.loading {
		return kv.ErrLoading
	}
	return fn(&reader{state})
}

// Update implements [kv.Store].
func (s *Store) Update(ctx context.Context, name kv.Partition, fn func(kv.Txn) error) (kv.Version, error) {
	p, err := s.enter(ctx, name)
	if err != nil {
		return 0, err
	}
	defer s.leave()
	p.writing.Lock()
	defer p.writing.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	state, _ := p.snapshot()
	if state.loading {
		return 0, kv.ErrLoading
	}
	tx := &txn{reader: reader{state}, before: state.version}
	if err := fn(tx); err != nil {
		return 0, err
	}
	if tx.err != nil {
		return 0, tx.err
	}
	if !tx.wrote {
		return state.version, nil
	}
	tx.state.version = tx.Next()
	if err := s.commit(p, tx.state); err != nil {
		return 0, err
	}
	if !tx.quiet {
		p.wake(tx.state.version)
	}
	return tx.state.version, nil
}

// commit makes state that of p, unless the store has crashed.
func (s *Store) commit(p *partition, state state) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.crashed {
		return kv.ErrUnknown
	}
	p.set(state)
	return nil
}

// NewBodyID implements [kv.Store].
func (s *Store) NewBodyID() kv.BodyID { return kv.BodyID(s.lastBody.Add(1)) }

// Load implements [kv.Store].
func (s *Store) Load(ctx context.Context, name kv.Partition, v kv.Version, keys iter.Seq2[[]byte, []byte]) error {
	p, err := s.enter(ctx, name)
	if err != nil {
		return err
	}
	defer s.leave()
	p.writing.Lock()
	defer p.writing.Unlock()
	state, _ := p.snapshot()
	if !state.loading && (state.keys.Len() > 0 || state.version > v) {
		return kv.ErrExists
	}
	unusable := state
	unusable.loading = true
	if err := s.commit(p, unusable); err != nil {
		return err
	}
	tx := &txn{reader: reader{emptyState()}}
	for key, value := range keys {
		if err := ctx.Err(); err != nil {
			return err
		}
		tx.written = 0 // Load has no limit in all
		if tx.Put(key, value); tx.err != nil {
			return tx.err
		}
	}
	tx.state.version = v
	return s.commit(p, tx.state)
}

// Drop implements [kv.Store].
func (s *Store) Drop(ctx context.Context, name kv.Partition) error {
	p, err := s.enter(ctx, name)
	if err != nil {
		return err
	}
	defer s.leave()
	p.writing.Lock()
	defer p.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.crashed {
		return kv.ErrUnknown
	}
	p.forget()
	return nil
}

// Partitions implements [kv.Store].
func (s *Store) Partitions(ctx context.Context, prefix string, fn func(kv.Partition) error) error {
	s.mu.Lock()
	if s.closed || s.crashed {
		s.mu.Unlock()
		return kv.ErrClosed
	}
	var names []kv.Partition
	for name, p := range s.partitions {
		if _, written := p.snapshot(); written && strings.HasPrefix(string(name), prefix) {
			names = append(names, name)
		}
	}
	s.mu.Unlock()
	slices.Sort(names)
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(name); err != nil {
			return err
		}
	}
	return nil
}

// Watch implements [kv.Store].
func (s *Store) Watch(name kv.Partition, f func(kv.Version)) (cancel func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.partitions[name]
	if p == nil {
		p = &partition{state: emptyState()}
		s.partitions[name] = p
	}
	return p.watchers.Add(f)
}
