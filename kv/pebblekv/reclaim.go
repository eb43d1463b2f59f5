package pebblekv

import (
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// Pebble takes back the space of what is deleted level by level, and leaves in each as much as the
// level may hold: little of a large store, much of a small one. So after many deletions we look
// whether more than a share of the tables is garbage, and have the bodies compacted if it is.
const (
	// flushDeletes is how many bodies may be deleted before the memtable is flushed. Only then can
	// Pebble begin.
	flushDeletes = 8 << 10
	// garbageShare of all tables, but at least garbageBytes, may be garbage.
	garbageShare = 5
	garbageBytes = 16 << 20
)

// A reclaimer has the space of deleted bodies taken back.
type reclaimer struct {
	db     *pebble.DB
	due    chan (<-chan struct{}) // closed when the deletions are flushed
	cancel context.CancelFunc
	ended  chan struct{}
}

func startReclaimer(db *pebble.DB, failed func(error)) *reclaimer {
	ctx, cancel := context.WithCancel(context.Background())
	r := &reclaimer{db: db, due: make(chan (<-chan struct{}), 1), cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.run(ctx, failed)
	}()
	return r
}

func (r *reclaimer) stop() {
	r.cancel()
	<-r.ended
}

// wake has the store looked at once flushed is closed.
func (r *reclaimer) wake(flushed <-chan struct{}) {
	select {
	case r.due <- flushed:
	default: // it is due already
	}
}

func (r *reclaimer) run(ctx context.Context, failed func(error)) {
	for {
		var flushed <-chan struct{}
		select {
		case <-ctx.Done():
			return
		case flushed = <-r.due:
		}
		if err := r.reclaim(ctx, flushed); err != nil && !errors.Is(err, context.Canceled) {
			failed(err)
		}
	}
}

// reclaim compacts the bodies if that is worth it, once the deletions are flushed.
func (r *reclaimer) reclaim(ctx context.Context, flushed <-chan struct{}) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-flushed:
	}
	m := r.db.Metrics()
	garbage := m.Table.Garbage.PointDeletionsBytesEstimate
	if garbage < garbageBytes || garbage < uint64(m.Total().TablesSize)/garbageShare {
		return nil
	}
	return r.db.Compact(ctx, []byte{bodySpace}, []byte{bodySpace + 1}, false)
}
