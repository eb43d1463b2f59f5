package store

import (
	"encoding/binary"
	"slices"
	"sort"

	"posthaste/mail"
)

// chunkBits is how many low bits of an EmailID or UID select the row within its chunk.
const chunkBits = 10

// chunkRows is the most rows of a chunk.
const chunkRows = 1 << chunkBits

func emailChunkOf(id EmailID) uint64    { return uint64(id) >> chunkBits }
func memberChunkOf(uid mail.UID) uint64 { return uint64(uid) >> chunkBits }

// An emailChunk holds the rows of emails n<<chunkBits up to the next chunk, by ascending ID. Only
// the edit that made it may change it; once that edit is over it never changes.
type emailChunk struct {
	n    uint64
	rows []emailRow
	more map[EmailID][]MailboxID // mailboxes, ascending, of emails in several
	edit *token                  // the edit that may change it
}

// find returns the row of id, or nil.
func (c *emailChunk) find(id EmailID) *emailRow {
	if len(c.rows) == 0 || id < c.rows[0].id {
		return nil
	}
	if i := int(id - c.rows[0].id); i < len(c.rows) && c.rows[i].id == id {
		return &c.rows[i]
	}
	i, ok := slices.BinarySearchFunc(c.rows, id, func(r emailRow, id EmailID) int {
		return int(int64(r.id) - int64(id))
	})
	if !ok {
		return nil
	}
	return &c.rows[i]
}

// boxes calls fn for each mailbox that holds the email of row.
func (c *emailChunk) boxes(row *emailRow, fn func(MailboxID)) {
	switch row.box {
	case 0:
	case severalBoxes:
		for _, box := range c.more[row.id] {
			fn(box)
		}
	default:
		fn(row.box)
	}
}

// in tells whether box holds the email of row.
func (c *emailChunk) in(row *emailRow, box MailboxID) bool {
	if row.box == severalBoxes {
		return slices.Contains(c.more[row.id], box)
	}
	return row.box == box
}

// putIn records that box holds the email of row.
func (c *emailChunk) putIn(row *emailRow, box MailboxID) {
	switch row.box {
	case box:
	case 0:
		row.box = box
	case severalBoxes:
		list := c.more[row.id]
		if i, ok := slices.BinarySearch(list, box); !ok {
			c.more[row.id] = slices.Insert(slices.Clone(list), i, box)
		}
	default:
		if c.more == nil {
			c.more = make(map[EmailID][]MailboxID)
		}
		c.more[row.id] = []MailboxID{min(row.box, box), max(row.box, box)}
		row.box = severalBoxes
	}
}

// takeOut records that box no longer holds the email of row.
func (c *emailChunk) takeOut(row *emailRow, box MailboxID) {
	switch row.box {
	case box:
		row.box = 0
	case severalBoxes:
		left := slices.DeleteFunc(slices.Clone(c.more[row.id]), func(b MailboxID) bool { return b == box })
		c.more[row.id] = left
		if len(left) == 1 {
			row.box = left[0]
			delete(c.more, row.id)
		}
	}
}

func (c *emailChunk) encode(version mail.ModSeq) []byte {
	b := make([]byte, 0, 16+12*len(c.rows))
	b = binary.AppendUvarint(append(b, 1), uint64(version))
	b = appendEmailRows(b, c.rows)
	for i := range c.rows {
		if c.rows[i].box != severalBoxes {
			continue
		}
		list := c.more[c.rows[i].id]
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, box := range list {
			b = binary.AppendUvarint(b, uint64(box))
		}
	}
	return b
}

func decodeEmailChunk(n uint64, value []byte) (*emailChunk, error) {
	d := decoder{b: value, rows: chunkRows}
	d.format(1)
	d.uvarint() // the version it is true for: see progress.snapshot
	c := &emailChunk{n: n, rows: d.emailRows()}
	for i := range c.rows {
		if c.rows[i].box != severalBoxes || d.bad {
			continue
		}
		if c.more == nil {
			c.more = make(map[EmailID][]MailboxID)
		}
		list := make([]MailboxID, d.count())
		for j := range list {
			list[j] = MailboxID(d.uvarint())
		}
		c.more[c.rows[i].id] = list
	}
	return c, d.err("chunk of emails")
}

// A memberChunk holds the memberships of one mailbox with UIDs n<<chunkBits up to the next chunk, by
// ascending UID. It changes no more than an emailChunk.
type memberChunk struct {
	n    uint64
	rows []memberRow
	edit *token // the edit that may change it
	// low and high are the lowest and highest chunk of emails that rows point into, or wider.
	low, high uint64
}

func (c *memberChunk) find(uid mail.UID) (int, bool) {
	if len(c.rows) == 0 || uid < c.rows[0].uid {
		return 0, false
	}
	if i := int(uid - c.rows[0].uid); i < len(c.rows) && c.rows[i].uid == uid {
		return i, true
	}
	i := sort.Search(len(c.rows), func(i int) bool { return c.rows[i].uid >= uid })
	return i, i < len(c.rows) && c.rows[i].uid == uid
}

// pointTo widens low and high for rows.
func (c *memberChunk) pointTo(rows []memberRow) {
	for i := range rows {
		n := emailChunkOf(rows[i].email)
		c.low, c.high = min(c.low, n), max(c.high, n)
	}
}

func newMemberChunk(n uint64) *memberChunk { return &memberChunk{n: n, low: ^uint64(0)} }

func (c *memberChunk) encode(version mail.ModSeq) []byte {
	b := make([]byte, 0, 16+6*len(c.rows))
	b = binary.AppendUvarint(append(b, 1), uint64(version))
	return appendMemberRows(b, c.rows)
}

func decodeMemberChunk(n uint64, value []byte) (*memberChunk, error) {
	d := decoder{b: value, rows: chunkRows}
	d.format(1)
	d.uvarint() // the version it is true for: see progress.snapshot
	c := newMemberChunk(n)
	c.rows = d.memberRows()
	c.pointTo(c.rows)
	return c, d.err("chunk of memberships")
}

// emailTable is chunks by ascending number. Some may not be loaded.
type emailTable []*emailChunk

// chunk returns chunk n, or nil when it is not loaded.
func (t emailTable) chunk(n uint64) *emailChunk {
	if i, ok := t.search(n); ok {
		return t[i]
	}
	return nil
}

func (t emailTable) search(n uint64) (int, bool) {
	if len(t) == 0 || n < t[0].n {
		return 0, false
	}
	if i := n - t[0].n; i < uint64(len(t)) && t[i].n == n {
		return int(i), true
	}
	i := sort.Search(len(t), func(i int) bool { return t[i].n >= n })
	return i, i < len(t) && t[i].n == n
}

// find returns the row of id and its chunk, or nil.
func (t emailTable) find(id EmailID) (*emailRow, *emailChunk) {
	c := t.chunk(emailChunkOf(id))
	if c == nil {
		return nil, nil
	}
	return c.find(id), c
}

// memberTable is the chunks of one mailbox by ascending number, none of them empty.
type memberTable []*memberChunk

func (t memberTable) search(n uint64) (int, bool) {
	if len(t) == 0 || n < t[0].n {
		return 0, false
	}
	if i := n - t[0].n; i < uint64(len(t)) && t[i].n == n {
		return int(i), true
	}
	i := sort.Search(len(t), func(i int) bool { return t[i].n >= n })
	return i, i < len(t) && t[i].n == n
}

// each calls fn for each membership in set, by ascending UID.
func (t memberTable) each(set UIDSet, fn func(row *memberRow)) {
	for _, r := range set {
		i, _ := t.search(memberChunkOf(r.First))
		for ; i < len(t) && len(t[i].rows) > 0 && t[i].n <= memberChunkOf(r.Last); i++ {
			rows := t[i].rows
			j, _ := t[i].find(r.First)
			for ; j < len(rows) && rows[j].uid <= r.Last; j++ {
				fn(&rows[j])
			}
		}
	}
}
