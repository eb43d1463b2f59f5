package pebblekv

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"posthaste/kv"
	"posthaste/kv/kvtest"
)

// A machine is a disk in memory that forgets what was not synced.
type machine struct {
	mem   *vfs.MemFS
	gate  *gate
	store *Store
}

func newMachine(t *testing.T) kvtest.Machine {
	m := &machine{mem: vfs.NewCrashableMem(), gate: newGate()}
	t.Cleanup(m.stop)
	return m
}

func (m *machine) stop() {
	if m.store != nil {
		m.store.Close()
	}
}

func (m *machine) Start(t *testing.T) kv.Store {
	t.Helper()
	m.stop()
	store, err := Open(Config{
		Dir:   "store",
		FS:    &gateFS{m.mem, m.gate},
		Fatal: func(err error) { t.Errorf("fatal: %v", err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	m.store = store
	return store
}

func (m *machine) Crash(_ *testing.T, seed uint64) {
	cfg := vfs.CrashCloneCfg{}
	if seed != 0 {
		rng := rand.New(rand.NewPCG(seed, 1))
		cfg = vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng}
	}
	m.mem = m.mem.CrashClone(cfg)
}

func (m *machine) HoldSyncs() (release func()) { return m.gate.hold() }

// A gate lets syncs pass, or holds them.
type gate struct {
	mu     sync.Mutex
	opened *sync.Cond
	held   bool
}

func newGate() *gate {
	g := new(gate)
	g.opened = sync.NewCond(&g.mu)
	return g
}

func (g *gate) hold() (release func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = true
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.held = false
		g.opened.Broadcast()
	}
}

func (g *gate) pass() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.held {
		g.opened.Wait()
	}
}

// A gateFS is a file system whose syncs pass a gate.
type gateFS struct {
	vfs.FS
	gate *gate
}

func (fs *gateFS) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &gateFile{f, fs.gate}, nil
}

func (fs *gateFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.wrap(fs.FS.Create(name, c))
}

func (fs *gateFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return fs.wrap(fs.FS.OpenReadWrite(name, c, opts...))
}

func (fs *gateFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.wrap(fs.FS.ReuseForWrite(old, name, c))
}

type gateFile struct {
	vfs.File
	gate *gate
}

func (f *gateFile) Sync() error     { f.gate.pass(); return f.File.Sync() }
func (f *gateFile) SyncData() error { f.gate.pass(); return f.File.SyncData() }
func (f *gateFile) SyncTo(n int64) (bool, error) {
	f.gate.pass()
	return f.File.SyncTo(n)
}

func TestContract(t *testing.T) {
	kvtest.Run(t, kvtest.Config{New: newMachine})
}

// A dirMachine is a directory of the operating system, which no test can make forget anything: its
// crashes are stops.
type dirMachine struct {
	dir   string
	store *Store
}

func (m *dirMachine) Start(t *testing.T) kv.Store {
	t.Helper()
	m.stop()
	store, err := Open(Config{Dir: m.dir})
	if err != nil {
		t.Fatal(err)
	}
	m.store = store
	return store
}

func (m *dirMachine) stop() {
	if m.store != nil {
		m.store.Close()
	}
}

func (m *dirMachine) Crash(*testing.T, uint64) {}

func TestContractOnDisk(t *testing.T) {
	kvtest.Run(t, kvtest.Config{
		New: func(t *testing.T) kvtest.Machine {
			m := &dirMachine{dir: t.TempDir()}
			t.Cleanup(m.stop)
			return m
		},
		RealTime: true,
		Rounds:   3,
	})
}
