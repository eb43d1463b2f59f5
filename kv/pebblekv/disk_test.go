package pebblekv

import (
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2/vfs"

	"posthaste/kv"
)

// diskUsed returns the bytes of all tables of the store. Its logs are used again and again and take
// no more than a memtable each.
func diskUsed(t testing.TB, fs vfs.FS, dir string) int64 {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	for _, name := range names {
		info, err := fs.Stat(fs.PathJoin(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".sst") {
			sum += info.Size()
		}
	}
	return sum
}

// After 90 % of the bodies are deleted, the space they took comes back without anybody asking.
func TestMassDeletionFreesTheDisk(t *testing.T) {
	const (
		bodies  = 24_000
		perTxn  = 500
		kept    = bodies / 10
		partOf  = 8 // bodies deleted by one transaction
		allowed = (kept+kept/garbageShare+flushDeletes)*benchBody + garbageBytes + 4<<20
	)
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		s, err := Open(Config{Dir: "store", FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var ids []kv.BodyID
		body := randomBytes(benchBody)
		for range bodies / perTxn {
			mustUpdate(t, s, func(tx kv.Txn) {
				for range perTxn {
					ids = append(ids, s.NewBodyID())
					tx.PutBody(ids[len(ids)-1], body)
				}
			})
		}
		synctest.Wait()
		before := diskUsed(t, fs, "store")
		rng := rand.New(rand.NewPCG(1, 1))
		rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		for len(ids) > kept {
			mustUpdate(t, s, func(tx kv.Txn) {
				for _, id := range ids[len(ids)-partOf:] {
					tx.DeleteBody(id)
				}
			})
			ids = ids[:len(ids)-partOf]
		}
		synctest.Wait()
		after := diskUsed(t, fs, "store")
		t.Logf("%d MB before, %d MB after, of which %d MB are kept; allowed %d MB", before>>20, after>>20, kept*benchBody>>20, allowed>>20)
		if after > allowed {
			t.Errorf("%d bytes used after deleting, want at most %d", after, allowed)
		}
		for _, id := range ids[:100] {
			if err := s.View(t.Context(), "p", func(r kv.Reader) error { _, err := r.Body(id); return err }); err != nil {
				t.Errorf("body %d, which was kept: %v", id, err)
			}
		}
	})
}

func mustUpdate(t testing.TB, s *Store, fn func(kv.Txn)) {
	t.Helper()
	if _, err := s.Update(t.Context(), "p", func(tx kv.Txn) error { fn(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}
