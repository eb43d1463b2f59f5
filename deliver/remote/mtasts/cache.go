package mtasts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"posthaste/dns"
	"posthaste/kv"

	"golang.org/x/sync/singleflight"
)

// Bounds of a Cache.
const (
	buckets       = 16               // partitions
	memory        = 10_000           // domains remembered in memory
	recheck       = 10 * time.Minute // after which the TXT record is looked at again
	retryFailed   = 5 * time.Minute  // after which a policy that could not be fetched is tried again (RFC 8461 section 3.3)
	refreshEvery  = time.Hour        // how often policies are looked over
	refreshAhead  = 24 * time.Hour   // before its end, or at half of its time, a policy is fetched anew
	maxBackground = 1000             // policies renewed in one round
)

// A Cache knows policies. It is safe for concurrent use.
type Cache struct {
	cfg     Config
	client  *http.Client
	flights singleflight.Group

	mu    sync.Mutex // guards known
	known map[string]remembered
}

// remembered is the latest Result for a domain and until when it needs no look at the DNS.
type remembered struct {
	result Result
	until  time.Time
}

// New returns a Cache.
func New(cfg Config) *Cache {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Cache{cfg: cfg, client: newClient(cfg), known: make(map[string]remembered)}
}

// Lookup returns what holds for domain, a name in A-label form. It may have to fetch the policy first,
// which takes at most half a minute, once for all who ask at the same time.
func (c *Cache) Lookup(ctx context.Context, domain string) Result {
	now := time.Now()
	if r, ok := c.remember(domain, now); ok {
		return r
	}
	ch := c.flights.DoChan(domain, func() (any, error) {
		// Those who wait share the work, so it does not end with the first of them.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*fetchTimeout)
		defer cancel()
		return c.look(ctx, domain, time.Now()), nil
	})
	select {
	case r := <-ch:
		return r.Val.(Result)
	case <-ctx.Done():
		return c.inForce(c.stored(context.WithoutCancel(ctx), domain), now, nil)
	}
}

func (c *Cache) remember(domain string, now time.Time) (Result, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.known[domain]
	if !ok || !now.Before(r.until) {
		return Result{}, false
	}
	if p := r.result.Policy; p != nil && !now.Before(p.Expires()) {
		return Result{}, false
	}
	// A failure is told once, to who caused the fetch: one fetch is one failure in reports.
	return Result{Policy: r.result.Policy}, true
}

// look asks the DNS, and the policy host where the DNS says that there is news.
func (c *Cache) look(ctx context.Context, domain string, now time.Time) Result {
	old := c.stored(ctx, domain)
	answer, err := c.cfg.Resolver.TXT(ctx, "_mta-sts."+domain)
	id, found := parseRecord(answer.Records)
	keep := recheck
	var result Result
	switch {
	case err != nil || !found:
		// No record is no reason to forget a policy (RFC 8461 section 5.1), nor is a failure of the DNS.
		result = c.inForce(old, now, nil)
		if err != nil && !errors.Is(err, dns.ErrNotFound) {
			keep = retryFailed
		}
	case old != nil && old.ID == id && now.Before(old.Expires()):
		result = c.inForce(old, now, nil)
	default:
		result = c.renew(ctx, domain, id, old, now)
		if result.Failure != nil {
			keep = retryFailed
		}
	}
	c.note(domain, result, now.Add(keep))
	return result
}

// renew fetches the policy and keeps it. Where that fails, old stays in force while it lasts.
func (c *Cache) renew(ctx context.Context, domain, id string, old *Policy, now time.Time) Result {
	p, failure := c.fetch(ctx, domain, id)
	if failure != nil {
		c.cfg.Log.Info("MTA-STS policy not fetched", "domain", domain, "reason", failure.Reason)
		return c.inForce(old, now, failure)
	}
	if err := c.store(ctx, p); err != nil {
		c.cfg.Log.Warn("MTA-STS policy not kept", "domain", domain, "reason", err)
	}
	return c.inForce(&p, now, nil)
}

// inForce drops a policy that has expired or says none.
func (c *Cache) inForce(p *Policy, now time.Time, failure *Failure) Result {
	if p == nil || !now.Before(p.Expires()) || p.Mode == None {
		p = nil
	}
	return Result{Policy: p, Failure: failure}
}

// note remembers a result. When there are too many, some are forgotten: they are in the store.
func (c *Cache) note(domain string, r Result, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for d := range c.known {
		if len(c.known) < memory {
			break
		}
		delete(c.known, d)
	}
	c.known[domain] = remembered{r, until}
}

// Run fetches policies anew before they expire, so that a domain we seldom write to keeps its protection
// (RFC 8461 section 5.1), until ctx ends.
func (c *Cache) Run(ctx context.Context) error {
	ticks := time.NewTicker(refreshEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
			if err := c.refresh(ctx, time.Now()); err != nil && ctx.Err() == nil {
				c.cfg.Log.Warn("MTA-STS policies not refreshed", "reason", err)
			}
		}
	}
}

// refresh looks over the stored policies: those that near their end are fetched, those past it dropped.
func (c *Cache) refresh(ctx context.Context, now time.Time) error {
	renewed := 0
	for bucket := range buckets {
		policies, err := c.list(ctx, partition(bucket))
		if err != nil {
			return err
		}
		for _, p := range policies {
			switch {
			case !now.Before(p.Expires()):
				if err := c.drop(ctx, p.Domain); err != nil {
					return err
				}
			case p.due(now) && renewed < maxBackground && ctx.Err() == nil:
				renewed++
				c.refreshOne(ctx, p, now)
			}
		}
	}
	return nil
}

func (c *Cache) refreshOne(ctx context.Context, p Policy, now time.Time) {
	id := p.ID
	if answer, err := c.cfg.Resolver.TXT(ctx, "_mta-sts."+p.Domain); err == nil {
		if fresh, found := parseRecord(answer.Records); found {
			id = fresh
		}
	} else if errors.Is(err, dns.ErrNotFound) {
		return // the domain lets its policy run out
	}
	c.note(p.Domain, c.renew(ctx, p.Domain, id, &p, now), now.Add(recheck))
}

// due tells whether p nears its end.
func (p Policy) due(now time.Time) bool {
	return now.After(p.Expires().Add(-min(refreshAhead, p.MaxAge/2)))
}

func partition(bucket int) kv.Partition { return kv.Partition(fmt.Sprintf("mtasts/%d", bucket)) }

func partitionOf(domain string) kv.Partition {
	h := fnv.New32a()
	h.Write([]byte(domain))
	return partition(int(h.Sum32() % buckets))
}

func policyKey(domain string) []byte { return []byte("p/" + domain) }

// stored returns what is kept of domain, nil when that is nothing or cannot be read.
func (c *Cache) stored(ctx context.Context, domain string) *Policy {
	var p *Policy
	err := c.cfg.Store.View(ctx, partitionOf(domain), func(r kv.Reader) error {
		value, err := r.Get(policyKey(domain))
		if err != nil {
			return err
		}
		p = new(Policy)
		return json.Unmarshal(value, p)
	})
	if err != nil {
		if !errors.Is(err, kv.ErrNotFound) {
			c.cfg.Log.Warn("MTA-STS policy not read", "domain", domain, "reason", err)
		}
		return nil
	}
	return p
}

func (c *Cache) store(ctx context.Context, p Policy) error {
	value, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = c.cfg.Store.Update(ctx, partitionOf(p.Domain), func(tx kv.Txn) error {
		tx.Put(policyKey(p.Domain), value)
		return nil
	})
	return err
}

func (c *Cache) drop(ctx context.Context, domain string) error {
	_, err := c.cfg.Store.Update(ctx, partitionOf(domain), func(tx kv.Txn) error {
		tx.Delete(policyKey(domain))
		return nil
	})
	return err
}

func (c *Cache) list(ctx context.Context, p kv.Partition) ([]Policy, error) {
	var all []Policy
	err := c.cfg.Store.View(ctx, p, func(r kv.Reader) error {
		all = all[:0]
		prefix := []byte("p/")
		seq, errf := r.Scan(prefix, kv.PrefixEnd(prefix), false)
		for _, value := range seq {
			var policy Policy
			if json.Unmarshal(value, &policy) == nil {
				all = append(all, policy)
			}
		}
		return errf()
	})
	return all, err
}
