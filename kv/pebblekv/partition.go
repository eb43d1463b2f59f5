package pebblekv

import (
	"errors"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"posthaste/kv"
)

// A partition is what memory holds of a partition in use.
//
// Its commits are numbered by started from when it was opened. At any time
//
//	durable <= started
//
// and every commit that a reader can see has a number at most the started read after its snapshot.
type partition struct {
	name  kv.Partition
	users int // guarded by Store.mu

	writing sync.Mutex // held from the first read of an Update to its application

	mu       sync.Mutex // guards what follows
	synced   sync.Cond  // durable grew, or failed
	known    bool       // record is that of the newest commit, applied or being applied
	record   record
	started  uint64 // commits that may be applied
	applied  uint64 // commits that are applied
	durable  uint64 // commits that are durable
	told     kv.Version
	failed   bool // a sync failed: nothing becomes durable any more
	watchers kv.Watchers
}

func newPartition(name kv.Partition) *partition {
	p := &partition{name: name}
	p.synced.L = &p.mu
	return p
}

// current returns the record after the last commit. The caller holds p.writing.
func (p *partition) current(db *pebble.DB) (record, error) {
	p.mu.Lock()
	known, rec := p.known, p.record
	p.mu.Unlock()
	if known {
		return rec, nil
	}
	rec, err := readRecord(db, p.name)
	if err != nil {
		return record{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known, p.record = true, rec
	return rec, nil
}

// start announces a commit that leaves the partition with rec, and returns its number. The caller
// holds p.writing and calls apply next.
func (p *partition) start(rec record) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.started++
	p.record = rec
	return p.started
}

// finish says that the commit last started is applied.
func (p *partition) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.applied = p.started
}

// count returns the number of the last commit that can be seen by now.
func (p *partition) count() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.started
}

// sync says that commit n is durable and, unless quiet, that it made version v.
func (p *partition) sync(n uint64, v kv.Version, quiet bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n > p.durable {
		p.durable = n
		p.synced.Broadcast()
	}
	if quiet || v <= p.told {
		return // a later commit that became durable with this one was told
	}
	p.told = v
	p.watchers.Tell(v)
}

// fail says that a sync failed.
func (p *partition) fail() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = true
	p.synced.Broadcast()
}

// wait returns when commit n is durable.
func (p *partition) wait(n uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.durable < n {
		if p.failed {
			return kv.ErrUnknown
		}
		p.synced.Wait()
	}
	return nil
}

// afterSync returns err once commit n, which it may speak of, is durable.
func (p *partition) afterSync(n uint64, err error) error {
	if waitErr := p.wait(n); waitErr != nil {
		return waitErr
	}
	return err
}

// snapshot returns a snapshot of the store, the record of p in it, and the number of the last commit
// that may be in it or spoken of in the error.
func (p *partition) snapshot(db *pebble.DB) (*pebble.Snapshot, record, uint64, error) {
	p.mu.Lock()
	if p.known && p.started == p.applied {
		defer p.mu.Unlock() // no commit can start before the snapshot is taken
		return db.NewSnapshot(), p.record, p.started, nil
	}
	p.mu.Unlock()
	snap := db.NewSnapshot()
	n := p.count()
	rec, err := readRecord(snap, p.name)
	if err != nil {
		return nil, record{}, n, errors.Join(err, snap.Close())
	}
	p.learn(rec)
	return snap, rec, n, nil
}

// learn keeps rec, which was read before now, if no commit can have changed it.
func (p *partition) learn(rec record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started == 0 {
		p.known, p.record = true, rec
	}
}

// forget makes p as it was before any commit. The caller holds p.writing.
func (p *partition) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = 0
}
