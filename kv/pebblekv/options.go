package pebblekv

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Sizes that shape the tree. Tables of bodies never overlap (see arrivals) and sink to the bottom by
// a change of name; only tables of keys are ever merged. Large memtables and tables keep both few.
const (
	// baseTableBytes is the size of tables that are merged into the first level. Pebble adds what
	// lies beside a merge to it, which for bodies would undo everything, up to 25 times this size:
	// less than the bodies of one memtable.
	baseTableBytes = memTableBytes / 32
	maxTableBytes  = 32 << 20
	memTableBytes  = 32 << 20
	memTables      = 4 // before writers must wait for a flush
	// reservedMemTables is how many memtables there are most of the time. Pebble takes their memory
	// from the cache.
	reservedMemTables = 2
	blockBytes        = 4 << 10 // about a body: a larger one reads what belongs to others
	indexBlockBytes   = 256 << 10
	baseLevelBytes    = 64 << 20
	bloomBits         = 10
	compactions       = 2 // at the same time
)

// majorVersion is Pebble's format. A newer one is a change of the stored format: an operator may not
// be able to go back.
const majorVersion = pebble.FormatTableFormatV6

func options(cfg Config, fs vfs.FS, cache *pebble.Cache, split pebble.SpanPolicyFunc) *pebble.Options {
	o := &pebble.Options{
		FS:                          fs,
		Cache:                       cache,
		FormatMajorVersion:          majorVersion,
		Logger:                      logger{cfg.Log, cfg.Fatal},
		MemTableSize:                memTableBytes,
		MemTableStopWritesThreshold: memTables,
		L0CompactionThreshold:       2,
		L0StopWritesThreshold:       40,
		LBaseMaxBytes:               baseLevelBytes,
		CompactionConcurrencyRange:  func() (lower, upper int) { return 1, compactions },
	}
	o.TargetFileSizes[0] = memTableBytes
	for i := range o.TargetFileSizes[1:] {
		o.TargetFileSizes[1+i] = int64(min(baseTableBytes<<i, maxTableBytes))
	}
	for i := range o.Levels {
		o.Levels[i] = pebble.LevelOptions{
			BlockSize:      blockBytes,
			IndexBlockSize: indexBlockBytes,
			FilterPolicy:   bloom.FilterPolicy(bloomBits),
			Compression:    func() *sstable.CompressionProfile { return sstable.NoCompression },
		}
	}
	o.Experimental.SpanPolicyFunc = split
	if cfg.FS != nil { // a simulation: ten wake-ups a second would be most of its days
		o.Experimental.CompactionScheduler = pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest()
	}
	return o
}

// A logger passes on what matters of what Pebble says.
type logger struct {
	log   *slog.Logger
	fatal func(error)
}

func (l logger) Infof(format string, args ...any) {}

func (l logger) Errorf(format string, args ...any) {
	l.log.Warn("pebble", "said", strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// Fatalf must not return for Pebble's sake; a Fatal that does is one of a test.
func (l logger) Fatalf(format string, args ...any) {
	l.fatal(fmt.Errorf("pebblekv: "+format, args...))
}
