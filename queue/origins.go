package queue

import (
	"context"
	"encoding/binary"
	"time"

	"posthaste/kv"
)

const (
	// originMemory is how long derived mail is known after it was finished.
	originMemory = 7 * 24 * time.Hour
	// originSweep is how often old origins are looked for.
	originSweep = 12 * time.Hour
	// originBatch is how many are forgotten in one commit.
	originBatch = 1000
)

// forgetOrigins removes the origins of derived mail that was finished long ago, until ctx ends.
func (q *Queue) forgetOrigins(ctx context.Context, d *dispatcher) {
	tick := time.NewTicker(originSweep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for i := range d.shards {
				if err := q.forgetOriginsOf(ctx, i, now.Add(-originMemory)); err != nil && ctx.Err() == nil {
					q.log.Warn("queue: cannot forget old origins", "shard", i, "err", err)
				}
			}
		}
	}
}

// forgetOriginsOf forgets what was finished in a shard before the given time.
func (q *Queue) forgetOriginsOf(ctx context.Context, shard int, before time.Time) error {
	end := binary.BigEndian.AppendUint64([]byte("f"), uint64(before.UnixMilli()))
	for more := true; more; {
		_, err := q.kv.Update(ctx, shardPartition(shard), func(tx kv.Txn) error {
			tx.Quiet()
			var old [][]byte
			keys, errf := tx.Scan([]byte("f"), end, false)
			for key := range keys {
				if old = append(old, append([]byte(nil), key...)); len(old) == originBatch {
					break
				}
			}
			for _, key := range old {
				tx.Delete(key)
				tx.Delete(originKey(string(key[1+8:])))
			}
			more = len(old) == originBatch
			return errf()
		})
		if err != nil {
			return err
		}
	}
	return nil
}
