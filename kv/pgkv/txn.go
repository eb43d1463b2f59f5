package pgkv

import (
	"bytes"
	"fmt"
	"iter"
	"slices"

	"github.com/google/btree"
	"github.com/jackc/pgx/v5"

	"posthaste/kv"
)

// degree of the tree of writes: nodes of up to 63 items.
const degree = 32

// A write is what the transaction last did to a key; a nil value deleted it.
type write struct{ key, value []byte }

// A span is a range of keys that were deleted, end excluded.
type span struct{ start, end []byte }

type spans []span

func (s spans) cover(key []byte) bool {
	return slices.ContainsFunc(s, func(s span) bool {
		return bytes.Compare(s.start, key) <= 0 && bytes.Compare(key, s.end) < 0
	})
}

type body struct {
	id     kv.BodyID
	packed []byte
}

// A txn implements [kv.Txn]: writes gather in memory, over what the session reads. The partition
// will hold its old keys without those in spans, changed by writes.
type txn struct {
	reader
	writes *btree.BTreeG[write]
	spans  spans
	bodies []body
	gone   []int64 // bodies
	quiet  bool
	size   int
	err    error // the first limit passed
}

func newTxn(t *session) *txn {
	less := func(a, b write) bool { return bytes.Compare(a.key, b.key) < 0 }
	return &txn{reader: reader{t}, writes: btree.NewG(degree, less)}
}

func (t *txn) Next() kv.Version {
	if t.quiet {
		return t.rec.version
	}
	return t.rec.version + 1
}

func (t *txn) empty() bool {
	return t.writes.Len() == 0 && len(t.spans) == 0 && len(t.bodies) == 0 && len(t.gone) == 0
}

func (t *txn) Quiet() { t.quiet = true }

// within counts size bytes and reports whether all limits are kept.
func (t *txn) within(what string, size, limit int) bool {
	t.size += size
	switch {
	case t.err != nil:
	case size > limit:
		t.err = fmt.Errorf("%w: %s of %d bytes, at most %d", kv.ErrTooLarge, what, size, limit)
	case t.size > kv.MaxTxn:
		t.err = fmt.Errorf("%w: transaction of more than %d bytes", kv.ErrTooLarge, kv.MaxTxn)
	}
	return t.err == nil
}

func (t *txn) Put(key, value []byte) {
	if t.within("key", len(key), kv.MaxKey) && t.within("value", len(value), kv.MaxValue) {
		t.writes.ReplaceOrInsert(write{append([]byte{}, key...), append([]byte{}, value...)})
	}
}

func (t *txn) Delete(key []byte) {
	if t.within("key", len(key), kv.MaxKey) {
		t.writes.ReplaceOrInsert(write{key: append([]byte{}, key...)})
	}
}

func (t *txn) DeleteRange(start, end []byte) {
	lower, upper := bounds(bytes.Clone(start), bytes.Clone(end))
	if bytes.Compare(lower, upper) >= 0 {
		return
	}
	for _, w := range t.written(lower, upper, false) {
		t.writes.Delete(w)
	}
	t.spans = append(t.spans, span{lower, upper})
}

func (t *txn) PutBody(id kv.BodyID, packed []byte) {
	if t.within("body", len(packed), kv.MaxBody) {
		t.dropBody(id)
		t.bodies = append(t.bodies, body{id, present(packed)})
	}
}

func (t *txn) DeleteBody(id kv.BodyID) {
	t.dropBody(id)
	t.gone = append(t.gone, int64(id))
}

func (t *txn) dropBody(id kv.BodyID) {
	t.bodies = slices.DeleteFunc(t.bodies, func(b body) bool { return b.id == id })
}

func (t *txn) Get(key []byte) ([]byte, error) {
	if w, ok := t.writes.Get(write{key: key}); ok {
		if w.value == nil {
			return nil, kv.ErrNotFound
		}
		return w.value, nil
	}
	if t.spans.cover(key) {
		return nil, kv.ErrNotFound
	}
	return t.reader.Get(key)
}

// written returns the writes to keys of a range, in the order of a scan.
func (t *txn) written(lower, upper []byte, reverse bool) []write {
	var all []write
	t.writes.AscendRange(write{key: lower}, write{key: upper}, func(w write) bool {
		all = append(all, w)
		return true
	})
	if reverse {
		slices.Reverse(all)
	}
	return all
}

func (t *txn) Scan(start, end []byte, reverse bool) (iter.Seq2[[]byte, []byte], func() error) {
	var failure error
	seq := func(yield func(key, value []byte) bool) {
		m := merge{reverse: reverse, yield: yield, spans: slices.Clone(t.spans)}
		lower, upper := bounds(start, end)
		if bytes.Compare(lower, upper) >= 0 {
			failure = nil
			return
		}
		m.writes = t.written(lower, upper, reverse)
		if failure = t.scan(start, end, reverse, m.old); failure == nil {
			m.rest()
		}
	}
	return seq, func() error { return failure }
}

// A merge yields old keys and writes in one order.
type merge struct {
	reverse bool
	writes  []write
	spans   spans
	yield   func(key, value []byte) bool
	stopped bool
}

// old takes the next key that the database holds and reports whether to go on.
func (m *merge) old(key, value []byte) bool {
	for len(m.writes) > 0 {
		order := bytes.Compare(m.writes[0].key, key)
		if m.reverse {
			order = -order
		}
		if order > 0 {
			break
		}
		if !m.next() {
			return false
		}
		if order == 0 {
			return true // written over
		}
	}
	if m.spans.cover(key) {
		return true
	}
	m.stopped = !m.yield(key, value)
	return !m.stopped
}

// next yields the next write and reports whether to go on.
func (m *merge) next() bool {
	w := m.writes[0]
	m.writes = m.writes[1:]
	if w.value != nil {
		m.stopped = !m.yield(w.key, w.value)
	}
	return !m.stopped
}

// rest yields the writes after the last old key.
func (m *merge) rest() {
	for len(m.writes) > 0 && !m.stopped {
		m.next()
	}
}

// queue adds all that t wrote to b. The row of the partition comes first: it orders the writers.
func (t *txn) queue(b *pgx.Batch) {
	name := string(t.name)
	if t.rec.exists {
		b.Queue(`UPDATE partitions SET version = $2 WHERE p = $1`, name, int64(t.Next()))
	} else {
		b.Queue(`INSERT INTO partitions (p, version, loading) VALUES ($1, $2, 0)`, name, int64(t.Next()))
	}
	for _, s := range t.spans {
		b.Queue(`DELETE FROM keys WHERE p = $1 AND k >= $2 AND k < $3`, name, s.start, s.end)
	}
	t.queueKeys(b, name)
	if len(t.gone) > 0 {
		b.Queue(`DELETE FROM bodies WHERE p = $1 AND id = ANY($2)`, name, t.gone)
	}
	for _, body := range t.bodies {
		b.Queue(`INSERT INTO bodies (p, id, packed) VALUES ($1, $2, $3)
			ON CONFLICT (p, id) DO UPDATE SET packed = excluded.packed`, name, int64(body.id), body.packed)
	}
}

const putQuery = `INSERT INTO keys (p, k, v) SELECT $1, * FROM unnest($2::bytea[], $3::bytea[])
	ON CONFLICT (p, k) DO UPDATE SET v = excluded.v`

func (t *txn) queueKeys(b *pgx.Batch, name string) {
	var gone, keys, values [][]byte
	t.writes.Ascend(func(w write) bool {
		if w.value == nil {
			gone = append(gone, w.key)
		} else {
			keys, values = append(keys, w.key), append(values, w.value)
		}
		return true
	})
	if len(gone) > 0 {
		b.Queue(`DELETE FROM keys WHERE p = $1 AND k = ANY($2)`, name, gone)
	}
	if len(keys) > 0 {
		b.Queue(putQuery, name, keys, values)
	}
}
