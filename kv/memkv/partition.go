package memkv

import (
	"bytes"
	"sync"

	"github.com/google/btree"

	"posthaste/kv"
)

// degree of the trees: nodes of up to 63 items.
const degree = 32

type item struct{ key, value []byte }

type body struct {
	id     kv.BodyID
	packed []byte
}

// A state is a partition at one moment. Whoever changes a tree clones it first.
type state struct {
	version kv.Version
	loading bool // a Load began and did not end
	keys    *btree.BTreeG[item]
	bodies  *btree.BTreeG[body]
}

func emptyState() state {
	return state{
		keys:   btree.NewG(degree, func(a, b item) bool { return bytes.Compare(a.key, b.key) < 0 }),
		bodies: btree.NewG(degree, func(a, b body) bool { return a.id < b.id }),
	}
}

type partition struct {
	writing sync.Mutex // held by the one Update that runs

	mu       sync.Mutex // guards what follows
	state    state
	written  bool // something was committed: the partition exists
	watchers kv.Watchers
}

// snapshot returns the present state in trees of its own, and whether the partition exists.
func (p *partition) snapshot() (state, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.state
	s.keys, s.bodies = s.keys.Clone(), s.bodies.Clone()
	return s, p.written
}

func (p *partition) set(s state) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state, p.written = s, true
}

func (p *partition) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state, p.written = emptyState(), false
}

// wake tells the watchers v. The caller holds p.writing, which keeps the versions in order.
func (p *partition) wake(v kv.Version) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watchers.Tell(v)
}
