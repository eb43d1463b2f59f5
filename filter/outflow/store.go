package outflow

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"posthaste/kv"
	"posthaste/mail"
)

// A record is a usage as it is stored.
type record struct {
	Slots  []slotRecord `json:"slots,omitempty"`
	Day    int64        `json:"day"`
	Today  int          `json:"today"`
	Normal float64      `json:"normal"`
	Days   int          `json:"days"`
	Held   time.Time    `json:"held,omitzero"`
}

// A slotRecord holds hour, messages, recipients, first, outcomes, failures.
type slotRecord [6]int64

func (u *usage) record() record {
	r := record{Day: u.day, Today: u.today, Normal: u.normal, Days: u.days, Held: u.held}
	for _, s := range u.slots {
		if s.hour != 0 {
			r.Slots = append(r.Slots, slotRecord{s.hour, int64(s.messages), int64(s.recipients), int64(s.first), int64(s.outcomes), int64(s.failures)})
		}
	}
	return r
}

func (r *record) usage() usage {
	u := usage{day: r.Day, today: r.Today, normal: r.Normal, days: r.Days, held: r.Held}
	for _, s := range r.Slots[:min(len(r.Slots), hours)] {
		i := ((s[0] % hours) + hours) % hours
		u.slots[i] = slot{s[0], amounts{int(s[1]), int(s[2]), int(s[3]), int(s[4]), int(s[5])}}
	}
	return u
}

func partitionOf(id mail.AccountID) kv.Partition {
	return kv.Partition(fmt.Sprintf("outflow/%d", uint64(id)%buckets))
}

func keyOf(id mail.AccountID) []byte {
	return binary.BigEndian.AppendUint64([]byte("u/"), uint64(id))
}

// load returns what is known of an account. One that cannot be read begins anew.
func (o *Outflow) load(ctx context.Context, id mail.AccountID) *account {
	o.mu.Lock()
	a := o.accounts[id]
	o.mu.Unlock()
	if a != nil {
		return a
	}
	var r record
	err := o.kv.View(ctx, partitionOf(id), func(reader kv.Reader) error {
		value, err := reader.Get(keyOf(id))
		if err != nil {
			return err
		}
		return json.Unmarshal(value, &r)
	})
	if err != nil && !errors.Is(err, kv.ErrNotFound) && ctx.Err() == nil {
		o.log.Warn("what an account sent cannot be read", "account", id, "err", err)
		r = record{}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if a := o.accounts[id]; a != nil { // another was faster
		return a
	}
	a = &account{usage: r.usage()}
	o.keep(id, a)
	return a
}

// Run writes counts until ctx ends, and then the rest.
func (o *Outflow) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return o.flush(context.WithoutCancel(ctx))
		case <-tick.C:
			if err := o.flush(ctx); err != nil && ctx.Err() == nil {
				o.log.Warn("what accounts sent is not written", "err", err)
			}
		}
	}
}

// flush writes the accounts that have changed.
func (o *Outflow) flush(ctx context.Context) error {
	o.mu.Lock()
	dirty := map[kv.Partition]map[mail.AccountID]record{}
	for id, a := range o.accounts {
		if !a.dirty {
			continue
		}
		p := partitionOf(id)
		if dirty[p] == nil {
			dirty[p] = map[mail.AccountID]record{}
		}
		dirty[p][id] = a.usage.record()
		a.dirty = false
	}
	o.mu.Unlock()
	var errs []error
	for p, records := range dirty {
		if err := o.write(ctx, p, records); err != nil {
			errs = append(errs, err)
			o.again(records)
		}
	}
	return errors.Join(errs...)
}

func (o *Outflow) again(records map[mail.AccountID]record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id := range records {
		if a := o.accounts[id]; a != nil {
			a.dirty = true
		}
	}
}

func (o *Outflow) write(ctx context.Context, p kv.Partition, records map[mail.AccountID]record) error {
	_, err := o.kv.Update(ctx, p, func(t kv.Txn) error {
		t.Quiet()
		for id, r := range records {
			value, err := json.Marshal(r)
			if err != nil {
				return err
			}
			t.Put(keyOf(id), value)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("outflow: write: %w", err)
	}
	return nil
}
