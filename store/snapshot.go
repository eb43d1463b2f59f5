package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"posthaste/kv"
	"posthaste/mail"
)

const (
	// snapshotEvery is how many log entries an account gathers before its chunks are rewritten: what
	// opening a mailbox replays at most, against what the rewriting costs.
	snapshotEvery = 512
	// snapshotBacklog bounds the accounts that wait for it; one that finds no place asks again.
	snapshotBacklog = 4096
)

// snapshotAtLeast is how many entries are worth it once somebody asked: several may ask at once.
const snapshotAtLeast = snapshotEvery / 2

// wantSnapshot asks Run to rewrite the chunks of a.
func (s *Store) wantSnapshot(a *Account) {
	select {
	case s.snapshots <- a:
	default:
	}
}

// snapshot rewrites the chunks that changed since the last time, in one quiet commit, so that the
// chunks and the log from there on are the account. Readers see the same before and after. It does
// nothing for fewer than entries in the log.
func (a *Account) snapshot(ctx context.Context, entries mail.ModSeq) error {
	var p progress
	var changed *changedChunks
	err := a.store.cfg.KV.View(ctx, a.partition, func(r kv.Reader) (err error) {
		if _, err = getHead(r); err != nil {
			return err
		}
		if p, err = getProgress(r); err != nil {
			return err
		}
		if mail.ModSeq(r.Version()) >= p.snapshot+entries {
			changed, err = replay(r)
		}
		return err
	})
	if errors.Is(err, ErrNoAccount) {
		return nil
	}
	if err == nil && changed != nil {
		err = a.putSnapshot(ctx, p.snapshot, changed)
	}
	if err != nil {
		return fmt.Errorf("store: snapshot of account %d: %w", a.id, err)
	}
	return nil
}

// changedChunks is the chunks that the log since the snapshot touches, at version.
type changedChunks struct {
	version mail.ModSeq
	state   *state
	emails  map[uint64]bool
	members map[MailboxID]map[uint64]bool
}

// replay reads the chunks that the log since the snapshot touches and brings them up to date.
func replay(r kv.Reader) (*changedChunks, error) {
	log, err := readTail(r)
	if err != nil {
		return nil, err
	}
	c := &changedChunks{version: mail.ModSeq(r.Version()), emails: make(map[uint64]bool), members: make(map[MailboxID]map[uint64]bool)}
	for _, entry := range log {
		c.note(entry)
	}
	s := &state{members: make(map[MailboxID]memberTable)}
	if s.emails, err = readEmails(r, c.emails); err != nil {
		return nil, err
	}
	for id, wanted := range c.members {
		packed, err := readChunks(r, slices.Sorted(maps.Keys(wanted)), func(n uint64) []byte { return membersKey(id, n) }, memberChunkNumber)
		if err != nil {
			return nil, err
		}
		if s.members[id], err = unpack(packed, decodeMemberChunk); err != nil {
			return nil, err
		}
	}
	e := newEdit(s)
	for _, entry := range log {
		e.apply(entry)
	}
	c.state = e.s
	return c, nil
}

// note marks the chunks that a log entry touches.
func (c *changedChunks) note(x *change) {
	for _, rows := range [...][]emailRow{x.created, x.destroyed} {
		for i := range rows {
			c.emails[emailChunkOf(rows[i].id)] = true
		}
	}
	for _, f := range x.flips {
		for _, r := range f.emails {
			for n := emailChunkOf(r.first); n <= emailChunkOf(r.last); n++ {
				c.emails[n] = true
			}
		}
	}
	for _, list := range [...][]members{x.added, x.removed} {
		for _, m := range list {
			for i := range m.rows {
				c.emails[emailChunkOf(m.rows[i].email)] = true
				c.noteMember(m.box, m.rows[i].uid)
			}
		}
	}
	for _, m := range x.marks {
		for _, r := range m.uids {
			for n := memberChunkOf(r.First); n <= memberChunkOf(r.Last); n++ {
				c.noteMember(m.box, mail.UID(n<<chunkBits))
			}
		}
	}
}

func (c *changedChunks) noteMember(box MailboxID, uid mail.UID) {
	if c.members[box] == nil {
		c.members[box] = make(map[uint64]bool)
	}
	c.members[box][memberChunkOf(uid)] = true
}

// packedWrite is a chunk to be put, or deleted when it is nil.
type packedWrite struct{ key, value []byte }

func (c *changedChunks) pack() []packedWrite {
	var list []packedWrite
	for n := range c.emails {
		w := packedWrite{key: emailsKey(n)}
		if chunk := c.state.emails.chunk(n); chunk != nil && len(chunk.rows) > 0 {
			w.value = chunk.encode(c.version)
		}
		list = append(list, w)
	}
	for id, numbers := range c.members {
		table := c.state.members[id]
		for n := range numbers {
			w := packedWrite{key: membersKey(id, n)}
			if i, ok := table.search(n); ok {
				w.value = table[i].encode(c.version)
			}
			list = append(list, w)
		}
	}
	slices.SortFunc(list, func(a, b packedWrite) int { return slices.Compare(a.key, b.key) })
	return list
}

// putSnapshot stores the chunks, unless another snapshot was faster or the account is gone.
func (a *Account) putSnapshot(ctx context.Context, since mail.ModSeq, changed *changedChunks) error {
	list := changed.pack()
	_, err := a.store.cfg.KV.Update(ctx, a.partition, func(txn kv.Txn) error {
		p, err := getProgress(txn)
		if err != nil || p.snapshot != since {
			return err
		}
		if _, err := getHead(txn); err != nil {
			return err
		}
		txn.Quiet()
		for _, w := range list {
			if w.value == nil {
				txn.Delete(w.key)
			} else {
				txn.Put(w.key, w.value)
			}
		}
		p.snapshot = changed.version
		p.put(txn)
		return nil
	})
	return err
}
