package pebblekv

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"posthaste/kv"
)

// A body's place in Pebble is its ID, and IDs ascend in order of arrival. So the bodies of one
// memtable come after those of all memtables before it, their tables never overlap, and no
// compaction has to write them again. Three things keep that order exact:
//
//   - arrivals begins a new memtable itself, before Pebble would, and keeps the last ID given out
//     until then as the frontier. Bodies above it are placed by ID.
//   - A body at or below the frontier was given its ID before and comes after: a straggler. These few
//     have a space of their own, where compaction costs nothing.
//   - A deletion lies among old bodies. Tables are split at the frontiers, so that it shares no table
//     with new ones.
//
// Where Pebble begins a memtable by itself after all, some bodies are written once more.
type arrivals struct {
	ids *bodyIDs

	mu        sync.RWMutex // read to apply a commit, written to begin a memtable
	frontier  kv.BodyID    // guarded by mu
	frontiers atomic.Pointer[[keptFrontiers]kv.BodyID]
	bytes     atomic.Int64 // applied since the memtable began, about
}

const (
	// keptFrontiers is how many of the last frontiers split tables: those of the memtable in use,
	// of the one being flushed, and of one that waits.
	keptFrontiers = 3
	// rotateBytes is what goes into a memtable before the next is begun.
	rotateBytes = memTableBytes - memTableBytes/8
	// entryBytes is about what an entry costs in a memtable, besides key and value.
	entryBytes = 100
)

type body struct {
	id     kv.BodyID
	packed []byte
}

// apply places bodies in batch and calls commit, all within one memtable.
func (a *arrivals) apply(db *pebble.DB, name kv.Partition, batch *pebble.Batch, bodies []body, commit func() uint64) (uint64, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var key []byte
	for _, b := range bodies {
		key = bodyKey(key[:0], b.id, name)
		if b.id <= a.frontier {
			key[0] = stragglerSpace
		}
		if err := batch.Set(key, b.packed, nil); err != nil {
			return 0, err
		}
	}
	size := batch.Len() + entryBytes*int(batch.Count())
	n := commit()
	a.bytes.Add(int64(size))
	return n, nil
}

// rotate begins a memtable when so many bytes are in the present one, and has those before it
// flushed; the channel, which is nil otherwise, is closed when they are.
func (a *arrivals) rotate(db *pebble.DB, enough int64) (flushed <-chan struct{}, err error) {
	if a.bytes.Load() < enough {
		return nil, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.bytes.Load() < enough {
		return nil, nil // somebody else was faster
	}
	a.bytes.Store(0)
	a.frontier = kv.BodyID(a.ids.last.Load())
	kept := [keptFrontiers]kv.BodyID{}
	if old := a.frontiers.Load(); old != nil {
		copy(kept[:], old[1:])
	}
	kept[keptFrontiers-1] = a.frontier
	a.frontiers.Store(&kept)
	return db.AsyncFlush()
}

// split is Pebble's span policy: it says where a table that starts at start must end at the latest.
func (a *arrivals) split(start []byte) (pebble.SpanPolicy, []byte, error) {
	if start[0] != bodySpace {
		return pebble.SpanPolicy{}, nil, nil
	}
	if kept := a.frontiers.Load(); kept != nil {
		for _, frontier := range kept {
			if end := bodyKey(nil, frontier+1, ""); bytes.Compare(start, end) < 0 {
				return pebble.SpanPolicy{}, end, nil
			}
		}
	}
	return pebble.SpanPolicy{}, []byte{bodySpace + 1}, nil
}

// strayed reports whether the body of key, which lies in the body space, is a straggler, and turns
// key into its own if so.
func strayed(db pebble.Reader, key []byte) (bool, error) {
	key[0] = stragglerSpace
	_, closer, err := db.Get(key)
	switch {
	case err == nil:
		return true, closer.Close()
	case errors.Is(err, pebble.ErrNotFound):
		key[0] = bodySpace
		return false, nil
	}
	return false, explain(err)
}
