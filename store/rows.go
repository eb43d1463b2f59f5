package store

import (
	"encoding/binary"

	"posthaste/mail"
)

// Rows are packed by column, ascending values as the difference to the row before, so that what is
// regular costs one value and decoding is a tight loop over each column.

// An emailRow is what every session needs to know of an email. Its memberships are box, or more than
// one: see emailChunk.more.
type emailRow struct {
	id       EmailID
	thread   ThreadID
	modseq   mail.ModSeq // of the last change of keywords
	received int64       // Unix seconds
	keywords Keywords
	size     uint32
	box      MailboxID // severalBoxes when it is in more than one, 0 when in none
}

// severalBoxes in an emailRow tells that emailChunk.more has the mailboxes.
const severalBoxes MailboxID = ^MailboxID(0)

// maxEmailBytes bounds one email, so that its size fits a row.
const maxEmailBytes = 1<<32 - 1

// A memberRow is an email's membership in one mailbox.
type memberRow struct {
	email   EmailID
	modseq  mail.ModSeq // of its making or the last change of \Deleted
	saved   int64       // Unix seconds
	uid     mail.UID
	deleted bool
}

// The ways a column is packed.
const (
	columnSame   = 0 // one value for all rows
	columnVaries = 1
)

// appendColumn writes value(0) to value(n-1). Where all are the same, as most differences are, that is
// one value.
func appendColumn(dst []byte, n int, value func(i int) uint64) []byte {
	if n == 0 {
		return dst
	}
	first, same := value(0), true
	for i := 1; i < n && same; i++ {
		same = value(i) == first
	}
	switch {
	case n == 1:
		return binary.AppendUvarint(dst, first)
	case same:
		return binary.AppendUvarint(append(dst, columnSame), first)
	}
	dst = append(dst, columnVaries)
	for i := range n {
		dst = binary.AppendUvarint(dst, value(i))
	}
	return dst
}

// column reads a column into values.
func (d *decoder) column(values []uint64) {
	if len(values) == 0 {
		return
	}
	if len(values) == 1 || d.byte() == columnSame {
		v := d.uvarint()
		for i := range values {
			values[i] = v
		}
		return
	}
	b := d.b
	for i := range values {
		if len(b) > 0 && b[0] < 0x80 { // by far the most
			values[i] = uint64(b[0])
			b = b[1:]
			continue
		}
		v, n := binary.Uvarint(b)
		if n <= 0 {
			d.fail()
			return
		}
		values[i] = v
		b = b[n:]
	}
	d.b = b
}

// zigzag makes a small number of a small difference.
func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

func appendEmailRows(dst []byte, rows []emailRow) []byte {
	n := len(rows)
	dst = binary.AppendUvarint(dst, uint64(n))
	if n == 0 {
		return dst
	}
	base := emailRow{id: rows[0].id - 1, modseq: rows[0].modseq, received: rows[0].received}
	dst = binary.AppendUvarint(dst, uint64(base.id))
	dst = binary.AppendUvarint(dst, uint64(base.modseq))
	dst = binary.AppendVarint(dst, base.received)
	before := func(i int) *emailRow {
		if i == 0 {
			return &base
		}
		return &rows[i-1]
	}
	dst = appendColumn(dst, n, func(i int) uint64 { return uint64(rows[i].id - before(i).id) }) // IDs ascend
	dst = appendColumn(dst, n, func(i int) uint64 { return zigzag(int64(rows[i].id) - int64(rows[i].thread)) })
	dst = appendColumn(dst, n, func(i int) uint64 { return zigzag(int64(rows[i].modseq - before(i).modseq)) })
	dst = appendColumn(dst, n, func(i int) uint64 { return zigzag(rows[i].received - before(i).received) })
	dst = appendColumn(dst, n, func(i int) uint64 { return uint64(rows[i].size) })
	dst = appendColumn(dst, n, func(i int) uint64 { return uint64(rows[i].box) })
	dst = appendColumn(dst, n, func(i int) uint64 { return rows[i].keywords.low })
	return appendColumn(dst, n, func(i int) uint64 { return rows[i].keywords.high })
}

// maxRows bounds the rows in one value, because a few bytes can stand for any number of equal rows:
// more than any commit can change.
const maxRows = 1 << 20

// rowCount reads a count of rows, which counts against what the value may have.
func (d *decoder) rowCount() int {
	n := d.uvarint()
	if n > uint64(d.rows) || n > 0 && len(d.b) == 0 {
		d.fail()
		return 0
	}
	d.rows -= int(n)
	return int(n)
}

// emailRows reads what appendEmailRows wrote.
func (d *decoder) emailRows() []emailRow {
	rows := make([]emailRow, d.rowCount())
	if len(rows) == 0 {
		return nil
	}
	values := make([]uint64, len(rows))
	last := emailRow{id: EmailID(d.uvarint()), modseq: mail.ModSeq(d.uvarint()), received: d.varint()}
	d.column(values)
	for i, v := range values {
		last.id += EmailID(v)
		rows[i].id = last.id
	}
	d.column(values)
	for i, v := range values {
		rows[i].thread = ThreadID(int64(rows[i].id) - unzigzag(v))
	}
	d.column(values)
	for i, v := range values {
		last.modseq += mail.ModSeq(unzigzag(v))
		rows[i].modseq = last.modseq
	}
	d.column(values)
	for i, v := range values {
		last.received += unzigzag(v)
		rows[i].received = last.received
	}
	d.column(values)
	for i, v := range values {
		rows[i].size = uint32(v)
	}
	d.column(values)
	for i, v := range values {
		rows[i].box = MailboxID(v)
	}
	d.column(values)
	for i, v := range values {
		rows[i].keywords.low = v
	}
	d.column(values)
	for i, v := range values {
		rows[i].keywords.high = v
	}
	return rows
}

func appendMemberRows(dst []byte, rows []memberRow) []byte {
	n := len(rows)
	dst = binary.AppendUvarint(dst, uint64(n))
	if n == 0 {
		return dst
	}
	base := memberRow{uid: rows[0].uid - 1, email: rows[0].email - 1, modseq: rows[0].modseq, saved: rows[0].saved}
	dst = binary.AppendUvarint(dst, uint64(base.uid))
	dst = binary.AppendUvarint(dst, uint64(base.email))
	dst = binary.AppendUvarint(dst, uint64(base.modseq))
	dst = binary.AppendVarint(dst, base.saved)
	before := func(i int) *memberRow {
		if i == 0 {
			return &base
		}
		return &rows[i-1]
	}
	dst = appendColumn(dst, n, func(i int) uint64 { return uint64(rows[i].uid - before(i).uid) }) // UIDs ascend
	dst = appendColumn(dst, n, func(i int) uint64 { return zigzag(int64(rows[i].email - before(i).email)) })
	dst = appendColumn(dst, n, func(i int) uint64 { return zigzag(int64(rows[i].modseq - before(i).modseq)) })
	dst = appendColumn(dst, n, func(i int) uint64 { return zigzag(rows[i].saved - before(i).saved) })
	return appendColumn(dst, n, func(i int) uint64 { return uint64(one(rows[i].deleted)) })
}

// memberRows reads what appendMemberRows wrote.
func (d *decoder) memberRows() []memberRow {
	rows := make([]memberRow, d.rowCount())
	if len(rows) == 0 {
		return nil
	}
	values := make([]uint64, len(rows))
	last := memberRow{uid: mail.UID(d.uvarint()), email: EmailID(d.uvarint()), modseq: mail.ModSeq(d.uvarint()), saved: d.varint()}
	d.column(values)
	for i, v := range values {
		last.uid += mail.UID(v)
		rows[i].uid = last.uid
	}
	d.column(values)
	for i, v := range values {
		last.email += EmailID(unzigzag(v))
		rows[i].email = last.email
	}
	d.column(values)
	for i, v := range values {
		last.modseq += mail.ModSeq(unzigzag(v))
		rows[i].modseq = last.modseq
	}
	d.column(values)
	for i, v := range values {
		last.saved += unzigzag(v)
		rows[i].saved = last.saved
	}
	d.column(values)
	for i, v := range values {
		rows[i].deleted = v != 0
	}
	return rows
}

// appendUIDSet writes a set as gaps and lengths.
func appendUIDSet(dst []byte, set UIDSet) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(set)))
	var last mail.UID
	for _, r := range set {
		dst = binary.AppendUvarint(dst, uint64(r.First-last))
		dst = binary.AppendUvarint(dst, uint64(r.Last-r.First))
		last = r.Last
	}
	return dst
}

func (d *decoder) uidSet() UIDSet {
	set := make(UIDSet, d.count())
	var last mail.UID
	for i := range set {
		first := last + mail.UID(d.uvarint())
		last = first + mail.UID(d.uvarint())
		set[i] = UIDRange{first, last}
	}
	return set
}

// An emailRange is the emails from first to last.
type emailRange struct{ first, last EmailID }

// An emailSet is emails in ranges that do not overlap, in any order.
type emailSet []emailRange

// add adds id, which joins the last range where it follows it.
func (set emailSet) add(id EmailID) emailSet {
	if n := len(set); n > 0 && set[n-1].last+1 == id {
		set[n-1].last = id
		return set
	}
	return append(set, emailRange{id, id})
}

func appendEmailSet(dst []byte, set emailSet) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(set)))
	var last EmailID
	for _, r := range set {
		dst = binary.AppendVarint(dst, int64(r.first-last))
		dst = binary.AppendUvarint(dst, uint64(r.last-r.first))
		last = r.last
	}
	return dst
}

func (d *decoder) emailSet() emailSet {
	set := make(emailSet, d.count())
	var last EmailID
	for i := range set {
		first := last + EmailID(d.varint())
		last = first + EmailID(d.uvarint())
		set[i] = emailRange{first, last}
	}
	return set
}
