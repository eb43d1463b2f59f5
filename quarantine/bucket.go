package quarantine

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"posthaste/blob"
	"posthaste/kv"
	"posthaste/mail"
)

// buckets is the number of partitions. It is fixed for ever.
const buckets = 16

// bucketOf returns the partition of an ID, which its last digit names. A text that is no ID names one
// too, in which it is not found.
func bucketOf(id ID) kv.Partition {
	const digits = "0123456789abcdefghjkmnpqrstvwxyz"
	last := 0
	if len(id) > 0 {
		last = max(strings.IndexByte(digits, id[len(id)-1]), 0)
	}
	return bucket(last % buckets)
}

func bucket(n int) kv.Partition { return kv.Partition(fmt.Sprintf("quarantine/%x", n)) }

// maxCollisions bounds the IDs that are tried for one item. IDs of one millisecond and node differ in 24
// bits of the origin, so that the second is hardly ever looked at.
const maxCollisions = 16

// nthID returns the n-th ID to try, all of one bucket.
func (r *record) nthID(n uint32) ID {
	unique := binary.BigEndian.Uint32(r.Origin) + n*buckets
	return mail.NewQueueID(r.Envelope.ID.Time(), r.Envelope.ID.Node(), unique)
}

// claim finds the ID of r and tells whether it is new.
func (r *record) claim(reader kv.Reader) (fresh bool, err error) {
	for n := range uint32(maxCollisions) {
		r.ID = r.nthID(n)
		known, err := getRecord(reader, r.ID)
		if errors.Is(err, ErrNotFound) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if string(known.Origin) == string(r.Origin) {
			return false, nil
		}
	}
	return false, errors.New("all IDs of its moment are taken")
}

func getRecord(reader kv.Reader, id ID) (*record, error) {
	value, err := reader.Get(key('i', id))
	if errors.Is(err, kv.ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	var r record
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, fmt.Errorf("%w: quarantine: %s: %v", kv.ErrCorrupt, id, err)
	}
	return &r, nil
}

// The keys of a bucket: see docs/formats/quarantine.md.
func key(kind byte, id ID) []byte { return append([]byte{kind}, id...) }

func indexKey(kind byte, of string, id ID) []byte {
	return append(append([]byte{kind}, hashOf(of)...), id...)
}

func goneKey(t time.Time, id ID) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{'g'}, uint64(max(t.Unix(), 0))), id...)
}

func blobKey(name blob.Name) []byte { return append([]byte{'R'}, name...) }

// put writes r, which is new, and returns the bytes that its bucket then holds.
func (r *record) put(txn kv.Txn, packed []byte) (held int64, err error) {
	if err := r.save(txn); err != nil {
		return 0, err
	}
	size := binary.AppendUvarint(nil, uint64(r.Size))
	txn.Put(key('l', r.ID), binary.AppendVarint(size, r.Time.Unix()))
	for i := range r.Recipients {
		to := &r.Recipients[i]
		txn.Put(indexKey('t', fold(to.Address), r.ID), nil)
		txn.Put(indexKey('w', to.Owner, r.ID), size)
		if !r.Outgoing {
			txn.Put(indexKey('n', to.Owner, r.ID), nil)
		}
	}
	if r.Blob != "" {
		txn.Put(blobKey(r.Blob), nil)
	} else {
		txn.PutBody(r.Body, packed)
	}
	return addHeld(txn, r.Size)
}

func (r *record) save(txn kv.Txn) error {
	value, err := json.Marshal(r)
	if err == nil {
		txn.Put(key('i', r.ID), value)
	}
	return err
}

// settle notes that recipients have left, and drops the content with the last.
func (r *record) settle(txn kv.Txn, gone []int, state State, now time.Time) error {
	for _, i := range gone {
		r.Recipients[i].State = state
		txn.Delete(indexKey('t', fold(r.Recipients[i].Address), r.ID))
	}
	owners := map[string]bool{}
	for i := range r.Recipients {
		to := &r.Recipients[i]
		owners[to.Owner] = owners[to.Owner] || to.State == Kept
	}
	left := false
	for owner, kept := range owners {
		if left = left || kept; !kept {
			txn.Delete(indexKey('w', owner, r.ID))
			txn.Delete(indexKey('n', owner, r.ID))
		}
	}
	if !left {
		if err := r.drop(txn, now); err != nil {
			return err
		}
	}
	return r.save(txn)
}

// drop removes the content. The record stays for a week, so that a repeat is known as one.
func (r *record) drop(txn kv.Txn, now time.Time) error {
	txn.Delete(key('l', r.ID))
	if r.Blob != "" {
		txn.Delete(blobKey(r.Blob))
	} else {
		txn.DeleteBody(r.Body)
	}
	txn.Put(goneKey(now, r.ID), nil)
	r.Body, r.Blob = 0, ""
	_, err := addHeld(txn, -r.Size)
	return err
}

// heldKey has the bytes that a bucket holds.
var heldKey = []byte{'s'}

func getHeld(reader kv.Reader) (int64, error) {
	value, err := reader.Get(heldKey)
	if errors.Is(err, kv.ErrNotFound) {
		return 0, nil
	}
	n, _ := binary.Uvarint(value)
	return int64(n), err
}

func addHeld(txn kv.Txn, size int64) (int64, error) {
	held, err := getHeld(txn)
	if err != nil {
		return 0, err
	}
	held = max(held+size, 0)
	txn.Put(heldKey, binary.AppendUvarint(nil, uint64(held)))
	return held, nil
}
