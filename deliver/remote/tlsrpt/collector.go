package tlsrpt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"posthaste/dns"
	"posthaste/kv"
	"posthaste/mail"
)

// Bounds of a Collector.
const (
	flushEvery  = time.Minute
	sendEvery   = 15 * time.Minute
	maxWaiting  = 20_000             // domains in memory between two flushes; more are not counted
	batchSize   = 500                // domains in one commit
	spread      = 4 * time.Hour      // over which reports leave after the end of the day (RFC 8460 section 4.1)
	claim       = time.Hour          // for which a node that began to send a report is left to it
	keepUnsent  = 3 * 24 * time.Hour // after which a report that could not be sent is dropped
	postTimeout = time.Minute        // of HTTPS
	dayLayout   = "2006-01-02"
)

// A Resolver is the part of *dns.Resolver that finds who wants reports.
type Resolver interface {
	TXT(ctx context.Context, name string) (dns.Answer[string], error)
}

// A Queue takes the mail that reports travel in: *queue.Queue.
type Queue interface {
	NewID() mail.QueueID
	Put(ctx context.Context, env mail.Envelope, content mail.Content) (mail.QueueID, error)
}

// Config is what a Collector needs. Without From nothing is counted and nothing sent.
type Config struct {
	From         mail.Address // of report mail, in header and envelope
	Contact      string       // in reports. Default: From
	Organization string       // in reports. Default: the domain of From
	Hostname     string       // our name in Message-ID
	Store        kv.Store
	Queue        Queue
	Resolver     Resolver
	Client       *http.Client // of HTTPS reports. Default: with the system's roots
	Log          *slog.Logger
}

// A Collector counts sessions and sends reports. It is safe for concurrent use.
type Collector struct {
	cfg Config

	mu      sync.Mutex // guards waiting
	waiting map[slot]*sums
}

// A slot is a domain on a day, "2026-11-22".
type slot struct{ day, domain string }

// New returns a Collector. It counts from now on; Run keeps the sums and sends reports.
func New(cfg Config) *Collector {
	if cfg.Contact == "" {
		cfg.Contact = cfg.From.String()
	}
	if cfg.Organization == "" {
		cfg.Organization = cfg.From.Domain
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{Timeout: postTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Collector{cfg: cfg, waiting: make(map[slot]*sums)}
}

// Record counts a session on the present UTC day.
func (c *Collector) Record(s Session) {
	if c.cfg.From.IsZero() || s.Policy.Domain == "" {
		return
	}
	at := slot{time.Now().UTC().Format(dayLayout), s.Policy.Domain}
	c.mu.Lock()
	defer c.mu.Unlock()
	have := c.waiting[at]
	if have == nil {
		if len(c.waiting) >= maxWaiting {
			return
		}
		have = new(sums)
		c.waiting[at] = have
	}
	have.add(s)
}

// Run writes sums and sends reports until ctx ends, then writes once more.
func (c *Collector) Run(ctx context.Context) error {
	flush, send := time.NewTicker(flushEvery), time.NewTicker(sendEvery)
	defer flush.Stop()
	defer send.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return c.flush(context.WithoutCancel(ctx))
		case <-flush.C:
			err = c.flush(ctx)
		case <-send.C:
			err = c.send(ctx, time.Now().UTC())
		}
		if err != nil && ctx.Err() == nil {
			c.cfg.Log.Warn("TLS report failed", "reason", err)
		}
	}
}

// flush moves what was counted into the store. What a failed commit held is counted again with the next.
func (c *Collector) flush(ctx context.Context) error {
	c.mu.Lock()
	waiting := c.waiting
	c.waiting = make(map[slot]*sums)
	c.mu.Unlock()
	days := make(map[string][]slot)
	for at := range waiting {
		days[at.day] = append(days[at.day], at)
	}
	var problem error
	for day, slots := range days {
		for len(slots) > 0 {
			some := slots[:min(len(slots), batchSize)]
			slots = slots[len(some):]
			if err := c.keep(ctx, day, some, waiting); err != nil {
				problem = err
				c.restore(some, waiting)
			}
		}
	}
	return problem
}

func (c *Collector) restore(slots []slot, from map[slot]*sums) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range slots {
		if newer := c.waiting[at]; newer != nil {
			from[at].merge(*newer)
		}
		c.waiting[at] = from[at]
	}
}

func partition(day string) kv.Partition { return kv.Partition("tlsrpt/out/" + day) }

func sumsKey(domain string) []byte { return []byte("d/" + domain) }

// keep adds the sums of some domains to those of the day in one commit.
func (c *Collector) keep(ctx context.Context, day string, slots []slot, from map[slot]*sums) error {
	_, err := c.cfg.Store.Update(ctx, partition(day), func(tx kv.Txn) error {
		for _, at := range slots {
			r, err := readRow(tx, at.domain)
			if err != nil && !errors.Is(err, kv.ErrNotFound) {
				return err
			}
			r.Policies.merge(*from[at])
			if err := r.write(tx, at.domain); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("tlsrpt: keep the sums of %s: %w", day, err)
	}
	return nil
}

// A row is what the store holds of a domain and day.
type row struct {
	Policies sums      `json:"policies,omitempty"`
	Claimed  time.Time `json:"claimed,omitzero"` // when a node last began to send it
	Done     bool      `json:"done,omitempty"`   // sent, or not wanted
}

func readRow(r kv.Reader, domain string) (row, error) {
	var have row
	value, err := r.Get(sumsKey(domain))
	if err == nil {
		err = json.Unmarshal(value, &have)
	}
	return have, err
}

func (r row) write(tx kv.Txn, domain string) error {
	value, err := json.Marshal(r)
	if err == nil {
		tx.Put(sumsKey(domain), value)
	}
	return err
}
