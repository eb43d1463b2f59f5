package pebblekv

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"posthaste/kv"
)

// Update implements [kv.Store].
func (s *Store) Update(ctx context.Context, name kv.Partition, fn func(kv.Txn) error) (kv.Version, error) {
	p, err := s.enter(ctx, name)
	if err != nil {
		return 0, err
	}
	defer s.leave(p)
	c, err := s.apply(ctx, p, fn)
	if err != nil {
		return 0, p.afterSync(c.number, err)
	}
	if c.batch == nil {
		return c.version, p.afterSync(c.number, nil)
	}
	return c.version, s.sync(p, c)
}

// A commit is one that is applied, or without batch the last one that an Update may have seen.
type commit struct {
	batch   *pebble.Batch
	number  uint64
	version kv.Version
	quiet   bool
}

// apply runs fn and applies what it wrote, under the lock of p.
func (s *Store) apply(ctx context.Context, p *partition, fn func(kv.Txn) error) (commit, error) {
	p.writing.Lock()
	defer p.writing.Unlock()
	if err := ctx.Err(); err != nil {
		return commit{}, err
	}
	seen := commit{number: p.count()}
	rec, err := p.current(s.db)
	if err != nil {
		return seen, err
	}
	if rec.loading {
		return seen, kv.ErrLoading
	}
	seen.version = rec.version
	tx := newTxn(s.db, p.name, rec.version)
	if err := run(tx, fn); err != nil || tx.empty() {
		tx.batch.Close()
		return seen, err
	}
	if err := s.seal(tx, p.name, &rec); err != nil {
		tx.batch.Close()
		return seen, err
	}
	n, err := s.order.apply(s.db, p.name, tx.batch, tx.bodies, func() uint64 { return s.commit(p, rec, tx.batch) })
	if err != nil {
		tx.batch.Close()
		return seen, err
	}
	s.tend(tx.deleted)
	return commit{tx.batch, n, rec.version, tx.quiet}, nil
}

// run runs fn and ends all reading of tx.
func run(tx *txn, fn func(kv.Txn) error) error {
	defer tx.close()
	if err := fn(tx); err != nil {
		return err
	}
	return tx.err
}

// seal makes sure that there is room for tx and adds the record, which it brings up to date.
func (s *Store) seal(tx *txn, name kv.Partition, rec *record) error {
	if err := s.space.admit(tx.weight); err != nil {
		return err
	}
	rec.version = tx.Next()
	if tx.quiet && rec.exists {
		return nil
	}
	rec.exists = true
	return tx.batch.Set(versionKey(name), rec.append(nil), nil)
}

// commit applies batch to p, without waiting for the sync, and returns its number. The caller holds
// p.writing.
func (s *Store) commit(p *partition, rec record, batch *pebble.Batch) uint64 {
	n := p.start(rec)
	if err := s.db.ApplyNoSyncWait(batch, pebble.Sync); err != nil {
		p.fail()
		s.fatal(fmt.Errorf("pebblekv: apply to %s: %w", p.name, err))
		return n
	}
	p.finish()
	return n
}

// sync returns once c is durable.
func (s *Store) sync(p *partition, c commit) error {
	if err := c.batch.SyncWait(); err != nil {
		p.fail()
		s.fatal(fmt.Errorf("pebblekv: sync the log: %w", err))
		return kv.ErrUnknown
	}
	p.sync(c.number, c.version, c.quiet)
	return c.batch.Close()
}

// tend begins a memtable when it is time, after a commit that deleted so many bodies.
func (s *Store) tend(deleted int) {
	enough := int64(rotateBytes)
	reclaim := deleted > 0 && s.deletes.Add(int64(deleted)) >= flushDeletes
	if reclaim {
		s.deletes.Store(0)
		enough = 1
	}
	flushed, err := s.order.rotate(s.db, enough)
	if err != nil {
		s.log.Warn("a memtable could not be flushed", "err", err)
	}
	if reclaim && flushed != nil {
		s.reclaim.wake(flushed)
	}
}

// A txn implements [kv.Txn] on a batch that is read over the database.
type txn struct {
	*reader
	batch   *pebble.Batch
	bodies  []body // put; placed when the commit is applied
	deleted int    // bodies
	quiet   bool
	weight  weight
	err     error // the first limit passed, or failure to write to the batch
}

func newTxn(db *pebble.DB, name kv.Partition, version kv.Version) *txn {
	batch := db.NewIndexedBatch()
	return &txn{reader: newReader(batch, name, version), batch: batch}
}

func (t *txn) Next() kv.Version {
	if t.quiet {
		return t.version
	}
	return t.version + 1
}

func (t *txn) empty() bool { return t.batch.Empty() && len(t.bodies) == 0 }

func (t *txn) Quiet() { t.quiet = true }

func (t *txn) fail(err error) {
	if t.err == nil {
		t.err = err
	}
}

// within counts size bytes and reports whether all limits are kept.
func (t *txn) within(what string, size, limit int) bool {
	t.weight.bytes += size
	if size > limit {
		t.fail(fmt.Errorf("%w: %s of %d bytes, at most %d", kv.ErrTooLarge, what, size, limit))
	}
	if t.weight.bytes > kv.MaxTxn {
		t.fail(fmt.Errorf("%w: transaction of more than %d bytes", kv.ErrTooLarge, kv.MaxTxn))
	}
	return t.err == nil
}

func (t *txn) Put(key, value []byte) {
	t.weight.puts = true
	if t.within("key", len(key), kv.MaxKey) && t.within("value", len(value), kv.MaxValue) {
		t.fail(t.batch.Set(t.full(key), value, nil))
	}
}

func (t *txn) Delete(key []byte) {
	if t.within("key", len(key), kv.MaxKey) {
		t.fail(t.batch.Delete(t.full(key), nil))
	}
}

func (t *txn) DeleteRange(start, end []byte) {
	lower, upper := bounds(t.prefix, start, end)
	if bytes.Compare(lower, upper) < 0 {
		t.fail(t.batch.DeleteRange(lower, upper, nil))
	}
}

func (t *txn) PutBody(id kv.BodyID, packed []byte) {
	t.weight.bodies = true
	if t.within("body", len(packed), kv.MaxBody) {
		t.bodies = append(t.bodies, body{id, packed})
	}
}

func (t *txn) DeleteBody(id kv.BodyID) {
	t.bodies = slices.DeleteFunc(t.bodies, func(b body) bool { return b.id == id })
	t.key = bodyKey(t.key[:0], id, t.name)
	if _, err := strayed(t.batch, t.key); err != nil {
		t.fail(err)
	}
	t.fail(t.batch.Delete(t.key, nil))
	t.deleted++
}
