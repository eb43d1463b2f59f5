package store

import (
	"encoding/binary"
	"fmt"
	"time"

	"posthaste/kv"
	"posthaste/mail"
)

// A change is one entry of the log: exactly what one commit changed, with the state before where it
// cannot be had from what is named. Reading forwards it turns one state into the next; every part is
// applied in the order of the fields.
type change struct {
	version   mail.ModSeq // not stored: the key says it
	when      int64       // Unix seconds
	keywords  []string    // new custom keywords, by number after those before
	boxes     []boxChange // made, renamed, removed
	subs      []subChange
	touched   []MailboxID // mailboxes whose record changed, boxes included
	created   []emailRow  // emails; modseq and box are not stored
	added     []members
	removed   []members // as they were
	marks     []mark
	flips     []flip
	destroyed []emailRow // as they were; box is not stored
}

// A boxChange is a mailbox before and after, as their records; empty for none.
type boxChange struct {
	id            MailboxID
	before, after []byte
}

type subChange struct {
	name string
	on   bool
}

// members are memberships of one mailbox, by ascending UID.
type members struct {
	box  MailboxID
	rows []memberRow
}

// A mark sets or clears \Deleted on memberships that had it otherwise.
type mark struct {
	box  MailboxID
	on   bool
	uids UIDSet
}

// A flip gives emails that had keywords before those of after.
type flip struct {
	before, after Keywords
	emails        emailSet
}

// The parts of an entry as stored. A reader that meets another must stop: it cannot know what changed.
const (
	partKeywords  = 1
	partBox       = 2
	partSub       = 3
	partTouched   = 4
	partCreated   = 5
	partAdded     = 6
	partRemoved   = 7
	partMark      = 8
	partFlip      = 9
	partDestroyed = 10
)

// logFormat is the first byte of an entry.
const logFormat = 1

// empty tells whether c changes nothing.
func (c *change) empty() bool {
	return len(c.keywords)+len(c.boxes)+len(c.subs)+len(c.touched)+len(c.created)+len(c.added)+
		len(c.removed)+len(c.marks)+len(c.flips)+len(c.destroyed) == 0
}

func (c *change) touch(box MailboxID) {
	for _, known := range c.touched {
		if known == box {
			return
		}
	}
	c.touched = append(c.touched, box)
}

func (c *change) encode() []byte {
	b := make([]byte, 0, 128)
	b = binary.AppendVarint(append(b, logFormat), c.when)
	for _, name := range c.keywords {
		b = appendBytes(append(b, partKeywords), name)
	}
	for _, x := range c.boxes {
		b = binary.AppendUvarint(append(b, partBox), uint64(x.id))
		b = appendBytes(appendBytes(b, x.before), x.after)
	}
	for _, x := range c.subs {
		b = appendBool(appendBytes(append(b, partSub), x.name), x.on)
	}
	for _, id := range c.touched {
		b = binary.AppendUvarint(append(b, partTouched), uint64(id))
	}
	if len(c.created) > 0 {
		b = appendEmailRows(append(b, partCreated), c.created)
	}
	b = appendMembers(b, partAdded, c.added)
	b = appendMembers(b, partRemoved, c.removed)
	for _, x := range c.marks {
		b = appendBool(binary.AppendUvarint(append(b, partMark), uint64(x.box)), x.on)
		b = appendUIDSet(b, x.uids)
	}
	for _, x := range c.flips {
		b = appendKeywords(appendKeywords(append(b, partFlip), x.before), x.after)
		b = appendEmailSet(b, x.emails)
	}
	if len(c.destroyed) > 0 {
		b = appendEmailRows(append(b, partDestroyed), c.destroyed)
	}
	return b
}

func appendMembers(dst []byte, part byte, list []members) []byte {
	for _, x := range list {
		if len(x.rows) > 0 {
			dst = binary.AppendUvarint(append(dst, part), uint64(x.box))
			dst = appendMemberRows(dst, x.rows)
		}
	}
	return dst
}

func decodeChange(version mail.ModSeq, value []byte) (*change, error) {
	d := decoder{b: value, rows: maxRows}
	d.format(logFormat)
	c := &change{version: version, when: d.varint()}
	for len(d.b) > 0 {
		if part := d.byte(); !c.decodePart(&d, part) {
			return nil, fmt.Errorf("store: log entry %d has part %d, which a newer version wrote: %w", version, part, kv.ErrCorrupt)
		}
	}
	if err := d.err(fmt.Sprintf("log entry %d", version)); err != nil {
		return nil, err
	}
	for i := range c.created {
		c.created[i].modseq, c.created[i].box = version, 0
	}
	for _, x := range c.added {
		for i := range x.rows {
			x.rows[i].modseq = version
		}
	}
	return c, nil
}

func (c *change) decodePart(d *decoder, part byte) bool {
	switch part {
	case partKeywords:
		c.keywords = append(c.keywords, d.string())
	case partBox:
		x := boxChange{id: MailboxID(d.uvarint())}
		x.before, x.after = d.bytes(), d.bytes()
		c.boxes = append(c.boxes, x)
	case partSub:
		c.subs = append(c.subs, subChange{name: d.string(), on: d.byte() != 0})
	case partTouched:
		c.touched = append(c.touched, MailboxID(d.uvarint()))
	case partCreated:
		c.created = d.emailRows()
	case partAdded:
		c.added = append(c.added, members{MailboxID(d.uvarint()), d.memberRows()})
	case partRemoved:
		c.removed = append(c.removed, members{MailboxID(d.uvarint()), d.memberRows()})
	case partMark:
		c.marks = append(c.marks, mark{MailboxID(d.uvarint()), d.byte() != 0, d.uidSet()})
	case partFlip:
		c.flips = append(c.flips, flip{d.keywords(), d.keywords(), d.emailSet()})
	case partDestroyed:
		c.destroyed = d.emailRows()
	default:
		return false
	}
	return true
}

// put writes the change as the entry of this commit.
func (c *change) put(txn kv.Txn, now time.Time) {
	c.when = now.Unix()
	txn.Put(logKey(mail.ModSeq(txn.Next())), c.encode())
}

// readLog returns the entries from first to last. complete is false when some of them are gone.
func readLog(r kv.Reader, first, last mail.ModSeq) (list []*change, complete bool, err error) {
	if first > last {
		return nil, true, nil
	}
	seq, errf := r.Scan(logKey(first), logKey(last+1), false)
	for key, value := range seq {
		c, err := decodeChange(mail.ModSeq(binary.BigEndian.Uint64(key[1:])), append([]byte(nil), value...))
		if err != nil {
			return nil, false, err
		}
		if c.version != first+mail.ModSeq(len(list)) {
			return nil, false, errf()
		}
		list = append(list, c)
	}
	return list, len(list) == int(last-first+1), errf()
}
