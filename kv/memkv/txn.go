package memkv

import (
	"bytes"
	"fmt"
	"iter"

	"posthaste/kv"
)

// A reader implements [kv.Reader] on a state of its own.
type reader struct{ state state }

func (r *reader) Version() kv.Version { return r.state.version }

func (r *reader) Get(key []byte) ([]byte, error) {
	it, ok := r.state.keys.Get(item{key: key})
	if !ok {
		return nil, kv.ErrNotFound
	}
	return it.value, nil
}

func (r *reader) Scan(start, end []byte, reverse bool) (iter.Seq2[[]byte, []byte], func() error) {
	seq := func(yield func(key, value []byte) bool) {
		keys := r.state.keys.Clone() // fn may write while it scans
		step := func(it item) bool {
			return (end == nil || bytes.Compare(it.key, end) < 0) && bytes.Compare(it.key, start) >= 0 && yield(it.key, it.value)
		}
		switch {
		case !reverse:
			keys.AscendGreaterOrEqual(item{key: start}, step)
		case end == nil:
			keys.Descend(step)
		default:
			keys.DescendLessOrEqual(item{key: end}, func(it item) bool {
				return bytes.Equal(it.key, end) || step(it)
			})
		}
	}
	return seq, func() error { return nil }
}

func (r *reader) Body(id kv.BodyID) ([]byte, error) {
	b, ok := r.state.bodies.Get(body{id: id})
	if !ok {
		return nil, kv.ErrNotFound
	}
	return b.packed, nil
}

// A txn writes into its own clone of the trees, which becomes the state of the partition.
type txn struct {
	reader
	before  kv.Version
	wrote   bool
	quiet   bool
	written int   // bytes
	err     error // the first limit passed
}

func (t *txn) Version() kv.Version { return t.before }

func (t *txn) Next() kv.Version {
	if t.quiet {
		return t.before
	}
	return t.before + 1
}

func (t *txn) Quiet() { t.quiet = true }

// admit counts n bytes to be written and reports whether they are within the limits.
func (t *txn) admit(what string, size, limit, n int) bool {
	t.wrote = true
	t.written += n
	switch {
	case t.err != nil:
	case size > limit:
		t.err = fmt.Errorf("%w: %s of %d bytes, at most %d", kv.ErrTooLarge, what, size, limit)
	case t.written > kv.MaxTxn:
		t.err = fmt.Errorf("%w: transaction of more than %d bytes", kv.ErrTooLarge, kv.MaxTxn)
	}
	return t.err == nil
}

func (t *txn) Put(key, value []byte) {
	if t.admit("key", len(key), kv.MaxKey, len(key)) && t.admit("value", len(value), kv.MaxValue, len(value)) {
		t.state.keys.ReplaceOrInsert(item{bytes.Clone(key), append([]byte{}, value...)})
	}
}

func (t *txn) Delete(key []byte) {
	if t.admit("key", len(key), kv.MaxKey, len(key)) {
		t.state.keys.Delete(item{key: key})
	}
}

func (t *txn) DeleteRange(start, end []byte) {
	t.wrote = true
	var doomed []item
	t.state.keys.AscendGreaterOrEqual(item{key: start}, func(it item) bool {
		if end != nil && bytes.Compare(it.key, end) >= 0 {
			return false
		}
		doomed = append(doomed, it)
		return true
	})
	for _, it := range doomed {
		t.state.keys.Delete(it)
	}
}

func (t *txn) PutBody(id kv.BodyID, packed []byte) {
	if t.admit("body", len(packed), kv.MaxBody, len(packed)) {
		t.state.bodies.ReplaceOrInsert(body{id, append([]byte{}, packed...)})
	}
}

func (t *txn) DeleteBody(id kv.BodyID) {
	t.wrote = true
	t.state.bodies.Delete(body{id: id})
}
