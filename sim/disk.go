package sim

import (
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"posthaste/blob"
	"posthaste/blob/memblob"
	"posthaste/kv"
	"posthaste/kv/pebblekv"
)

// plenty is the free space of a disk that is not full.
const plenty = 1 << 40

// A disk is what survives when a machine loses power: of files, what was synced, and at random parts of
// the rest; of blobs, those that were put.
type disk struct {
	mu    sync.Mutex // guards what follows
	files *vfs.MemFS
	blobs *memblob.Store
	rng   *rand.Rand
	full  atomic.Bool
}

func newDisk(rng *rand.Rand) *disk {
	return &disk{files: vfs.NewCrashableMem(), blobs: memblob.New(), rng: rng}
}

// free says how many bytes are free.
func (d *disk) free() (uint64, error) {
	if d.full.Load() {
		return 0, nil
	}
	return plenty, nil
}

// open opens the store on the disk.
func (d *disk) open(fatal func(error)) (kv.Store, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	store, err := pebblekv.Open(pebblekv.Config{Dir: "store", FS: d.files, Free: d.free, Fatal: fatal})
	return &slowStore{Store: store, disk: d}, err
}

// pause returns how long one step of the disk takes.
func (d *disk) pause() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Duration(d.rng.Int64N(int64(diskPause)))
}

// diskPause bounds the time that a commit takes before it is done, and again before that is known: room
// for the power to go.
const diskPause = 8 * time.Millisecond

// A slowStore is a store whose commits take time.
type slowStore struct {
	kv.Store
	disk *disk
}

// Update implements kv.Store.
func (s *slowStore) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Version, error) {
	time.Sleep(s.disk.pause())
	defer func() { time.Sleep(s.disk.pause()) }()
	return s.Store.Update(ctx, p, fn)
}

// crash leaves the disk as a loss of power does. A node that was using it goes on with the disk as it
// was, which nobody sees any more.
func (d *disk) crash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files = d.files.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: d.rng.IntN(101), RNG: d.rng})
}

// A mount is the blobs of a disk as one run of a node sees them: they do not change once it has ended.
type mount struct {
	blob.Store
	over atomic.Bool
}

// Put implements blob.Store.
func (m *mount) Put(ctx context.Context, name blob.Name, r io.Reader, size int64) error {
	if m.over.Load() {
		return errPower
	}
	return m.Store.Put(ctx, name, r, size)
}

// Delete implements blob.Store.
func (m *mount) Delete(ctx context.Context, name blob.Name) error {
	if m.over.Load() {
		return errPower
	}
	return m.Store.Delete(ctx, name)
}
