package pebblekv

import (
	"context"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"posthaste/kv"
)

// loadPiece is the size in bytes of the pieces that Load commits.
const loadPiece = 4 << 20

// Load implements [kv.Store]. The record of the partition says "loading" in the first piece and
// "live" in the last, which alone is synced: the log keeps their order.
func (s *Store) Load(ctx context.Context, name kv.Partition, v kv.Version, keys iter.Seq2[[]byte, []byte]) error {
	p, err := s.enter(ctx, name)
	if err != nil {
		return err
	}
	defer s.leave(p)
	c, err := s.load(ctx, p, v, keys)
	if err != nil {
		return err
	}
	return s.sync(p, c)
}

func (s *Store) load(ctx context.Context, p *partition, v kv.Version, keys iter.Seq2[[]byte, []byte]) (commit, error) {
	p.writing.Lock()
	defer p.writing.Unlock()
	if err := s.beginLoad(p, v); err != nil {
		return commit{}, err
	}
	piece := newPiece(s, p, record{exists: true, loading: true, version: v})
	for key, value := range keys {
		if err := ctx.Err(); err != nil {
			return commit{}, err
		}
		if err := piece.put(key, value); err != nil {
			return commit{}, err
		}
	}
	rec := record{exists: true, version: v}
	if err := piece.batch.Set(versionKey(p.name), rec.append(nil), nil); err != nil {
		return commit{}, err
	}
	return commit{piece.batch, s.commit(p, rec, piece.batch), v, false}, nil
}

// beginLoad marks p as being loaded and clears what a load before left.
func (s *Store) beginLoad(p *partition, v kv.Version) error {
	rec, err := p.current(s.db)
	if err != nil {
		return err
	}
	if !rec.loading {
		if empty, err := s.empty(p); err != nil || !empty || rec.version > v {
			return firstError(err, fmt.Errorf("%w: %s", kv.ErrExists, p.name))
		}
	}
	if err := s.space.admit(weight{bodies: true, puts: true}); err != nil {
		return err
	}
	rec = record{exists: true, loading: true, version: v}
	return s.clear(p, rec)
}

func firstError(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// clear deletes all keys of p and leaves rec. The caller holds p.writing and syncs later.
func (s *Store) clear(p *partition, rec record) error {
	batch := s.db.NewBatch()
	lower, upper := bounds(keyPrefix(p.name), nil, nil)
	if err := batch.DeleteRange(lower, upper, nil); err != nil {
		return err
	}
	if err := batch.Set(versionKey(p.name), rec.append(nil), nil); err != nil {
		return err
	}
	return s.sync(p, commit{batch: batch, number: s.commit(p, rec, batch), quiet: true})
}

func (s *Store) empty(p *partition) (bool, error) {
	lower, upper := bounds(keyPrefix(p.name), nil, nil)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return false, explain(err)
	}
	found := it.First()
	return !found, it.Close()
}

// A piece gathers what Load commits at once.
type piece struct {
	store  *Store
	p      *partition
	rec    record
	prefix []byte
	batch  *pebble.Batch
}

func newPiece(s *Store, p *partition, rec record) *piece {
	return &piece{store: s, p: p, rec: rec, prefix: keyPrefix(p.name), batch: s.db.NewBatch()}
}

func (l *piece) put(key, value []byte) error {
	if len(key) > kv.MaxKey || len(value) > kv.MaxValue {
		return fmt.Errorf("%w: load %s: key of %d and value of %d bytes", kv.ErrTooLarge, l.p.name, len(key), len(value))
	}
	if err := l.batch.Set(append(append([]byte{}, l.prefix...), key...), value, nil); err != nil {
		return err
	}
	if l.batch.Len() < loadPiece {
		return nil
	}
	if err := l.store.space.admit(weight{bodies: true, puts: true, bytes: l.batch.Len()}); err != nil {
		return err
	}
	c := commit{batch: l.batch, number: l.store.commit(l.p, l.rec, l.batch), quiet: true}
	l.batch = l.store.db.NewBatch()
	return l.store.sync(l.p, c)
}

// Drop implements [kv.Store].
func (s *Store) Drop(ctx context.Context, name kv.Partition) error {
	p, err := s.enter(ctx, name)
	if err != nil {
		return err
	}
	defer s.leave(p)
	c, err := s.dropKeys(p)
	if err != nil {
		return err
	}
	return s.sync(p, c)
}

func (s *Store) dropKeys(p *partition) (commit, error) {
	p.writing.Lock()
	defer p.writing.Unlock()
	if _, err := p.current(s.db); err != nil {
		return commit{}, err
	}
	batch := s.db.NewBatch()
	lower, upper := bounds(keyPrefix(p.name), nil, nil)
	if err := batch.DeleteRange(lower, upper, nil); err != nil {
		return commit{}, err
	}
	if err := batch.Delete(versionKey(p.name), nil); err != nil {
		return commit{}, err
	}
	n := s.commit(p, record{}, batch)
	p.forget()
	return commit{batch: batch, number: n, quiet: true}, nil
}

// Partitions implements [kv.Store].
func (s *Store) Partitions(ctx context.Context, prefix string, fn func(kv.Partition) error) error {
	if err := s.admit(ctx); err != nil {
		return err
	}
	defer s.running.Done()
	lower := versionKey(kv.Partition(prefix))
	it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: kv.PrefixEnd(lower)})
	if err != nil {
		return explain(err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(kv.Partition(it.Key()[1:])); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return explain(err)
	}
	return nil
}
