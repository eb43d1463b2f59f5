package pgkv

import (
	"sync"

	"posthaste/kv"
)

// A partition is what memory holds of a partition in use.
type partition struct {
	name  kv.Partition
	users int // guarded by Store.mu

	writing sync.Mutex // held by the one Update of this process that runs

	mu       sync.Mutex // guards what follows
	told     kv.Version // the highest that watchers were told of
	drops    int        // how often it was dropped here; versions before are void
	watchers kv.Watchers
}

// tell tells the watchers of version v, which is durable, unless they know of it.
func (p *partition) tell(v kv.Version) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tellLocked(v)
}

// tellUnless is tell, unless p was dropped since its drops were those given.
func (p *partition) tellUnless(drops int, v kv.Version) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drops == drops {
		p.tellLocked(v)
	}
}

func (p *partition) tellLocked(v kv.Version) {
	if v <= p.told {
		return
	}
	p.told = v
	p.watchers.Tell(v)
}

func (p *partition) watched() (drops int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.drops, p.watchers.Any()
}

// forget makes p as it was before any commit.
func (p *partition) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = 0
	p.drops++
}
