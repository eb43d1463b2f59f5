package quarantine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"posthaste/kv"
	"posthaste/mail"
)

// maxTrusted bounds the senders that one owner trusts.
const maxTrusted = 1000

// ErrTrusted means that an owner trusts as many senders as it can.
var ErrTrusted = fmt.Errorf("quarantine: %d senders are trusted already", maxTrusted)

// Trusted tells whether an owner, whom [Owner] names, said when releasing a message that its author is
// to be trusted. Author is an address in any case of letters. Anybody can write any author into a
// message: believe this only of one that was authenticated.
func (q *Quarantine) Trusted(ctx context.Context, owner, author string) (trusted bool, err error) {
	err = q.cfg.KV.View(ctx, bucketOfOwner(owner), func(r kv.Reader) error {
		_, err := r.Get(trustKey(owner, author))
		trusted = err == nil
		if errors.Is(err, kv.ErrNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("quarantine: whom %s trusts: %w", owner, err)
	}
	return trusted, nil
}

// trust has the owners of some recipients of r trust its author.
func (q *Quarantine) trust(ctx context.Context, r *record, recipients []int) error {
	author := r.AuthorAt
	if author == "" || r.Outgoing {
		return nil
	}
	for _, i := range recipients {
		owner := r.Recipients[i].Owner
		prefix := trustKey(owner, "")[:1+hashSize]
		_, err := q.cfg.KV.Update(ctx, bucketOfOwner(owner), func(txn kv.Txn) error {
			count := 0
			seq, errf := txn.Scan(prefix, kv.PrefixEnd(prefix), false)
			for range seq {
				count++
			}
			if err := errf(); err != nil {
				return err
			}
			if count >= maxTrusted {
				return ErrTrusted
			}
			txn.Put(trustKey(owner, author), append(binary.AppendVarint(nil, q.cfg.Clock().Unix()), author...))
			return nil
		})
		if err != nil {
			return fmt.Errorf("trust %s: %w", author, err)
		}
	}
	return nil
}

func trustKey(owner, author string) []byte {
	return append(append([]byte{'y'}, hashOf(owner)...), hashOf(strings.ToLower(author))...)
}

// Owner returns the owner of what is kept for an account, or for an address that is of none.
func Owner(account mail.AccountID, address mail.Address) string {
	if account != 0 {
		return ownerOf(account)
	}
	return fold(address)
}

func bucketOfOwner(owner string) kv.Partition { return bucket(int(hashOf(owner)[0]) % buckets) }
