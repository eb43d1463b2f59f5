package store

import (
	"encoding/binary"

	"posthaste/mail"
)

// Rows are packed by column, each as its difference to the row before, so that what is regular costs
// one byte and decoding is a tight loop over each column.

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

func appendEmailRows(dst []byte, rows []emailRow) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(rows)))
	var last emailRow
	for i := range rows { // IDs ascend
		dst = binary.AppendUvarint(dst, uint64(rows[i].id-last.id))
		last.id = rows[i].id
	}
	for i := range rows {
		dst = binary.AppendVarint(dst, int64(rows[i].id)-int64(rows[i].thread))
	}
	for i := range rows {
		dst = binary.AppendVarint(dst, int64(rows[i].modseq-last.modseq))
		last.modseq = rows[i].modseq
	}
	for i := range rows {
		dst = binary.AppendVarint(dst, rows[i].received-last.received)
		last.received = rows[i].received
	}
	for i := range rows {
		dst = binary.AppendUvarint(dst, uint64(rows[i].size))
	}
	for i := range rows {
		dst = binary.AppendVarint(dst, int64(int32(rows[i].box-last.box)))
		last.box = rows[i].box
	}
	for i := range rows {
		dst = binary.AppendUvarint(dst, rows[i].keywords.low)
	}
	return appendHighKeywords(dst, rows)
}

// appendHighKeywords writes the keywords from 64 on, which few accounts have: a byte 0 where no row
// has any.
func appendHighKeywords(dst []byte, rows []emailRow) []byte {
	any := false
	for i := range rows {
		any = any || rows[i].keywords.high != 0
	}
	dst = appendBool(dst, any)
	for i := range rows {
		if any {
			dst = binary.AppendUvarint(dst, rows[i].keywords.high)
		}
	}
	return dst
}

// emailRows reads rows into a slice with room for as many as room.
func (d *decoder) emailRows(room int) []emailRow {
	n := d.count()
	rows := make([]emailRow, n, max(n, room))
	var last emailRow
	for i := range rows {
		last.id += EmailID(d.uvarint())
		rows[i].id = last.id
	}
	for i := range rows {
		rows[i].thread = ThreadID(int64(rows[i].id) - d.varint())
	}
	for i := range rows {
		last.modseq += mail.ModSeq(d.varint())
		rows[i].modseq = last.modseq
	}
	for i := range rows {
		last.received += d.varint()
		rows[i].received = last.received
	}
	for i := range rows {
		rows[i].size = uint32(d.uvarint())
	}
	for i := range rows {
		last.box += MailboxID(int32(d.varint()))
		rows[i].box = last.box
	}
	for i := range rows {
		rows[i].keywords.low = d.uvarint()
	}
	if d.byte() != 0 {
		for i := range rows {
			rows[i].keywords.high = d.uvarint()
		}
	}
	return rows
}

func appendMemberRows(dst []byte, rows []memberRow) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(rows)))
	var last memberRow
	for i := range rows { // UIDs ascend
		dst = binary.AppendUvarint(dst, uint64(rows[i].uid-last.uid))
		last.uid = rows[i].uid
	}
	for i := range rows {
		dst = binary.AppendVarint(dst, int64(rows[i].email-last.email))
		last.email = rows[i].email
	}
	for i := range rows {
		dst = binary.AppendVarint(dst, int64(rows[i].modseq-last.modseq))
		last.modseq = rows[i].modseq
	}
	for i := range rows {
		dst = binary.AppendVarint(dst, rows[i].saved-last.saved)
		last.saved = rows[i].saved
	}
	for i := 0; i < len(rows); i += 8 {
		var bits byte
		for j := range rows[i:min(i+8, len(rows))] {
			if rows[i+j].deleted {
				bits |= 1 << j
			}
		}
		dst = append(dst, bits)
	}
	return dst
}

// memberRows reads rows into a slice with room for as many as room.
func (d *decoder) memberRows(room int) []memberRow {
	n := d.count()
	rows := make([]memberRow, n, max(n, room))
	var last memberRow
	for i := range rows {
		last.uid += mail.UID(d.uvarint())
		rows[i].uid = last.uid
	}
	for i := range rows {
		last.email += EmailID(d.varint())
		rows[i].email = last.email
	}
	for i := range rows {
		last.modseq += mail.ModSeq(d.varint())
		rows[i].modseq = last.modseq
	}
	for i := range rows {
		last.saved += d.varint()
		rows[i].saved = last.saved
	}
	for i := 0; i < len(rows); i += 8 {
		bits := d.byte()
		for j := range rows[i:min(i+8, len(rows))] {
			rows[i+j].deleted = bits>>j&1 != 0
		}
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
