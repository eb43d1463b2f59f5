package quarantine

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"posthaste/kv"
	"posthaste/mail"
)

// maxListed is how many messages one digest lists, the newest. It tells how many more there are.
const maxListed = 100

// digestClaim is for how long a node that sends digests is left to it by the others.
const digestClaim = time.Hour

// slot returns when the present time between two digests began, and false when there are none.
func (p *Policy) slot(now time.Time) (time.Time, bool) {
	year, month, day := now.Date()
	at := func(days int) time.Time { return time.Date(year, month, day-days, p.Hour, 0, 0, 0, now.Location()) }
	switch p.Digest {
	case "hourly":
		return now.Truncate(time.Hour), true
	case "daily":
		if t := at(0); !t.After(now) {
			return t, true
		}
		return at(1), true
	case "weekly":
		sinceMonday := (int(now.Weekday()) + 6) % 7
		if t := at(sinceMonday); !t.After(now) {
			return t, true
		}
		return at(sinceMonday + 7), true
	}
	return time.Time{}, false
}

// SendDigests sends what is due now: to each owner with new messages one mail that lists them. Run calls
// it every minute. Of several nodes one does it.
func (q *Quarantine) SendDigests(ctx context.Context) error {
	policy, now := q.cfg.Policy(), q.cfg.Clock()
	slot, some := policy.slot(now)
	if !some {
		return nil
	}
	if mine, err := q.claimDigest(ctx, slot, now); err != nil || !mine {
		return err
	}
	secret, err := q.secret(ctx)
	if err != nil {
		return fmt.Errorf("quarantine: the key of links: %w", err)
	}
	if policy.URL == "" {
		secret = nil
	}
	for part := range parts {
		owners, err := q.byOwner(ctx, 'n', byte(part))
		if err != nil {
			return err
		}
		for _, news := range owners {
			if err := q.sendDigest(ctx, &policy, secret, news); err != nil {
				return err
			}
		}
	}
	return q.finishDigest(ctx, slot)
}

// digestKey has, in the first bucket, the slot whose digests have left, and until when a node is at it.
var digestKey = []byte{'d'}

func getDigest(r kv.Reader) (done, claimed int64, err error) {
	value, err := r.Get(digestKey)
	if errors.Is(err, kv.ErrNotFound) {
		return 0, 0, nil
	}
	done, n := binary.Varint(value)
	if err == nil && n > 0 {
		claimed, _ = binary.Varint(value[n:])
	}
	return done, claimed, err
}

func putDigest(txn kv.Txn, done, claimed int64) {
	txn.Quiet()
	txn.Put(digestKey, binary.AppendVarint(binary.AppendVarint(nil, done), claimed))
}

// claimDigest tells whether the digests of a slot are still to be sent, by this node.
func (q *Quarantine) claimDigest(ctx context.Context, slot, now time.Time) (mine bool, err error) {
	look := func(r kv.Reader) (done int64, err error) {
		done, claimed, err := getDigest(r)
		mine = done < slot.Unix() && claimed <= now.Unix()
		return done, err
	}
	err = q.cfg.KV.View(ctx, bucket(0), func(r kv.Reader) error { _, err := look(r); return err })
	if err != nil || !mine {
		return false, err
	}
	_, err = q.cfg.KV.Update(ctx, bucket(0), func(txn kv.Txn) error {
		done, err := look(txn)
		if err == nil && mine {
			putDigest(txn, done, now.Add(digestClaim).Unix())
		}
		return err
	})
	return mine && err == nil, err
}

func (q *Quarantine) finishDigest(ctx context.Context, slot time.Time) error {
	_, err := q.cfg.KV.Update(ctx, bucket(0), func(txn kv.Txn) error {
		putDigest(txn, slot.Unix(), 0)
		return nil
	})
	return err
}

// sendDigest tells one owner of its news, and then takes them for told. Its mail has its name from the
// messages in it, so that a repeat after a crash is none.
func (q *Quarantine) sendDigest(ctx context.Context, policy *Policy, secret []byte, news []held) error {
	slices.SortFunc(news, func(a, b held) int { return cmp.Compare(b.id, a.id) })
	d := digest{hostname: q.cfg.Hostname, from: q.cfg.From, base: policy.URL, secret: secret, keep: policy.Keep, now: q.cfg.Clock(), total: len(news)}
	owner := ""
	for _, h := range news[:min(len(news), maxListed)] {
		r, err := q.record(ctx, h.id)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if i := newsFor(r, h, owner); i >= 0 {
			owner, d.to = r.Recipients[i].Owner, cmp.Or(d.to, r.Recipients[i].Address)
			d.list = append(d.list, listed{&r.Entry, &r.Recipients[i]})
		}
	}
	if len(d.list) > 0 {
		ids := make([]string, len(news))
		for i, h := range news {
			ids[i] = string(h.id)
		}
		origin := "quarantine digest\x00" + owner + "\x00" + strings.Join(ids, " ")
		env := mail.Envelope{ID: q.cfg.Queue.NewIDFor(origin), Recipients: []mail.Recipient{{Address: d.to, Notify: mail.NotifyNever}}, Received: d.now}
		if _, err := q.cfg.Queue.PutOnce(ctx, origin, env, mail.Bytes(d.content(env.ID))); err != nil {
			return fmt.Errorf("quarantine: digest for %s: %w", d.to, err)
		}
	}
	return q.told(ctx, news)
}

// newsFor returns the recipient that h, found by the hash of its owner, is news for, or -1.
func newsFor(r *record, h held, owner string) int {
	return slices.IndexFunc(r.Recipients, func(to Recipient) bool {
		return to.State == Kept && string(hashOf(to.Owner)) == h.owner && (owner == "" || to.Owner == owner)
	})
}

// told takes messages off the news of an owner.
func (q *Quarantine) told(ctx context.Context, news []held) error {
	byBucket := map[kv.Partition][]held{}
	for _, h := range news {
		p := bucketOf(h.id)
		byBucket[p] = append(byBucket[p], h)
	}
	for p, list := range byBucket {
		_, err := q.cfg.KV.Update(ctx, p, func(txn kv.Txn) error {
			txn.Quiet()
			for _, h := range list {
				txn.Delete(append(append([]byte{'n'}, h.owner...), h.id...))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
