package local

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"posthaste/kv"
	"posthaste/mail"
)

// ledgerAge is how long the ledger remembers: longer than the queue keeps any message.
const ledgerAge = 60 * 24 * time.Hour

// ledgerParts is the number of partitions of the ledger. It is fixed for ever.
const ledgerParts = 16

// A Ledger remembers which programs and mboxes have a message, where nothing else does. It may be used
// at the same time, and by several nodes.
//
// Its partitions are "ledger/<n>", where n is the last digit of the queue ID's hash in hexadecimal; a
// key is the queue ID and the SHA-256 of what was served, and has no value. As queue IDs begin with the
// time, what is old is one range.
type Ledger struct{ store kv.Store }

// NewLedger returns the ledger in store.
func NewLedger(store kv.Store) *Ledger { return &Ledger{store} }

// Done tells whether what was served for a message.
func (l *Ledger) Done(ctx context.Context, id mail.QueueID, what string) (done bool, err error) {
	err = l.store.View(ctx, ledgerPartition(id), func(r kv.Reader) error {
		_, err := r.Get(ledgerKey(id, what))
		done = err == nil
		if errors.Is(err, kv.ErrNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("local: ledger of %s: %w", id, err)
	}
	return done, nil
}

// Note records that what was served for a message, and forgets what is old.
func (l *Ledger) Note(ctx context.Context, id mail.QueueID, what string) error {
	_, err := l.store.Update(ctx, ledgerPartition(id), func(txn kv.Txn) error {
		if err := forget(txn, mail.NewQueueID(time.Now().Add(-ledgerAge), 0, 0)); err != nil {
			return err
		}
		txn.Put(ledgerKey(id, what), nil)
		return nil
	})
	if err != nil {
		return fmt.Errorf("local: ledger of %s: %w", id, err)
	}
	return nil
}

// forget deletes what is older than an ID, if there is anything.
func forget(txn kv.Txn, before mail.QueueID) error {
	some := false
	all, errf := txn.Scan(nil, []byte(before), false)
	for range all {
		some = true
		break
	}
	if err := errf(); err != nil || !some {
		return err
	}
	txn.DeleteRange(nil, []byte(before))
	return nil
}

func ledgerPartition(id mail.QueueID) kv.Partition {
	sum := sha256.Sum256([]byte(id))
	return kv.Partition(fmt.Sprintf("ledger/%x", sum[0]%ledgerParts))
}

func ledgerKey(id mail.QueueID, what string) []byte {
	sum := sha256.Sum256([]byte(what))
	return append([]byte(id), sum[:]...)
}
