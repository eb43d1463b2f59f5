package pebblekv

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"posthaste/kv"
)

func TestFullDisk(t *testing.T) {
	const reserve = 100 << 20
	body, small, remove := 0, 1, 2
	for _, test := range []struct {
		claim string
		free  uint64
		goes  [3]bool // body, small, remove
	}{
		{"everything goes while the reserve is free", reserve, [3]bool{true, true, true}},
		{"bodies stop at the reserve", reserve - 1, [3]bool{false, true, true}},
		{"small writes go on in the first half of it", reserve / smallShare, [3]bool{false, true, true}},
		{"small writes stop at the half", reserve/smallShare - 1, [3]bool{false, false, true}},
		{"deletions go on into the last eighth", reserve / deleteShare, [3]bool{false, false, true}},
		{"nothing goes when the last eighth is reached", reserve/deleteShare - 1, [3]bool{false, false, false}},
	} {
		t.Run(test.claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, setFree := openLimited(t, reserve)
				defer s.Close()
				mustUpdate(t, s, func(tx kv.Txn) { tx.Put([]byte("k"), nil) })
				setFree(test.free)
				writes := map[int]func(kv.Txn){
					body:   func(tx kv.Txn) { tx.PutBody(s.NewBodyID(), []byte("x")) },
					small:  func(tx kv.Txn) { tx.Put([]byte("k"), []byte("flag")) },
					remove: func(tx kv.Txn) { tx.Delete([]byte("k")); tx.DeleteBody(1) },
				}
				for kind, write := range writes {
					_, err := s.Update(t.Context(), "p", func(tx kv.Txn) error { write(tx); return nil })
					if goes := err == nil; goes != test.goes[kind] || !goes && !errors.Is(err, kv.ErrFull) {
						t.Errorf("kind %d: %v; want success %t, or ErrFull", kind, err, test.goes[kind])
					}
				}
				setFree(reserve)
				mustUpdate(t, s, writes[body])
			})
		})
	}
}

func openLimited(t *testing.T, reserve uint64) (s *Store, setFree func(uint64)) {
	var free atomic.Uint64
	free.Store(reserve)
	s, err := Open(Config{
		Dir: "store", FS: vfs.NewMem(), Reserve: reserve,
		Free: func() (uint64, error) { return free.Load(), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, func(n uint64) {
		free.Store(n)
		time.Sleep(2 * checkInterval) // of the bubble
	}
}

// TestDiskThatFillsUpWhileWriting plays a disk that another program filled after we looked: Pebble's
// write fails once, the ballast is removed, and nothing is lost.
func TestDiskThatFillsUpWhileWriting(t *testing.T) {
	mem := vfs.NewMem()
	var full atomic.Bool
	full.Store(false)
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWrite && full.Load() {
			if _, err := mem.Stat("store/" + ballastFile); err == nil {
				return syscall.ENOSPC
			}
		}
		return nil
	}))
	s, err := Open(Config{Dir: "store", FS: fs, Fatal: func(err error) { t.Errorf("fatal: %v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mustUpdate(t, s, func(tx kv.Txn) { tx.Put([]byte("before"), nil) })
	full.Store(true)
	mustUpdate(t, s, func(tx kv.Txn) { tx.Put([]byte("while"), nil) })
	if _, err := mem.Stat("store/" + ballastFile); err == nil {
		t.Error("the ballast is still there")
	}
}

func TestFailedSyncIsFatal(t *testing.T) {
	var broken atomic.Bool
	broken.Store(false)
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		isSync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
		if isSync && broken.Load() && strings.HasSuffix(op.Path, ".log") {
			return errors.New("injected I/O error")
		}
		return nil
	}))
	var fatal atomic.Int32
	s, err := Open(Config{Dir: "store", FS: fs, Fatal: func(error) { fatal.Add(1) }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	_, err = s.Update(t.Context(), "p", func(tx kv.Txn) error { tx.Put([]byte("k"), nil); return nil })
	if !errors.Is(err, kv.ErrUnknown) || fatal.Load() == 0 {
		t.Errorf("Update: %v, %d fatal calls; want ErrUnknown and at least one", err, fatal.Load())
	}
	err = s.View(t.Context(), "p", func(kv.Reader) error { return nil })
	if !errors.Is(err, kv.ErrUnknown) {
		t.Errorf("View of what was not synced: %v, want ErrUnknown", err)
	}
}

func TestDirectoryHasOneProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "store")
	s, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(Config{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "in use by process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("second Open: %v; want the process named", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = Open(Config{Dir: dir})
	if err != nil {
		t.Fatalf("after Close: %v", err)
	}
	mustUpdate(t, s, func(tx kv.Txn) { tx.Put([]byte("k"), nil) })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestUnknownFormatIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	s, err := Open(Config{Dir: "store", FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.db.Set(formatKey, []byte("posthaste kv 2"), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: "store", FS: fs}); err == nil || !strings.Contains(err.Error(), "posthaste kv 2") {
		t.Errorf("Open: %v; want the format named", err)
	}
}
