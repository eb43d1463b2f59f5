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

// A cache keeps results until they expire, dropping the least recently used past its bounds.
type cache struct {
	maxEntries, maxBytes int

	mu     sync.Mutex // guards what follows
	bytes  int
	byKey  map[question]*list.Element
	recent list.List // of *entry, most recently used first
}

type entry struct {
	key   question
	res   result
	bytes int
}

func newCache(maxEntries, maxBytes int) *cache {
	if maxEntries <= 0 {
		maxEntries = defaultCacheEntries
	}
	if maxBytes <= 0 {
		maxBytes = defaultCacheBytes
	}
	return &cache{maxEntries: maxEntries, maxBytes: maxBytes, byKey: make(map[question]*list.Element)}
}

// get returns the result for q that is still true at now.
func (c *cache) get(q question, now time.Time) (result, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el := c.byKey[q]
	if el == nil {
		return result{}, false
	}
	e := el.Value.(*entry)
	if !now.Before(e.res.expires) {
		c.drop(el)
		return result{}, false
	}
	c.recent.MoveToFront(el)
	return e.res, true
}

// put keeps res for q, unless it has expired or is larger than the cache.
func (c *cache) put(q question, res result, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el := c.byKey[q]; el != nil {
		c.drop(el)
	}
	e := &entry{key: q, res: res, bytes: cost(q, res)}
	if !now.Before(res.expires) || e.bytes > c.maxBytes {
		return
	}
	c.byKey[q] = c.recent.PushFront(e)
	c.bytes += e.bytes
	for len(c.byKey) > c.maxEntries || c.bytes > c.maxBytes {
		c.drop(c.recent.Back())
	}
}

func (c *cache) drop(el *list.Element) {
	e := c.recent.Remove(el).(*entry)
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
