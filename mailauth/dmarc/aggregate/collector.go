package aggregate

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"posthaste/kv"
	"posthaste/mail"
	"posthaste/mailauth/dmarc"
)

// Bounds of a Collector.
const (
	flushEvery = 5 * time.Second
	sendEvery  = 15 * time.Minute
	maxWaiting = 50_000             // rows in memory between two flushes; messages of more only count as omitted
	maxDomain  = 10_000             // rows of one domain and day
	batchSize  = 2000               // rows in one commit
	settle     = 10 * time.Minute   // after the end of a day, for what is not in the store yet
	spread     = 4 * time.Hour      // over which reports leave after that
	claim      = time.Hour          // for which a node that began to send a report is left to it
	keepUnsent = 3 * 24 * time.Hour // after which a report that could not be sent is dropped
	dayLayout  = "2006-01-02"
)

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
	Hostname     string       // our name in report IDs
	Generator    string       // in reports: name and version of this program. Default: "Posthaste"
	Store        kv.Store
	Queue        Queue
	Resolver     dmarc.Resolver
	Log          *slog.Logger
}

// A Collector counts messages and sends reports. It is safe for concurrent use.
type Collector struct {
	cfg Config

	mu      sync.Mutex // guards what follows
	waiting map[slot]*tally
	rows    int // in waiting
}

// A slot is a policy domain on a day, "2026-11-22".
type slot struct{ day, domain string }

// A tally is what was counted in a slot since the last flush.
type tally struct {
	record  dmarc.Record
	rows    map[string]*Row
	omitted int64
}

// New returns a Collector. It counts from now on; Run keeps the sums and sends reports.
func New(cfg Config) *Collector {
	cfg.Contact = cmp.Or(cfg.Contact, cfg.From.String())
	cfg.Organization = cmp.Or(cfg.Organization, cfg.From.Domain)
	cfg.Generator = cmp.Or(cfg.Generator, "Posthaste")
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Collector{cfg: cfg, waiting: make(map[slot]*tally)}
}

// Record counts a message on the UTC day of now. Messages about which nobody wants to hear cost nothing.
// It does not block on anything.
func (c *Collector) Record(o Observation, now time.Time) {
	if c == nil || c.cfg.From.IsZero() || !o.counts() {
		return
	}
	row := o.row()
	key := row.key()
	at := slot{now.UTC().Format(dayLayout), o.Result.Domain}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.waiting[at]
	if t == nil {
		if c.rows >= maxWaiting {
			return
		}
		t = &tally{rows: make(map[string]*Row)}
		c.waiting[at] = t
	}
	t.record = o.Result.Record
	c.rows += t.add(key, row, c.rows < maxWaiting)
}

// add counts a row and returns how many are new: 0 or 1.
func (t *tally) add(key string, row Row, space bool) int {
	if have := t.rows[key]; have != nil {
		have.Count += row.Count
		return 0
	}
	if !space {
		t.omitted += row.Count
		return 0
	}
	t.rows[key] = &row
	return 1
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
			c.cfg.Log.Warn("DMARC report failed", "reason", err)
		}
	}
}

// flush moves what was counted into the store. What a failed commit held is counted again with the next.
func (c *Collector) flush(ctx context.Context) error {
	c.mu.Lock()
	waiting := c.waiting
	c.waiting, c.rows = make(map[slot]*tally), 0
	c.mu.Unlock()
	days := make(map[string]map[slot]*tally)
	for at, t := range waiting {
		if days[at.day] == nil {
			days[at.day] = make(map[slot]*tally)
		}
		days[at.day][at] = t
	}
	var problems []error
	for day, tallies := range days {
		for len(tallies) > 0 {
			some := takeSome(tallies)
			if err := c.keep(ctx, day, some); err != nil {
				problems = append(problems, err)
				c.restore(some)
			}
		}
	}
	return errors.Join(problems...)
}

// takeSome takes as many rows out of tallies as go into one commit: whole domains, or a part of one.
func takeSome(tallies map[slot]*tally) map[slot]*tally {
	some := make(map[slot]*tally)
	n := 0
	for at, t := range tallies {
		part := &tally{record: t.record, rows: make(map[string]*Row), omitted: t.omitted}
		t.omitted = 0
		for key, row := range t.rows {
			if n == batchSize {
				break
			}
			part.rows[key] = row
			delete(t.rows, key)
			n++
		}
		some[at] = part
		if len(t.rows) == 0 {
			delete(tallies, at)
		}
		if n == batchSize {
			break
		}
	}
	return some
}

func (c *Collector) restore(tallies map[slot]*tally) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for at, t := range tallies {
		have := c.waiting[at]
		if have == nil {
			have = &tally{record: t.record, rows: make(map[string]*Row)}
			c.waiting[at] = have
		}
		have.omitted += t.omitted
		for key, row := range t.rows {
			c.rows += have.add(key, *row, c.rows < maxWaiting)
		}
	}
}

func partition(day string) kv.Partition { return kv.Partition("dmarc/out/" + day) }

func headKey(domain string) []byte { return []byte("d/" + domain) }

// rowsPrefix begins the keys of the rows of a domain; no domain holds a NUL.
func rowsPrefix(domain string) []byte { return []byte("r/" + domain + "\x00") }

func rowKey(domain, key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return append(rowsPrefix(domain), sum[:16]...)
}

// A head is what the store holds of a domain and day beside its rows.
type head struct {
	Record  dmarc.Record `json:"record,omitzero"` // as it was seen last
	Rows    int          `json:"rows,omitempty"`
	Omitted int64        `json:"omitted,omitempty"` // messages of rows beyond the bounds
	Claimed time.Time    `json:"claimed,omitzero"`  // when a node last began to send it
	Done    bool         `json:"done,omitempty"`    // sent, or not wanted
}

func readHead(r kv.Reader, domain string) (head, error) {
	var have head
	value, err := r.Get(headKey(domain))
	if err == nil {
		err = json.Unmarshal(value, &have)
	}
	return have, err
}

func put(tx kv.Txn, key []byte, v any) error {
	value, err := json.Marshal(v)
	if err == nil {
		tx.Put(key, value)
	}
	return err
}

// keep adds tallies to the sums of a day in one quiet commit.
func (c *Collector) keep(ctx context.Context, day string, tallies map[slot]*tally) error {
	_, err := c.cfg.Store.Update(ctx, partition(day), func(tx kv.Txn) error {
		tx.Quiet()
		for at, t := range tallies {
			h, err := readHead(tx, at.domain)
			if err != nil && !errors.Is(err, kv.ErrNotFound) {
				return err
			}
			h.Record, h.Omitted = t.record, h.Omitted+t.omitted
			for key, row := range t.rows {
				if err := keepRow(tx, rowKey(at.domain, key), *row, &h); err != nil {
					return err
				}
			}
			if err := put(tx, headKey(at.domain), h); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("aggregate: keep the sums of %s: %w", day, err)
	}
	return nil
}

func keepRow(tx kv.Txn, key []byte, row Row, h *head) error {
	value, err := tx.Get(key)
	switch {
	case err == nil:
		var have Row
		if err := json.Unmarshal(value, &have); err != nil {
			return err
		}
		row.Count += have.Count
	case !errors.Is(err, kv.ErrNotFound):
		return err
	case h.Rows >= maxDomain:
		h.Omitted += row.Count
		return nil
	default:
		h.Rows++
	}
	return put(tx, key, row)
}
