package quarantine

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"posthaste/kv"
	"posthaste/mail"
)

// How often Run does what, and how long it remembers.
const (
	sweepEvery  = 10 * time.Minute
	digestEvery = time.Minute
	// rememberGone is how long a message that has left is known: longer than a client or a queue repeats.
	rememberGone = 8 * 24 * time.Hour
)

// batch is how many messages one step of the housekeeping looks at.
const batch = 500

// parts is the number of parts in which owners are walked through, by the first byte of their hash,
// so that memory holds the messages of one part at a time.
const parts = 256

// Run does the housekeeping until ctx ends: what is too old or too much goes, and digests leave.
func (q *Quarantine) Run(ctx context.Context) error {
	sweep, digest := time.NewTicker(sweepEvery), time.NewTicker(digestEvery)
	defer sweep.Stop()
	defer digest.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-sweep.C:
			err = q.Sweep(ctx)
		case <-q.full:
			err = q.sweepTotal(ctx)
		case <-digest.C:
			err = q.SendDigests(ctx)
		}
		if err != nil && ctx.Err() == nil {
			q.cfg.Log.Error("quarantine: housekeeping failed, it will be tried again", "err", err)
		}
	}
}

// Sweep does once what Run does every few minutes: messages past their time expire, then the oldest of
// owners that have too much, then the oldest of all while there is too much in all.
func (q *Quarantine) Sweep(ctx context.Context) error {
	var errs []error
	for n := range buckets {
		errs = append(errs, q.sweepAge(ctx, bucket(n)), q.forget(ctx, bucket(n)))
	}
	if empty, err := q.empty(ctx); empty || err != nil {
		return errors.Join(append(errs, err)...) // owners are many to walk through
	}
	return errors.Join(append(errs, q.sweepOwners(ctx), q.sweepTotal(ctx))...)
}

// empty tells whether nothing is kept.
func (q *Quarantine) empty(ctx context.Context) (bool, error) {
	for n := range buckets {
		var first []held
		err := q.cfg.KV.View(ctx, bucket(n), func(r kv.Reader) (err error) {
			first, err = oldest(r, []byte{'l'}, []byte{'l' + 1}, 1)
			return err
		})
		if err != nil {
			return false, fmt.Errorf("quarantine: whether anything is kept: %w", err)
		}
		if len(first) > 0 {
			return false, nil
		}
	}
	return true, nil
}

// A held message is one that is kept, as the index has it.
type held struct {
	id   ID
	size int64
	put  int64 // Unix seconds; not in the index of owners
	// owner is the hash of whose message it is, only in the indexes of owners.
	owner string
}

// oldest returns the first messages of an index that lie below prefix and before end.
func oldest(r kv.Reader, prefix, end []byte, limit int) (list []held, err error) {
	seq, errf := r.Scan(prefix, end, false)
	for key, value := range seq {
		size, n := binary.Uvarint(value)
		put := int64(0)
		if n > 0 && n < len(value) {
			put, _ = binary.Varint(value[n:])
		}
		if list = append(list, held{id: ID(key[len(prefix):]), size: int64(size), put: put}); len(list) == limit {
			break
		}
	}
	return list, errf()
}

// sweepAge expires what was put longer ago than Policy.Keep. An ID is never younger than its message,
// so what follows the ID of that moment is to stay.
func (q *Quarantine) sweepAge(ctx context.Context, p kv.Partition) error {
	keep := q.cfg.Policy().Keep
	cutoff := q.cfg.Clock().Add(-keep)
	for {
		var due []held
		err := q.cfg.KV.View(ctx, p, func(r kv.Reader) (err error) {
			due, err = oldest(r, []byte{'l'}, append([]byte{'l'}, idAt(cutoff.Add(time.Second))...), batch)
			return err
		})
		if err != nil {
			return fmt.Errorf("quarantine: what is too old: %w", err)
		}
		due = slices.DeleteFunc(due, func(h held) bool { return h.put > cutoff.Unix() })
		if err := q.expire(ctx, due, nil, "it lay there for "+days(keep)); err != nil || len(due) < batch {
			return err
		}
	}
}

// idAt returns what is before the IDs of the millisecond t and after all older ones.
func idAt(t time.Time) ID { return mail.NewQueueID(t, 0, 0)[:9] }

// expire drops messages for the recipients whom an owner names, or for all.
func (q *Quarantine) expire(ctx context.Context, list []held, owner func(*Recipient) bool, why string) error {
	var errs []error
	for _, h := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, err := q.record(ctx, h.id)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		var gone []int
		for i := range r.Recipients {
			if r.Recipients[i].State == Kept && (owner == nil || owner(&r.Recipients[i])) {
				gone = append(gone, i)
			}
		}
		errs = append(errs, q.settle(ctx, r, gone, Expired, "rule: "+why))
	}
	return errors.Join(errs...)
}

// record returns the record of a message.
func (q *Quarantine) record(ctx context.Context, id ID) (r *record, err error) {
	err = q.cfg.KV.View(ctx, bucketOf(id), func(reader kv.Reader) error {
		r, err = getRecord(reader, id)
		return err
	})
	return r, err
}

// forget removes the records of messages that left long ago.
func (q *Quarantine) forget(ctx context.Context, p kv.Partition) error {
	end := goneKey(q.cfg.Clock().Add(-rememberGone), "")
	for more := true; more; {
		var keys [][]byte
		err := q.cfg.KV.View(ctx, p, func(r kv.Reader) error {
			keys = keys[:0]
			seq, errf := r.Scan([]byte{'g'}, end, false)
			for key := range seq {
				if keys = append(keys, slices.Clone(key)); len(keys) == batch {
					break
				}
			}
			return errf()
		})
		if more = len(keys) == batch; err != nil || len(keys) == 0 {
			return err
		}
		_, err = q.cfg.KV.Update(ctx, p, func(txn kv.Txn) error {
			txn.Quiet()
			for _, k := range keys {
				txn.Delete(k)
				txn.Delete(key('i', ID(k[9:])))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sweepOwners expires the oldest messages of owners that have too much.
func (q *Quarantine) sweepOwners(ctx context.Context) error {
	limit := q.cfg.Policy().PerOwner
	if limit <= 0 {
		return nil
	}
	for part := range parts {
		owners, err := q.byOwner(ctx, 'w', byte(part))
		if err != nil {
			return err
		}
		for hash, list := range owners {
			slices.SortFunc(list, func(a, b held) int { return cmp.Compare(b.id, a.id) }) // the newest first
			sum := int64(0)
			for i, h := range list {
				if sum += h.size; sum > limit {
					list = list[i:]
					break
				}
			}
			if sum <= limit {
				continue
			}
			slices.Reverse(list)
			owned := func(to *Recipient) bool { return string(hashOf(to.Owner)) == hash }
			if err := q.expire(ctx, list, owned, fmt.Sprintf("more than %d bytes were kept for its owner", limit)); err != nil {
				return err
			}
		}
	}
	return nil
}

// byOwner returns the messages in one part of an index of owners, by the owner's hash.
func (q *Quarantine) byOwner(ctx context.Context, kind, part byte) (map[string][]held, error) {
	owners := map[string][]held{}
	for n := range buckets {
		prefix := []byte{kind, part}
		err := q.cfg.KV.View(ctx, bucket(n), func(r kv.Reader) error {
			list, err := oldest(r, prefix, kv.PrefixEnd(prefix), -1)
			for _, h := range list {
				rest := string(h.id) // the hash but for its first byte, then the ID
				hash := string([]byte{part}) + rest[:hashSize-1]
				h.id, h.owner = ID(rest[hashSize-1:]), hash
				owners[hash] = append(owners[hash], h)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("quarantine: owners: %w", err)
		}
	}
	return owners, nil
}

// sweepTotal expires the oldest messages of all while there are too many bytes.
func (q *Quarantine) sweepTotal(ctx context.Context) error {
	limit := q.cfg.Policy().Max
	for limit > 0 {
		total, list := int64(0), []held(nil)
		for n := range buckets {
			err := q.cfg.KV.View(ctx, bucket(n), func(r kv.Reader) error {
				sum, err := getHeld(r)
				if err != nil {
					return err
				}
				some, err := oldest(r, []byte{'l'}, []byte{'l' + 1}, batch)
				total, list = total+sum, append(list, some...)
				return err
			})
			if err != nil {
				return err
			}
		}
		if total <= limit || len(list) == 0 {
			return nil
		}
		// Beyond batch, older ones of a bucket may follow that list does not have.
		slices.SortFunc(list, func(a, b held) int { return cmp.Compare(a.id, b.id) })
		list = list[:min(len(list), batch)]
		for i, h := range list {
			if total -= h.size; total <= limit {
				list = list[:i+1]
				break
			}
		}
		if err := q.expire(ctx, list, nil, fmt.Sprintf("more than %d bytes were kept in all", limit)); err != nil {
			return err
		}
	}
	return nil
}

func days(d time.Duration) string {
	if d < 48*time.Hour {
		return d.String()
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}
