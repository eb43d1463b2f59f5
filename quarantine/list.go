package quarantine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"posthaste/kv"
	"posthaste/mail"
	"posthaste/message"
)

// Bounds of List.
const (
	DefaultLimit = 1000
	MaxLimit     = 10_000
)

// maxPreview is how many bytes of text Show returns.
const maxPreview = 2000

// A Filter chooses messages; the zero Filter all.
type Filter struct {
	Recipient mail.Address   // kept for this address
	Account   mail.AccountID // owned by this account
	Since     time.Time      // put since then
	Limit     int            // most that are returned: 1 to MaxLimit; 0 is DefaultLimit
}

// List returns the messages that are kept, the newest first.
func (q *Quarantine) List(ctx context.Context, f Filter) ([]Entry, error) {
	if f.Limit <= 0 {
		f.Limit = DefaultLimit
	}
	f.Limit = min(f.Limit, MaxLimit)
	var all []Entry
	for n := range buckets {
		err := q.cfg.KV.View(ctx, bucket(n), func(r kv.Reader) error {
			found, err := f.scan(r)
			all = append(all, found...)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("quarantine: list: %w", err)
		}
	}
	slices.SortFunc(all, func(a, b Entry) int { return cmp.Compare(b.ID, a.ID) })
	return all[:min(len(all), f.Limit)], nil
}

// prefix is what the keys begin with that lead to the messages of f, before their IDs.
func (f *Filter) prefix() []byte {
	switch {
	case f.Account != 0:
		return indexKey('w', ownerOf(f.Account), "")
	case !f.Recipient.IsZero():
		return indexKey('t', fold(f.Recipient), "")
	}
	return []byte{'l'}
}

// scan returns the newest messages of one bucket.
func (f *Filter) scan(r kv.Reader) (found []Entry, err error) {
	prefix := f.prefix()
	seq, errf := r.Scan(prefix, kv.PrefixEnd(prefix), true)
	for key := range seq {
		rec, err := getRecord(r, ID(key[len(prefix):]))
		if err != nil {
			return nil, err
		}
		if rec.Time.Before(f.Since) || !f.matches(rec) {
			continue
		}
		if found = append(found, rec.Entry); len(found) == f.Limit {
			break
		}
	}
	return found, errf()
}

// matches looks at what the index does not tell when both an address and an account are asked for.
func (f *Filter) matches(r *record) bool {
	if f.Recipient.IsZero() || f.Account == 0 {
		return true
	}
	return slices.ContainsFunc(r.Recipients, func(to Recipient) bool {
		return to.State == Kept && fold(to.Address) == fold(f.Recipient)
	})
}

// A Shown is a message for somebody who decides about it.
type Shown struct {
	Entry
	Header  string `json:"header,omitempty"`  // as it came
	Preview string `json:"preview,omitempty"` // the beginning of its text
}

// Show returns a message, for a week also one that has left, then without header and preview. It
// returns ErrNotFound when there is none.
func (q *Quarantine) Show(ctx context.Context, id ID) (Shown, error) {
	r, content, err := q.load(ctx, id)
	if err != nil {
		return Shown{}, err
	}
	s := Shown{Entry: r.Entry}
	if content != nil {
		m := message.Parse(content)
		s.Header, s.Preview = string(m.Header.Raw()), m.Preview(maxPreview)
	}
	return s, nil
}
