package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"posthaste/kv"
	"posthaste/mail"
)

// A head is what an account counts: the value of keyHead. Every commit that adds mail rewrites it.
type head struct {
	usage       Usage
	nextEmail   EmailID
	nextMailbox MailboxID
	uidValidity uint32 // the last one given to a mailbox
}

func getHead(r kv.Reader) (head, error) {
	b, err := r.Get([]byte{keyHead})
	if errors.Is(err, kv.ErrNotFound) {
		return head{}, ErrNoAccount
	}
	if err != nil {
		return head{}, err
	}
	d := decoder{b: b}
	d.format(1)
	h := head{
		usage:       Usage{Limit: d.varint(), Used: d.varint(), Emails: d.varint()},
		nextEmail:   EmailID(d.uvarint()),
		nextMailbox: MailboxID(d.uvarint()),
		uidValidity: uint32(d.uvarint()),
	}
	return h, d.err("account")
}

func (h head) put(txn kv.Txn) {
	b := make([]byte, 0, 40)
	b = binary.AppendVarint(append(b, 1), h.usage.Limit)
	b = binary.AppendVarint(b, h.usage.Used)
	b = binary.AppendVarint(b, h.usage.Emails)
	b = binary.AppendUvarint(b, uint64(h.nextEmail))
	b = binary.AppendUvarint(b, uint64(h.nextMailbox))
	b = binary.AppendUvarint(b, uint64(h.uidValidity))
	txn.Put([]byte{keyHead}, b)
}

// take counts one more email of size bytes, or refuses it.
func (h *head) take(size int64) error {
	if h.usage.Limit > 0 && h.usage.Used+size > h.usage.Limit {
		return fmt.Errorf("store: %w (%d of %d bytes used, %d more wanted)", ErrQuota, h.usage.Used, h.usage.Limit, size)
	}
	h.usage.Used += size
	h.usage.Emails++
	return nil
}

// A boxRecord is a mailbox as stored: Mailbox with only the last level of its name in Name.
type boxRecord = Mailbox

const boxNoSelect = 1 // the flags of a record

// getBox returns the record of a mailbox, or ErrNoMailbox.
func getBox(r kv.Reader, id MailboxID) (boxRecord, error) {
	b, err := r.Get(mailboxKey(id))
	if errors.Is(err, kv.ErrNotFound) {
		return boxRecord{}, fmt.Errorf("store: mailbox %d: %w", id, ErrNoMailbox)
	}
	if err != nil {
		return boxRecord{}, err
	}
	return decodeBox(id, b)
}

func decodeBox(id MailboxID, value []byte) (boxRecord, error) {
	d := decoder{b: value}
	d.format(1)
	flags := d.uvarint()
	box := boxRecord{
		ID:            id,
		NoSelect:      flags&boxNoSelect != 0,
		Parent:        MailboxID(d.uvarint()),
		Name:          d.string(),
		Role:          Role(d.string()),
		UIDValidity:   uint32(d.uvarint()),
		UIDNext:       mail.UID(d.uvarint()),
		HighestModSeq: mail.ModSeq(d.uvarint()),
		Emails:        uint32(d.uvarint()),
		Unseen:        uint32(d.uvarint()),
		Deleted:       uint32(d.uvarint()),
		DeletedUnseen: uint32(d.uvarint()),
		Size:          d.varint(),
	}
	return box, d.err("mailbox")
}

func encodeBox(box *boxRecord) []byte {
	b := make([]byte, 0, 64+len(box.Name))
	var flags uint64
	if box.NoSelect {
		flags |= boxNoSelect
	}
	b = binary.AppendUvarint(append(b, 1), flags)
	b = binary.AppendUvarint(b, uint64(box.Parent))
	b = appendBytes(appendBytes(b, box.Name), box.Role)
	for _, n := range [...]uint64{uint64(box.UIDValidity), uint64(box.UIDNext), uint64(box.HighestModSeq),
		uint64(box.Emails), uint64(box.Unseen), uint64(box.Deleted), uint64(box.DeletedUnseen)} {
		b = binary.AppendUvarint(b, n)
	}
	return binary.AppendVarint(b, box.Size)
}

// putBox stores a record as changed by this commit.
func putBox(txn kv.Txn, box *boxRecord) {
	box.HighestModSeq = mail.ModSeq(txn.Next())
	txn.Put(mailboxKey(box.ID), encodeBox(box))
}

// count adds n (1 or -1) memberships of an email like row.
func (box *boxRecord) count(n int, row *emailRow, deleted bool) {
	box.Emails += uint32(n)
	box.Size += int64(n) * int64(row.size)
	unseen := !row.keywords.Seen()
	if unseen {
		box.Unseen += uint32(n)
	}
	if deleted {
		box.Deleted += uint32(n)
	}
	if deleted && unseen {
		box.DeletedUnseen += uint32(n)
	}
}

// readBoxes returns all records by ID.
func readBoxes(r kv.Reader) ([]boxRecord, error) {
	var list []boxRecord
	seq, errf := r.Scan([]byte{keyMailbox}, []byte{keyMailbox + 1}, false)
	for key, value := range seq {
		box, err := decodeBox(MailboxID(binary.BigEndian.Uint32(key[1:])), value)
		if err != nil {
			return nil, err
		}
		list = append(list, box)
	}
	return list, errf()
}

// findBox returns the index of a record in a list by ID.
func findBox(list []boxRecord, id MailboxID) (int, bool) {
	return slices.BinarySearchFunc(list, id, func(b boxRecord, id MailboxID) int { return int(b.ID) - int(id) })
}

// readSubscriptions returns the subscribed names in order.
func readSubscriptions(r kv.Reader) ([]string, error) {
	var list []string
	seq, errf := r.Scan([]byte{keySubscription}, []byte{keySubscription + 1}, false)
	for key := range seq {
		list = append(list, string(key[1:]))
	}
	return list, errf()
}

// progress is how far the background work is: the value of keyProgress.
type progress struct {
	// snapshot is the version that all chunks are true for: those not rewritten for it have not
	// changed since they were.
	snapshot mail.ModSeq
	// floor is the first log entry that is kept; it is not above snapshot+1.
	floor mail.ModSeq
	// deliveries is when old delivery IDs were last removed, in Unix seconds.
	deliveries int64
}

func getProgress(r kv.Reader) (progress, error) {
	b, err := r.Get([]byte{keyProgress})
	if errors.Is(err, kv.ErrNotFound) {
		return progress{floor: 1}, nil
	}
	if err != nil {
		return progress{}, err
	}
	d := decoder{b: b}
	d.format(1)
	p := progress{mail.ModSeq(d.uvarint()), mail.ModSeq(d.uvarint()), d.varint()}
	return p, d.err("progress")
}

func (p progress) put(txn kv.Txn) {
	b := binary.AppendUvarint([]byte{1}, uint64(p.snapshot))
	b = binary.AppendUvarint(b, uint64(p.floor))
	txn.Put([]byte{keyProgress}, binary.AppendVarint(b, p.deliveries))
}
