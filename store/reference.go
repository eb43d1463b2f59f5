package store

import (
	"encoding/binary"
	"errors"

	"posthaste/kv"
)

// Content that several emails share is counted: for a body the emails beyond the first, so that the
// usual body needs no key; for a blob all of them, because the sweep of blobs reads only these keys.

func references(r kv.Reader, key []byte) (uint64, error) {
	b, err := r.Get(key)
	if errors.Is(err, kv.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	d := decoder{b: b}
	n := d.uvarint()
	return n, d.err("reference")
}

func addReference(txn kv.Txn, key []byte) error {
	n, err := references(txn, key)
	if err != nil {
		return err
	}
	txn.Put(key, binary.AppendUvarint(nil, n+1))
	return nil
}

// dropReference takes one away and returns how many there were.
func dropReference(txn kv.Txn, key []byte) (uint64, error) {
	n, err := references(txn, key)
	if err != nil {
		return 0, err
	}
	if n > 1 {
		txn.Put(key, binary.AppendUvarint(nil, n-1))
	} else if n == 1 {
		txn.Delete(key)
	}
	return n, nil
}

// share counts one more email on the content at l.
func (l location) share(txn kv.Txn) error {
	if l.blob != "" {
		return addReference(txn, blobReferenceKey(l.blob))
	}
	return addReference(txn, bodyReferenceKey(l.body))
}

// dropContent removes the facts of an email that no mailbox holds, and its content with the last email
// that shares it.
func dropContent(txn kv.Txn, id EmailID) error {
	f, err := getFacts(txn, id)
	if errors.Is(err, ErrNoEmail) {
		return nil
	}
	if err != nil {
		return err
	}
	txn.Delete(factsKey(id))
	if err := leaveThread(txn, f.threads); err != nil {
		return err
	}
	if f.content.blob != "" {
		_, err = dropReference(txn, blobReferenceKey(f.content.blob))
		return err
	}
	others, err := dropReference(txn, bodyReferenceKey(f.content.body))
	if err == nil && others == 0 {
		txn.DeleteBody(f.content.body)
	}
	return err
}
