package directory

import (
	"sync"
	"sync/atomic"

	"posthaste/kv"
	"posthaste/mail"
)

// Bounds of what is remembered. An answer takes a few hundred bytes.
const (
	maxAnswers = 1 << 15
	maxDomains = 1 << 12
)

// A cache remembers answers of Resolve.
//
// Each partition has a generation, which grows after every commit to it: by Watch for the commits
// of others, by Directory.update for our own. An answer carries the generations, taken before the
// partitions were read, of all partitions it came from; it holds while none has grown.
type cache struct {
	buckets [buckets]atomic.Uint64 // generations of address/<bucket>
	cancels []func()
	watch   func(kv.Partition, func(kv.Version)) (cancel func())

	mu      sync.RWMutex // guards what follows
	answers map[mail.Address]*answer
	domains map[string]*domainWatch
}

// unwatched is the bit of a generation that no Watch raises any more: nothing that comes from there
// may be remembered.
const unwatched = 1 << 63

// A domainWatch is the generation of one domain/<name>.
type domainWatch struct {
	generation atomic.Uint64
	cancel     func()
}

// An answer is a Target and what it depends on.
type answer struct {
	target Target
	from   sources
}

// maxSources is the most partitions that one answer comes from: the domain, the exact address, the
// address without detail, the catch-all.
const maxSources = 4

type sources struct {
	n    int
	gens [maxSources]*atomic.Uint64
	at   [maxSources]uint64
}

// add notes a generation. It must come before the partition is read.
func (s *sources) add(generation *atomic.Uint64) {
	s.gens[s.n], s.at[s.n] = generation, generation.Load()
	s.n++
}

func (s *sources) hold() bool {
	for i := range s.n {
		if s.at[i]&unwatched != 0 || s.gens[i].Load() != s.at[i] {
			return false
		}
	}
	return true
}

func (c *cache) open(store kv.Store) {
	c.watch = store.Watch
	c.answers = make(map[mail.Address]*answer)
	c.domains = make(map[string]*domainWatch)
	for i := range c.buckets {
		generation := &c.buckets[i]
		c.cancels = append(c.cancels, store.Watch(bucketPartition(i), func(kv.Version) { generation.Add(1) }))
	}
}

func (c *cache) close() {
	for _, cancel := range c.cancels {
		cancel()
	}
	c.mu.Lock()
	domains := c.domains
	c.domains = make(map[string]*domainWatch)
	c.mu.Unlock()
	for _, w := range domains {
		w.cancel()
	}
}

// get returns the remembered target of a, as the client wrote it. It is not to be changed.
func (c *cache) get(a mail.Address) (*Target, bool) {
	c.mu.RLock()
	got := c.answers[a]
	c.mu.RUnlock()
	if got == nil || !got.from.hold() {
		return nil, false
	}
	return &got.target, true
}

// put remembers target, in the place of any other when there is no room.
func (c *cache) put(a mail.Address, target Target, from sources) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.answers) >= maxAnswers {
		for victim := range c.answers {
			delete(c.answers, victim)
			break
		}
	}
	c.answers[a] = &answer{target, from}
}

// domain returns the generation of a domain's partition and watches it from now on. When there is
// no room another domain is no longer watched; its answers fall, since they cannot be trusted.
func (c *cache) domain(name string) *atomic.Uint64 {
	c.mu.RLock()
	w := c.domains[name]
	c.mu.RUnlock()
	if w != nil {
		return &w.generation
	}
	made := new(domainWatch)
	made.cancel = c.watch(domainPartition(name), func(kv.Version) { made.generation.Add(1) })
	w, unused := c.keep(name, made)
	if unused != nil {
		unused.generation.Or(unwatched)
		unused.cancel()
	}
	return &w.generation
}

// keep returns the watch of name to use, and one to cancel: made itself when another was faster,
// or one that had to make room.
func (c *cache) keep(name string, made *domainWatch) (w, unused *domainWatch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.domains[name]; w != nil {
		return w, made
	}
	if len(c.domains) >= maxDomains {
		for victim, w := range c.domains {
			delete(c.domains, victim)
			unused = w
			break
		}
	}
	c.domains[name] = made
	return made, unused
}
