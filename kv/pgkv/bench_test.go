package pgkv

import (
	"fmt"
	"sync/atomic"
	"testing"

	"posthaste/kv"
	"posthaste/kv/pgkv/pgtest"
)

// BenchmarkUpdate commits what a delivery does, a body of 4 KiB and a few keys, each caller to a
// partition of its own. The cluster does not sync, so this is the cost of all but the disk.
func BenchmarkUpdate(b *testing.B) {
	s := openStore(b, pgtest.Start(b).Database(b))
	var callers atomic.Int64
	packed := make([]byte, 4<<10)
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		p := kv.Partition(fmt.Sprintf("account/%d", callers.Add(1)))
		for pb.Next() {
			id := s.NewBodyID()
			_, err := s.Update(b.Context(), p, func(tx kv.Txn) error {
				v := tx.Next()
				tx.PutBody(id, packed)
				tx.Put(fmt.Appendf(nil, "L%016x", v), packed[:100])
				tx.Put(fmt.Appendf(nil, "M%016x", id), packed[:500])
				tx.Put([]byte("B"), packed[:200])
				return nil
			})
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
}
