package dns

import (
	"container/list"
	"sync"
	"time"
)

// Default bounds of the cache.
const (
	defaultCacheEntries = 20_000
	defaultCacheBytes   = 16 << 20
	entryOverhead       = 256 // bytes that an entry costs beside its names and records, about
	recordOverhead      = 48
)

// A cache keeps what is known until it expires, dropping the least recently used past its bounds.
type cache[K comparable, V any] struct {
	maxEntries, maxBytes int

	mu     sync.Mutex // guards what follows
	bytes  int
	byKey  map[K]*list.Element
	recent list.List // of *entry[K, V], most recently used first
}

type entry[K comparable, V any] struct {
	key     K
	value   V
	expires time.Time
	bytes   int
}

// newCache returns a cache with these bounds, or the default ones for those that are not positive.
func newCache[K comparable, V any](maxEntries, maxBytes int) *cache[K, V] {
	if maxEntries <= 0 {
		maxEntries = defaultCacheEntries
	}
	if maxBytes <= 0 {
		maxBytes = defaultCacheBytes
	}
	return &cache[K, V]{maxEntries: maxEntries, maxBytes: maxBytes, byKey: make(map[K]*list.Element)}
}

// get returns what is known of key and still true at now.
func (c *cache[K, V]) get(key K, now time.Time) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el := c.byKey[key]
	if el == nil {
		return value, false
	}
	e := el.Value.(*entry[K, V])
	if !now.Before(e.expires) {
		c.drop(el)
		return value, false
	}
	c.recent.MoveToFront(el)
	return e.value, true
}

// put keeps value, which costs so many bytes, unless it has expired or is larger than the cache.
func (c *cache[K, V]) put(key K, value V, bytes int, expires, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el := c.byKey[key]; el != nil {
		c.drop(el)
	}
	if !now.Before(expires) || bytes > c.maxBytes {
		return
	}
	c.byKey[key] = c.recent.PushFront(&entry[K, V]{key, value, expires, bytes})
	c.bytes += bytes
	for len(c.byKey) > c.maxEntries || c.bytes > c.maxBytes {
		c.drop(c.recent.Back())
	}
}

func (c *cache[K, V]) drop(el *list.Element) {
	e := c.recent.Remove(el).(*entry[K, V])
	delete(c.byKey, e.key)
	c.bytes -= e.bytes
}

func cost(q question, res result) int {
	n := entryOverhead + len(q.name) + len(res.name)
	for _, rec := range res.records {
		n += recordOverhead + len(rec.text) + len(rec.tlsa.Data)
	}
	return n
}
