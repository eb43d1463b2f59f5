package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"posthaste/blob"
	"posthaste/kv"
	"posthaste/mail"
)

// How often Run does what.
const (
	cacheEvery = time.Minute
	sweepEvery = 10 * time.Minute
	blobsFirst = time.Hour // after the start, so that a node restarted every day sweeps too
	blobsEvery = 24 * time.Hour
)

// How long, and how much of, history is kept.
const (
	logAge        = 30 * 24 * time.Hour
	logEntries    = 1_000_000
	deliveryAge   = 8 * 24 * time.Hour // a queue forgets a finished message after 7 days
	deliveryEvery = 24 * time.Hour
	// blobGrace is how old a blob without reference is when it goes: more than the longest life of a
	// queue entry, and twice the age up to which a Message may still be stored.
	blobGrace = 30 * 24 * time.Hour
)

// sweepBatch is how many keys one commit of the sweep removes.
const sweepBatch = 1000

// Run does the housekeeping until ctx ends: it rewrites chunks whose log has grown, removes content
// past its retention, trims logs and delivery IDs, and drops rows nobody uses from memory.
func (s *Store) Run(ctx context.Context) error {
	cache, sweep, blobs := time.NewTicker(cacheEvery), time.NewTicker(sweepEvery), time.NewTimer(blobsFirst)
	defer cache.Stop()
	defer sweep.Stop()
	defer blobs.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case a := <-s.snapshots:
			err = a.snapshot(ctx, snapshotAtLeast)
		case <-cache.C:
			s.dropUnused(s.now().Add(-s.cfg.CacheAge))
		case <-sweep.C:
			err = s.Sweep(ctx)
		case <-blobs.C:
			err = s.sweepBlobs(ctx)
			blobs.Reset(blobsEvery)
		}
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Error("housekeeping failed, it will be tried again", "err", err)
		}
	}
}

// Sweep does once, for all accounts, what Run does every few minutes: content past its retention, old
// log entries and old delivery IDs go.
func (s *Store) Sweep(ctx context.Context) error {
	var failed []error
	err := s.cfg.KV.Partitions(ctx, partitionPrefix, func(p kv.Partition) error {
		id, err := strconv.ParseUint(strings.TrimPrefix(string(p), partitionPrefix), 10, 64)
		if err != nil {
			return nil // not ours
		}
		if err := s.sweepAccount(ctx, mail.AccountID(id)); err != nil {
			failed = append(failed, fmt.Errorf("store: sweep account %d: %w", id, err))
		}
		return ctx.Err()
	})
	return errors.Join(append(failed, err)...)
}

func (s *Store) sweepAccount(ctx context.Context, id mail.AccountID) error {
	a := &Account{store: s, id: id, partition: partitionOf(id)} // leaves no handle in memory
	if err := a.sweepContent(ctx); err != nil {
		return err
	}
	var p progress
	err := s.cfg.KV.View(ctx, a.partition, func(r kv.Reader) (err error) {
		if _, err = getHead(r); err == nil {
			p, err = getProgress(r)
		}
		return err
	})
	if errors.Is(err, ErrNoAccount) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := a.snapshot(ctx, snapshotEvery); err != nil {
		return err
	}
	if err := a.trimLog(ctx, p.floor); err != nil {
		return err
	}
	if s.now().Unix()-p.deliveries < int64(deliveryEvery/time.Second) {
		return nil
	}
	return a.sweepDeliveries(ctx)
}

// sweepContent removes the content of emails that were destroyed longer ago than the retention.
func (a *Account) sweepContent(ctx context.Context) error {
	until := a.store.now().Add(-a.store.cfg.Retention).Unix()
	if until <= 0 {
		return nil
	}
	for more := true; more; {
		due := false
		err := a.store.cfg.KV.View(ctx, a.partition, func(r kv.Reader) error {
			key, _, err := firstBuried(r, until)
			due = key != nil
			return err
		})
		if err != nil || !due {
			return err
		}
		_, err = a.store.cfg.KV.Update(ctx, a.partition, func(txn kv.Txn) (err error) {
			txn.Quiet()
			more, err = dropBuried(txn, until)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// firstBuried returns the first list of destroyed emails from before until, or a nil key.
func firstBuried(r kv.Reader, until int64) (key []byte, ids emailSet, err error) {
	seq, errf := r.Scan([]byte{keyDestroyed}, destroyedKey(until, 0), false)
	for k, value := range seq {
		key = slices.Clone(k)
		d := decoder{b: value}
		d.format(1)
		ids = d.emailSet()
		if err := d.err("list of destroyed emails"); err != nil {
			return nil, nil, err
		}
		break
	}
	return key, ids, errf()
}

// dropBuried removes the content of at most sweepBatch emails of the first list, and the list with its
// last.
func dropBuried(txn kv.Txn, until int64) (more bool, err error) {
	key, ids, err := firstBuried(txn, until)
	if err != nil || key == nil {
		return false, err
	}
	left := sweepBatch
	for len(ids) > 0 && left > 0 {
		if err := dropContent(txn, ids[0].first); err != nil {
			return false, err
		}
		left--
		if ids[0].first++; ids[0].first > ids[0].last {
			ids = ids[1:]
		}
	}
	if len(ids) > 0 {
		txn.Put(key, appendEmailSet([]byte{1}, ids))
	} else {
		txn.Delete(key)
	}
	return true, nil
}

// trimLog removes entries that are too old or too many, never those since the snapshot.
func (a *Account) trimLog(ctx context.Context, floor mail.ModSeq) error {
	cutoff := a.store.now().Add(-logAge).Unix()
	for more := true; more; {
		var next mail.ModSeq
		err := a.store.cfg.KV.View(ctx, a.partition, func(r kv.Reader) (err error) {
			next, err = oldestToKeep(r, floor, cutoff)
			return err
		})
		if err != nil || next <= floor {
			return err
		}
		_, err = a.store.cfg.KV.Update(ctx, a.partition, func(txn kv.Txn) error {
			txn.Quiet()
			p, err := getProgress(txn)
			if err != nil {
				return err
			}
			next = min(next, p.snapshot+1)
			txn.DeleteRange(logKey(0), logKey(next))
			p.floor = max(p.floor, next)
			p.put(txn)
			return nil
		})
		if err != nil {
			return err
		}
		more = next-floor >= sweepBatch
		floor = next
	}
	return nil
}

// oldestToKeep returns the first log entry from floor on that is to stay, looking at one batch.
func oldestToKeep(r kv.Reader, floor mail.ModSeq, cutoff int64) (mail.ModSeq, error) {
	p, err := getProgress(r)
	if err != nil {
		return 0, err
	}
	next, seen := floor, 0
	seq, errf := r.Scan(logKey(floor), logKey(p.snapshot+1), false)
	for key, value := range seq {
		version := mail.ModSeq(binary.BigEndian.Uint64(key[1:]))
		d := decoder{b: value}
		d.format(logFormat)
		many := mail.ModSeq(r.Version())-version >= logEntries
		if when := d.varint(); when >= cutoff && !many || seen == sweepBatch {
			break
		}
		next = version + 1
		seen++
	}
	return next, errf()
}

// sweepDeliveries removes delivery IDs that no queue can repeat any more.
func (a *Account) sweepDeliveries(ctx context.Context) error {
	cutoff := a.store.now().Add(-deliveryAge).Unix()
	start := []byte{keyDelivery}
	for start != nil {
		var old [][]byte
		var next []byte
		err := a.store.cfg.KV.View(ctx, a.partition, func(r kv.Reader) (err error) {
			old, next, err = oldDeliveries(r, start, cutoff)
			return err
		})
		if err != nil {
			return err
		}
		start = next
		_, err = a.store.cfg.KV.Update(ctx, a.partition, func(txn kv.Txn) error {
			txn.Quiet()
			for _, key := range old {
				txn.Delete(key)
			}
			p, err := getProgress(txn)
			if err == nil && next == nil {
				p.deliveries = a.store.now().Unix()
				p.put(txn)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// oldDeliveries looks at one batch of delivery IDs from start on and returns those to remove, and where
// to go on, nil at the end.
func oldDeliveries(r kv.Reader, start []byte, cutoff int64) (old [][]byte, next []byte, err error) {
	count := 0
	seq, errf := r.Scan(start, []byte{keyDelivery + 1}, false)
	for key, value := range seq {
		if count++; count > 10*sweepBatch {
			next = slices.Clone(key)
			break
		}
		d := decoder{b: value}
		d.format(1)
		if d.varint() < cutoff {
			old = append(old, slices.Clone(key))
		}
	}
	return old, next, errf()
}

// sweepBlobs deletes the blobs past their grace that no account refers to, nor the queue or the
// quarantine, where what an operator holds may lie for longer than that.
func (s *Store) sweepBlobs(ctx context.Context) error {
	if s.cfg.Blobs == nil {
		return nil
	}
	cutoff := s.now().Add(-blobGrace)
	old := make(map[blob.Name]bool)
	err := s.cfg.Blobs.List(ctx, func(name blob.Name, _ int64) error {
		if t := name.Time(); !t.IsZero() && t.Before(cutoff) {
			old[name] = true
		}
		return nil
	})
	if err != nil || len(old) == 0 {
		return err
	}
	for partitions, prefix := range map[string][]byte{partitionPrefix: {keyReference, 's'}, queuePrefix: {keyReference}, quarantinePrefix: {keyReference}} {
		if err = s.keepReferred(ctx, old, partitions, prefix); err != nil {
			break
		}
	}
	if err != nil {
		return err // what refers to a blob is not known: nothing may go
	}
	for name := range old {
		if err := s.cfg.Blobs.Delete(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// keepReferred takes off old what partitions refer to, each by a key that is prefix and then the name.
func (s *Store) keepReferred(ctx context.Context, old map[blob.Name]bool, partitions string, prefix []byte) error {
	return s.cfg.KV.Partitions(ctx, partitions, func(p kv.Partition) error {
		return s.cfg.KV.View(ctx, p, func(r kv.Reader) error {
			seq, errf := r.Scan(prefix, kv.PrefixEnd(prefix), false)
			for key := range seq {
				delete(old, blob.Name(key[len(prefix):]))
			}
			return errf()
		})
	})
}
