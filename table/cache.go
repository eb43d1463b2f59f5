package table

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// A server is a table that something outside of this process answers for.
type server interface {
	Table
	Close() error
}

// entryOverhead is what an entry costs beside its key and value, about.
const entryOverhead = 160

// A cache asks a server and remembers its answers. Those who ask for one key at the same time share
// one query. A query has a deadline, its own and not that of who asks first, and at most so many run
// at a time.
type cache struct {
	server server
	d      Definition
	log    *slog.Logger
	turns  chan struct{}
	ctx    context.Context // of queries; ends with Close
	cancel context.CancelFunc

	mu      sync.Mutex // guards what follows
	closed  bool
	bytes   int64
	byKey   map[string]*list.Element
	recent  list.List // of *remembered, most recently used first
	flights map[string]*flight
	flying  sync.WaitGroup
	failing bool // the last query failed
}

type remembered struct {
	key     string
	answer  answer
	expires time.Time
	stale   time.Time // when it may not even serve while the server fails
}

func (r *remembered) bytes() int64 {
	return int64(len(r.key) + len(r.answer.value) + entryOverhead)
}

type answer struct {
	value string
	found bool
}

// A flight is a query under way.
type flight struct {
	done   chan struct{} // closed once answer and err are set
	answer answer
	err    error
}

func newCache(s server, d Definition, log *slog.Logger) *cache {
	d = d.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	return &cache{
		server: s, d: d, log: log, turns: make(chan struct{}, d.Parallel), ctx: ctx, cancel: cancel,
		byKey: make(map[string]*list.Element), flights: make(map[string]*flight),
	}
}

var errClosed = errors.New("the table is closed")

// Lookup implements [Table].
func (c *cache) Lookup(ctx context.Context, key string) (string, bool, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return "", false, errClosed
	}
	if a, ok := c.fresh(key, time.Now()); ok {
		c.mu.Unlock()
		return a.value, a.found, nil
	}
	f := c.flights[key]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		c.flights[key] = f
		c.flying.Go(func() { c.fly(key, f) })
	}
	c.mu.Unlock()
	select {
	case <-f.done:
		return f.answer.value, f.answer.found, f.err
	case <-ctx.Done():
		return "", false, ctx.Err()
	}
}

// fly asks the server, remembers and publishes its answer.
func (c *cache) fly(key string, f *flight) {
	a, err := c.ask(key)
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(f.done)
	delete(c.flights, key)
	c.noteHealth(err)
	f.answer, f.err = a, err
	if err == nil {
		c.remember(key, a, now)
	} else if old, ok := c.staleAnswer(key, now); ok {
		f.answer, f.err = old, nil
	}
}

// ask asks the server within the time that a lookup may take.
func (c *cache) ask(key string) (answer, error) {
	ctx, cancel := context.WithTimeout(c.ctx, c.d.Timeout)
	defer cancel()
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
	case <-ctx.Done():
		return answer{}, fmt.Errorf("%d lookups are under way, and none ended within %v", c.d.Parallel, c.d.Timeout)
	}
	value, found, err := c.server.Lookup(ctx, key)
	if err != nil && ctx.Err() != nil && c.ctx.Err() == nil {
		err = fmt.Errorf("no answer within %v: %w", c.d.Timeout, err)
	}
	return answer{value, found}, err
}

// noteHealth logs when the server begins to fail and when it works again. It holds c.mu; the log
// writes to memory or standard error.
func (c *cache) noteHealth(err error) {
	if failing := err != nil; failing != c.failing && !c.closed {
		c.failing = failing
		if failing {
			c.log.Error("a table fails, lookups are answered as temporary errors", "table", c.d.Type+":"+c.d.Name, "error", err)
		} else {
			c.log.Info("a table works again", "table", c.d.Type+":"+c.d.Name)
		}
	}
}

// fresh returns what is remembered of key and still counts at now. The caller holds c.mu, as for the
// methods that follow.
func (c *cache) fresh(key string, now time.Time) (answer, bool) {
	el := c.byKey[key]
	if el == nil {
		return answer{}, false
	}
	r := el.Value.(*remembered)
	if !now.Before(r.expires) {
		if !now.Before(r.stale) {
			c.drop(el)
		}
		return answer{}, false
	}
	c.recent.MoveToFront(el)
	return r.answer, true
}

// staleAnswer returns the value of key that may serve at now because the server fails.
func (c *cache) staleAnswer(key string, now time.Time) (answer, bool) {
	el := c.byKey[key]
	if el == nil {
		return answer{}, false
	}
	r := el.Value.(*remembered)
	return r.answer, now.Before(r.stale)
}

func (c *cache) remember(key string, a answer, now time.Time) {
	if el := c.byKey[key]; el != nil {
		c.drop(el)
	}
	r := &remembered{key: key, answer: a}
	if a.found {
		r.expires = now.Add(c.d.TTL)
		r.stale = r.expires.Add(c.d.StaleTTL)
	} else {
		r.expires = now.Add(c.d.NegativeTTL)
		r.stale = r.expires
	}
	if !now.Before(r.stale) || r.bytes() > c.d.CacheBytes {
		return
	}
	c.byKey[key] = c.recent.PushFront(r)
	for c.bytes += r.bytes(); c.bytes > c.d.CacheBytes; {
		c.drop(c.recent.Back())
	}
}

func (c *cache) drop(el *list.Element) {
	r := c.recent.Remove(el).(*remembered)
	c.bytes -= r.bytes()
	delete(c.byKey, r.key)
}

// checkKey is looked up to see whether a table works at all. RFC 2606 reserves its domain.
const checkKey = "posthaste-check@table.invalid"

// check asks the server, whatever is remembered.
func (c *cache) check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := c.ask(checkKey)
	return err
}

// Close cuts queries short and gives up the connections.
func (c *cache) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.flying.Wait()
	return c.server.Close()
}
