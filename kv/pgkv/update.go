package pgkv

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"posthaste/kv"
)

const (
	optimisticAttempts = 2 // after so many conflicts the row of the partition is locked first
	maxAttempts        = 10
)

// Update implements [kv.Store].
func (s *Store) Update(ctx context.Context, name kv.Partition, fn func(kv.Txn) error) (kv.Version, error) {
	p, err := s.enter(ctx, name)
	if err != nil {
		return 0, err
	}
	defer s.leave(p)
	p.writing.Lock()
	defer p.writing.Unlock()
	m := optimisticMode
	for attempt := 1; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		v, err := s.attempt(ctx, m, p, fn)
		if err == nil || !conflicts(err) {
			return v, err
		}
		if attempt == maxAttempts {
			return 0, fmt.Errorf("pgkv: update %s: %d conflicts in a row: %w", name, attempt, err)
		}
		if attempt == optimisticAttempts {
			m = lockedMode
		}
	}
}

// attempt runs fn once and commits what it wrote. The caller holds p.writing.
func (s *Store) attempt(ctx context.Context, m mode, p *partition, fn func(kv.Txn) error) (kv.Version, error) {
	session, err := s.begin(ctx, m, p.name)
	if err != nil {
		return 0, err
	}
	defer session.end()
	if session.rec.loading {
		return 0, kv.ErrLoading
	}
	t := newTxn(session)
	if err := fn(t); err != nil {
		return 0, err
	}
	if t.err != nil {
		return 0, t.err
	}
	if t.empty() {
		return session.rec.version, nil
	}
	var b pgx.Batch
	t.queue(&b)
	if err := session.commit(&b); err != nil {
		return 0, err
	}
	if !t.quiet {
		p.tell(t.Next())
		s.news.add(p.name, t.Next())
	}
	return t.Next(), nil
}
