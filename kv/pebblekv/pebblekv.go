// Package pebblekv is the embedded [kv.Store]: one Pebble database in one directory.
//
// A commit is applied under a short lock of its partition, which is released before the log is
// synced. So a thousand deliveries share one sync, and one hot partition does not wait for the disk.
// Pebble shows a commit as soon as it is applied; partition keeps count of what is applied and what
// is durable, so that nobody is told of more than would survive a power cut. Because the log is
// sequential, whatever is durable has only durable commits before it.
//
// A failed sync ends the process (Config.Fatal): what the kernel did with the pages is unknown, and
// recovery is tested, half-known state is not. On a disk that runs full, Update answers kv.ErrFull
// before Pebble is touched (see space).
//
// Keys and values are described in docs/formats/kv.md.
//
// Lock order: partition.writing, Store.mu, partition.mu. No I/O happens under the last two.
package pebblekv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"posthaste/kv"
)

// A Config says where the store lies and how much it may use.
type Config struct {
	// Dir is the directory of the store. It is made if it is missing.
	Dir string
	// CacheBytes is the size of the cache of table blocks while the store is written to; 0 is 16 MiB.
	// What memtables leave free adds to it, and the page cache of the operating system does the rest.
	CacheBytes int64
	// Reserve is the free space, in bytes, below which the store takes no more bodies; 0 is 256 MiB.
	Reserve uint64
	// Log gets what an operator should know; nil is nowhere.
	Log *slog.Logger

	// The rest is for tests.

	// FS is the file system; nil is that of the operating system, with a kernel lock on Dir.
	FS vfs.FS
	// Free returns the free space on the disk, in bytes, and is asked before each Update; nil asks FS
	// now and then.
	Free func() (uint64, error)
	// Fatal is called when the state on disk is not known any more; nil logs and ends the process.
	// Where it returns, calls fail with kv.ErrUnknown.
	Fatal func(error)
}

const (
	defaultCacheBytes = 16 << 20
	defaultReserve    = 256 << 20
	maxIdlePartitions = 16 << 10 // partitions remembered though nobody uses them
)

// A Store is a Pebble database. See [kv.Store] for its methods.
type Store struct {
	db     *pebble.DB
	cache  *pebble.Cache
	lock   io.Closer
	log    *slog.Logger
	fatal  func(error)
	space  *space
	bodies bodyIDs
	order  arrivals

	deletes atomic.Int64 // of bodies, since the last flush for their sake
	reclaim *reclaimer

	mu         sync.Mutex // guards what follows
	partitions map[kv.Partition]*partition
	closed     bool
	running    sync.WaitGroup // calls that Close waits for
}

var _ kv.Store = (*Store)(nil)

// Open opens the store in cfg.Dir, after recovery if need be. It fails when another process has it.
func Open(cfg Config) (*Store, error) {
	cfg = withDefaults(cfg)
	lock, err := lockDir(cfg)
	if err != nil {
		return nil, err
	}
	s := &Store{lock: lock, log: cfg.Log, fatal: cfg.Fatal, partitions: make(map[kv.Partition]*partition)}
	if err := s.open(cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("pebblekv: open %s: %w", cfg.Dir, err), lock.Close())
	}
	return s, nil
}

func withDefaults(cfg Config) Config {
	if cfg.CacheBytes == 0 {
		cfg.CacheBytes = defaultCacheBytes
	}
	if cfg.Reserve == 0 {
		cfg.Reserve = defaultReserve
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Fatal == nil {
		log := cfg.Log
		cfg.Fatal = func(err error) {
			log.Error("the store cannot go on; the process ends, and recovers when it is started again", "err", err)
			os.Exit(1)
		}
	}
	return cfg
}

func (s *Store) open(cfg Config) error {
	fs := cfg.FS
	if fs == nil {
		fs = vfs.Default
	}
	if err := fs.MkdirAll(cfg.Dir, 0o700); err != nil {
		return err
	}
	s.space = newSpace(cfg, fs)
	s.order.ids = &s.bodies
	s.cache = pebble.NewCache(cfg.CacheBytes + reservedMemTables*memTableBytes)
	db, err := pebble.Open(cfg.Dir, options(cfg, vfs.OnDiskFull(fs, s.space.dropBallast), s.cache, s.order.split))
	if err != nil {
		s.cache.Unref()
		return err
	}
	s.db = db
	if err := s.prepare(); err != nil {
		return errors.Join(err, s.release())
	}
	s.reclaim = startReclaimer(db, func(err error) {
		s.log.Warn("the space of deleted mail was not taken back", "err", err)
	})
	return nil
}

// prepare checks the format, which a new store gets, and readies the IDs of bodies.
func (s *Store) prepare() error {
	if err := checkFormat(s.db); err != nil {
		return err
	}
	return s.bodies.open(s.db)
}

func (s *Store) release() error {
	err := s.db.Close()
	s.cache.Unref()
	return err
}

// Close implements [kv.Store].
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.running.Wait()
	s.reclaim.stop()
	return errors.Join(s.release(), s.lock.Close())
}

// admit admits one call to the open store; s.running.Done ends it.
func (s *Store) admit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.admitLocked()
}

func (s *Store) admitLocked() error {
	if s.closed {
		return kv.ErrClosed
	}
	s.running.Add(1)
	return nil
}

// enter admits a call on partition name; leave ends it.
func (s *Store) enter(ctx context.Context, name kv.Partition) (*partition, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := name.Check(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admitLocked(); err != nil {
		return nil, err
	}
	return s.hold(name), nil
}

func (s *Store) leave(p *partition) {
	s.mu.Lock()
	s.drop(p)
	s.mu.Unlock()
	s.running.Done()
}

// hold returns the one partition in memory of that name. The caller has s.mu.
func (s *Store) hold(name kv.Partition) *partition {
	p := s.partitions[name]
	if p == nil {
		p = newPartition(name)
		s.partitions[name] = p
	}
	p.users++
	return p
}

// drop ends what hold began. The caller has s.mu. Whoever commits holds p until the commit is
// durable, so that what is forgotten has nothing under way.
func (s *Store) drop(p *partition) {
	p.users--
	if p.users == 0 && len(s.partitions) > maxIdlePartitions {
		delete(s.partitions, p.name)
	}
}

// Watch implements [kv.Store].
func (s *Store) Watch(name kv.Partition, f func(kv.Version)) (cancel func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.hold(name)
	stop := p.watchers.Add(f)
	return sync.OnceFunc(func() {
		stop()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.drop(p)
	})
}

// NewBodyID implements [kv.Store].
func (s *Store) NewBodyID() kv.BodyID {
	id, err := s.bodies.next(s.db)
	if err != nil {
		s.fatal(fmt.Errorf("pebblekv: reserve IDs of bodies: %w", err))
	}
	return id
}
