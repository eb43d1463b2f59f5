package pebblekv

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"posthaste/kv"
)

// The reserve has three parts. Above all of it everything goes. In its first half, transactions
// without bodies and of at most smallTxn bytes go on: flags, and whatever else lets people clear up.
// Down to its last eighth, transactions that only delete go on. The rest is for Pebble: memtables to
// be flushed and room to compact what was deleted.
//
// Should another program fill the disk meanwhile, a ballast file is removed to keep Pebble going,
// and made again when there is room.
const (
	smallShare    = 2
	deleteShare   = 8
	smallTxn      = 64 << 10
	ballastBytes  = 32 << 20
	ballastFile   = "ballast"
	checkInterval = 100 * time.Millisecond
	checkBytes    = 1 << 20 // written since the last look at the disk
)

// A weight is what decides whether a transaction may still go in.
type weight struct {
	bodies bool
	puts   bool
	bytes  int
}

type space struct {
	fs      vfs.FS
	path    string
	free    func() (uint64, error)
	reserve uint64
	log     *slog.Logger

	mu      sync.Mutex // guards what follows
	looked  time.Time
	written int // bytes since
	left    uint64
	full    bool // told the operator
	ballast bool

	interval time.Duration // for which an answer of free counts; 0 asks each time
}

func newSpace(cfg Config, fs vfs.FS) *space {
	s := &space{fs: fs, path: fs.PathJoin(cfg.Dir, ballastFile), free: cfg.Free, reserve: cfg.Reserve, log: cfg.Log}
	if s.free == nil {
		s.interval = checkInterval
		s.free = func() (uint64, error) {
			usage, err := fs.GetDiskUsage(cfg.Dir)
			return usage.AvailBytes, err
		}
	}
	return s
}

// admit returns kv.ErrFull when there is no room for a transaction of weight w.
func (s *space) admit(w weight) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look(w.bytes)
	need := s.reserve / deleteShare
	switch {
	case w.bodies || w.bytes > smallTxn:
		need = s.reserve
	case w.puts:
		need = s.reserve / smallShare
	}
	if s.left >= need {
		return nil
	}
	return fmt.Errorf("%w: %d MiB free, %d MiB are kept in reserve for this", kv.ErrFull, s.left>>20, need>>20)
}

// look asks the disk how much is left, unless it did so a moment ago.
func (s *space) look(bytes int) {
	s.written += bytes
	if s.written < checkBytes && time.Since(s.looked) < s.interval {
		return
	}
	left, err := s.free()
	if err != nil {
		left = ^uint64(0) // a file system that cannot tell
	}
	s.left, s.looked, s.written = left, time.Now(), 0
	if full := left < s.reserve; full != s.full {
		s.full = full
		s.tell()
	}
	if !s.ballast && left >= s.reserve+ballastBytes {
		s.makeBallast()
	}
}

func (s *space) tell() {
	if s.full {
		s.log.Error("the disk is nearly full: no new mail is taken until there is space", "free", s.left, "reserve", s.reserve)
		return
	}
	s.log.Info("there is space on the disk again", "free", s.left, "reserve", s.reserve)
}

func (s *space) makeBallast() {
	s.ballast = true
	f, err := s.fs.Create(s.path, vfs.WriteCategoryUnspecified)
	if err == nil {
		err = f.Preallocate(0, ballastBytes)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		s.log.Warn("no ballast file for a full disk", "err", err)
	}
}

// dropBallast gives Pebble, which has just failed to write, some room to go on.
func (s *space) dropBallast() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looked = time.Time{}
	if !s.ballast {
		return
	}
	s.ballast = false
	if err := s.fs.Remove(s.path); err != nil {
		s.log.Error("the disk is full and the ballast cannot be removed", "err", err)
		return
	}
	s.log.Error("the disk is full: ballast removed", "bytes", ballastBytes)
}
