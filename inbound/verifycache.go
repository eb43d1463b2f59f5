package inbound

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"posthaste/kv"
	"posthaste/mail"
)

// Bounds of what is remembered about recipients; the format is in docs/formats/verify.md.
const (
	verifyPartitions = 16
	maxVerified      = 4096 // answers per partition
	pruneEvery       = 64   // commits between two looks for what is too old or too much
	maxVerifiedText  = 500  // bytes of an answer's text
)

// A verifyCache keeps answers in partitions "verify/<n>", one key per address.
type verifyCache struct{ kv kv.Store }

func verifyPartition(a mail.Address) kv.Partition {
	h := fnv.New32a()
	h.Write([]byte(a.String()))
	return kv.Partition(fmt.Sprintf("verify/%d", h.Sum32()%verifyPartitions))
}

// load returns what is remembered, or zero.
func (c verifyCache) load(ctx context.Context, a mail.Address) (v verified, err error) {
	err = c.kv.View(ctx, verifyPartition(a), func(r kv.Reader) error {
		value, err := r.Get([]byte(a.String()))
		if err != nil {
			return err
		}
		return json.Unmarshal(value, &v)
	})
	if errors.Is(err, kv.ErrNotFound) {
		return verified{}, nil
	}
	if err != nil {
		return verified{}, fmt.Errorf("inbound: remembered answer about %s: %w", a, err)
	}
	return v, nil
}

// save remembers v, and now and then forgets what is old.
func (c verifyCache) save(ctx context.Context, a mail.Address, v verified) error {
	v.Answer.Text = fmt.Sprintf("%.*s", maxVerifiedText, v.Answer.Text)
	value, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = c.kv.Update(ctx, verifyPartition(a), func(tx kv.Txn) error {
		tx.Put([]byte(a.String()), value)
		if tx.Next()%pruneEvery == 0 {
			return pruneVerified(tx, v.At)
		}
		return nil
	})
	return err
}

// pruneVerified deletes answers that count no more, then, in the order of keys, those beyond the bound:
// they are asked for again.
func pruneVerified(tx kv.Txn, now time.Time) error {
	var old [][]byte
	kept := 0
	keys, errf := tx.Scan(nil, nil, false)
	for key, value := range keys {
		var v verified
		if err := json.Unmarshal(value, &v); err == nil && v.kept(now) && kept < maxVerified {
			kept++
			continue
		}
		old = append(old, append([]byte(nil), key...))
	}
	for _, key := range old {
		tx.Delete(key)
	}
	return errf()
}
