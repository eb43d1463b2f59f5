package pebblekv

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"posthaste/kv"
)

// copyValue is the size in bytes up to which a value is copied. A longer one stays in its block,
// which is held until the reader closes.
const copyValue = 4 << 10

// View implements [kv.Store].
func (s *Store) View(ctx context.Context, name kv.Partition, fn func(kv.Reader) error) error {
	p, err := s.enter(ctx, name)
	if err != nil {
		return err
	}
	defer s.leave(p)
	n, err := s.view(p, fn)
	return p.afterSync(n, err)
}

func (s *Store) view(p *partition, fn func(kv.Reader) error) (n uint64, err error) {
	snap, rec, n, err := p.snapshot(s.db)
	if err != nil {
		return n, err
	}
	defer snap.Close()
	if rec.loading {
		return n, kv.ErrLoading
	}
	r := newReader(snap, p.name, rec.version)
	defer r.close()
	return n, fn(r)
}

// A reader implements [kv.Reader] on a snapshot or on the batch of an Update.
type reader struct {
	from    pebble.Reader
	name    kv.Partition
	version kv.Version
	prefix  []byte
	key     []byte      // scratch
	open    []io.Closer // blocks that values lie in
}

func newReader(from pebble.Reader, name kv.Partition, version kv.Version) *reader {
	return &reader{from: from, name: name, version: version, prefix: keyPrefix(name)}
}

func (r *reader) close() {
	for _, c := range r.open {
		c.Close()
	}
}

func (r *reader) Version() kv.Version { return r.version }

// full returns the key in Pebble, valid until the next call.
func (r *reader) full(key []byte) []byte {
	r.key = append(append(r.key[:0], r.prefix...), key...)
	return r.key
}

func (r *reader) Get(key []byte) ([]byte, error) {
	if len(key) > kv.MaxKey {
		return nil, kv.ErrNotFound
	}
	return r.get(r.full(key))
}

func (r *reader) get(full []byte) ([]byte, error) {
	value, closer, err := r.from.Get(full)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, kv.ErrNotFound
	}
	if err != nil {
		return nil, explain(err)
	}
	if len(value) > copyValue {
		r.open = append(r.open, closer)
		return value, nil
	}
	value = append(make([]byte, 0, len(value)), value...)
	return value, closer.Close()
}

func (r *reader) Scan(start, end []byte, reverse bool) (iter.Seq2[[]byte, []byte], func() error) {
	var failure error
	seq := func(yield func(key, value []byte) bool) {
		failure = r.scan(start, end, reverse, yield)
	}
	return seq, func() error { return failure }
}

// bounds returns those of a range of keys of the partition in Pebble.
func bounds(prefix, start, end []byte) (lower, upper []byte) {
	lower = append(bytes.Clone(prefix), start...)
	if end == nil {
		return lower, kv.PrefixEnd(prefix)
	}
	return lower, append(bytes.Clone(prefix), end...)
}

func (r *reader) scan(start, end []byte, reverse bool, yield func(key, value []byte) bool) error {
	lower, upper := bounds(r.prefix, start, end)
	if bytes.Compare(lower, upper) >= 0 {
		return nil
	}
	it, err := r.from.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return explain(err)
	}
	defer it.Close()
	first, next := it.First, it.Next
	if reverse {
		first, next = it.Last, it.Prev
	}
	for ok := first(); ok; ok = next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return explain(err)
		}
		if !yield(it.Key()[len(r.prefix):], value) {
			return nil
		}
	}
	if err := it.Error(); err != nil {
		return explain(err)
	}
	return nil
}

// Body looks bodies up one by one: an iterator, which would read on into what belongs to others, was
// measured to cost twice as much.
func (r *reader) Body(id kv.BodyID) ([]byte, error) {
	r.key = bodyKey(r.key[:0], id, r.name)
	packed, err := r.get(r.key)
	if err != kv.ErrNotFound {
		return packed, err
	}
	r.key[0] = stragglerSpace
	return r.get(r.key)
}
