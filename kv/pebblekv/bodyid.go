package pebblekv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"posthaste/kv"
)

// bodyIDBlock is how many IDs are reserved at once.
const bodyIDBlock = 1 << 20

// bodyIDs hands out IDs below a limit that stands in the store. The limit is raised in the log
// before an ID under it is used; since the log is sequential, a commit that survives a crash has its
// limit before it, and no ID in use is given twice.
type bodyIDs struct {
	last atomic.Uint64

	raising sync.Mutex // held while the limit is raised
	limit   atomic.Uint64
}

// open goes on after the limit of the last run.
func (b *bodyIDs) open(db *pebble.DB) error {
	value, closer, err := db.Get(bodyIDKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return explain(err)
	}
	defer closer.Close()
	if len(value) != bodyIDSize {
		return fmt.Errorf("%w: limit of body IDs %x", kv.ErrCorrupt, value)
	}
	limit := binary.BigEndian.Uint64(value)
	b.last.Store(limit)
	b.limit.Store(limit)
	return nil
}

func (b *bodyIDs) next(db *pebble.DB) (kv.BodyID, error) {
	id := b.last.Add(1)
	if id <= b.limit.Load() {
		return kv.BodyID(id), nil
	}
	b.raising.Lock()
	defer b.raising.Unlock()
	for limit := b.limit.Load(); id > limit; limit = b.limit.Load() {
		value := binary.BigEndian.AppendUint64(nil, limit+bodyIDBlock)
		if err := db.Set(bodyIDKey, value, pebble.NoSync); err != nil {
			return 0, err
		}
		b.limit.Store(limit + bodyIDBlock)
	}
	return kv.BodyID(id), nil
}
