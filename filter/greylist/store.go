package greylist

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"posthaste/kv"
	"posthaste/mail"
)

// Bounds and times of what is stored.
const (
	buckets      = 64
	sweepEvery   = time.Hour
	maxKeys      = 20_000 // of a bucket, after a sweep
	maxExpected  = 20     // expectations of one recipient; the oldest go
	maxExpecting = 24 * time.Hour
)

func bucketOf(b []byte) kv.Partition {
	h := fnv.New32a()
	h.Write(b)
	return kv.Partition(fmt.Sprintf("greylist/%d", h.Sum32()%buckets))
}

// An Expectation is mail that somebody waits for: a confirmation, a code to sign up with.
type Expectation struct {
	To    mail.Address `json:"to"`
	From  string       `json:"from,omitempty"` // a domain, with those below it; empty: from anywhere
	Until time.Time    `json:"until"`
}

// ErrExpectation is why an expectation cannot be taken; the error that wraps it says more.
var ErrExpectation = errors.New("greylist: this cannot be expected")

// Expect lets mail for e.To through at once until then, a day from now at most.
func (g *Greylist) Expect(ctx context.Context, e Expectation, now time.Time) error {
	e.From = strings.ToLower(strings.TrimPrefix(e.From, "."))
	switch {
	case e.To.IsZero() || e.To.Domain == "":
		return fmt.Errorf("%w: no recipient is named", ErrExpectation)
	case len(e.From) > 253 || strings.ContainsAny(e.From, "@ \t\r\n"):
		return fmt.Errorf("%w: %.100q is no domain", ErrExpectation, e.From)
	case !e.Until.After(now) || e.Until.After(now.Add(maxExpecting)):
		return fmt.Errorf("%w: it lasts up to %v", ErrExpectation, maxExpecting)
	}
	_, err := g.kv.Update(ctx, expectPartition(e.To), func(t kv.Txn) error {
		t.Quiet()
		all, err := readExpected(t, e.To, now)
		if err != nil {
			return err
		}
		all = append(all, e)
		value, err := json.Marshal(all[max(0, len(all)-maxExpected):])
		t.Put(expectKey(e.To), value)
		return err
	})
	return err
}

// expected tells whether the recipient expects the mail.
func (g *Greylist) expected(ctx context.Context, try Try, now time.Time) (yes bool, err error) {
	domain := strings.ToLower(try.From.Domain)
	err = g.kv.View(ctx, expectPartition(try.To), func(r kv.Reader) error {
		all, err := readExpected(r, try.To, now)
		for _, e := range all {
			yes = yes || e.From == "" || e.From == domain || strings.HasSuffix(domain, "."+e.From)
		}
		return err
	})
	return yes, err
}

func expectPartition(to mail.Address) kv.Partition {
	return bucketOf([]byte(strings.ToLower(to.String())))
}

func expectKey(to mail.Address) []byte { return hash("e/", []byte(strings.ToLower(to.String()))) }

// readExpected returns what a recipient expects at now.
func readExpected(r kv.Reader, to mail.Address, now time.Time) (all []Expectation, err error) {
	value, err := r.Get(expectKey(to))
	if errors.Is(err, kv.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var stored []Expectation
	if json.Unmarshal(value, &stored) != nil {
		return nil, nil // it is no more than a convenience
	}
	for _, e := range stored {
		if now.Before(e.Until) {
			all = append(all, e)
		}
	}
	return all, nil
}

// Run deletes what is over, until ctx ends.
func (g *Greylist) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			g.fresh.Store(0)
			for i := range buckets {
				if err := g.sweep(ctx, kv.Partition(fmt.Sprintf("greylist/%d", i)), time.Now()); err != nil && ctx.Err() == nil {
					g.log.Warn("greylisting: what is over stays in the store", "err", err)
				}
			}
		}
	}
}

// sweep deletes what no decision asks for any more. Should there still be too much, because somebody
// makes up senders, what waits goes.
func (g *Greylist) sweep(ctx context.Context, p kv.Partition, now time.Time) error {
	var over, waiting [][]byte
	total := 0
	err := g.kv.View(ctx, p, func(r kv.Reader) error {
		over, waiting, total = nil, nil, 0
		all, errf := r.Scan(nil, nil, false)
		for key, value := range all {
			total++
			switch {
			case g.over(key, value, now):
				over = append(over, append([]byte(nil), key...))
			case key[0] == 't':
				waiting = append(waiting, append([]byte(nil), key...))
			}
		}
		return errf()
	})
	if err != nil {
		return err
	}
	if excess := total - len(over) - maxKeys; excess > 0 {
		over = append(over, waiting[:min(excess, len(waiting))]...)
	}
	if len(over) == 0 {
		return nil
	}
	_, err = g.kv.Update(ctx, p, func(t kv.Txn) error {
		t.Quiet()
		for _, key := range over {
			t.Delete(key)
		}
		return nil
	})
	return err
}

// over tells whether a key is of no use any more.
func (g *Greylist) over(key, value []byte, now time.Time) bool {
	var s stamp
	s.parse(value)
	switch key[0] {
	case 't':
		return now.Sub(time.Unix(s.first, 0)) >= g.rules.Retry
	case 'p', 'n':
		return !s.within(now, g.rules.Pass)
	}
	var all []Expectation
	if json.Unmarshal(value, &all) != nil {
		return true
	}
	for _, e := range all {
		if now.Before(e.Until) {
			return false
		}
	}
	return true
}
