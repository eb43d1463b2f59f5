// Package kv is the contract of the store under everything: a transactional, sorted key-value store
// in partitions, with bodies beside the keys.
//
// A [Partition] is the only unit of atomicity, placement and locking; nothing needs a transaction
// over two. Work that crosses partitions is a sequence of idempotent steps. Drivers are siblings
// below this package (memkv, pebblekv, pgkv); kvtest is the meaning of this contract in tests.
//
// Guarantees of every driver:
//   - [Store.Update] returns nil only after its writes would survive a power cut.
//   - [Store.Update] is serializable within its partition.
//   - Nothing that is not durable is seen: [Store.View], and an Update that writes nothing or fails,
//     return only when every commit they could have seen is durable; Watch tells durable versions only.
package kv

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// A Partition names a group of keys, such as "account/17" or "queue/3": 1 to 200 bytes of printable
// ASCII. A partition exists once something was committed to it.
type Partition string

// MaxPartition is the most bytes that the name of a partition has.
const MaxPartition = 200

// Check returns ErrPartition, with the name, when p is not a name for a partition.
func (p Partition) Check() error {
	if len(p) == 0 || len(p) > MaxPartition {
		return fmt.Errorf("%w: %q has %d bytes, not 1 to %d", ErrPartition, p, len(p), MaxPartition)
	}
	for i := range len(p) {
		if p[i] < ' ' || p[i] > '~' {
			return fmt.Errorf("%w: %q holds other than printable ASCII", ErrPartition, p)
		}
	}
	return nil
}

// A Version counts the commits of a partition that were not quiet. 0 is a partition never written.
type Version uint64

// A BodyID names a body. IDs ascend roughly in order of their making and are never reused. 0 is none.
type BodyID uint64

// Limits that every driver enforces with ErrTooLarge.
const (
	MaxKey   = 1 << 10  // bytes of a key
	MaxValue = 8 << 20  // bytes of a value
	MaxBody  = 1 << 20  // bytes of a body, as packed
	MaxTxn   = 64 << 20 // bytes of all keys, values and bodies that one Update writes
)

var (
	// ErrNotFound is the answer of Get and Body where there is nothing.
	ErrNotFound = errors.New("kv: not found")
	// ErrUnknown means that the commit happened or did not: the caller repeats what it did, which
	// is why every caller is idempotent.
	ErrUnknown = errors.New("kv: outcome of the commit unknown")
	// ErrFull means that the reserve of free space is reached. Nothing was written. Updates without
	// bodies and of at most 64 KiB go on for a while longer, so that people can clear up; those that
	// only delete go on longest.
	ErrFull = errors.New("kv: no space left")
	// ErrClosed is the answer of a store after Close.
	ErrClosed = errors.New("kv: store is closed")
	// ErrTooLarge means that a key, value, body or transaction passes its limit. Nothing was written.
	ErrTooLarge = errors.New("kv: over the size limit")
	// ErrExists is Load's answer for a partition that holds keys or has passed the version.
	ErrExists = errors.New("kv: partition is not empty")
	// ErrLoading is the answer for a partition whose Load has not finished.
	ErrLoading = errors.New("kv: partition is being loaded")
	// ErrPartition means that the name is not one a partition can have.
	ErrPartition = errors.New("kv: bad partition name")
	// ErrCorrupt wraps what a checksum or a decoder found.
	ErrCorrupt = errors.New("kv: corrupt")
)

// A Store is one key-value store. Its methods may be called at the same time.
type Store interface {
	// View runs fn on a consistent snapshot of partition p. It returns only when every commit in
	// that snapshot is durable. What Reader hands out is valid until fn returns.
	View(ctx context.Context, p Partition, fn func(Reader) error) error

	// Update runs fn and commits what it wrote: all of it, durably, or none. It returns the version
	// the partition then has. fn may run again, sees its own writes, and has no effect outside its
	// Txn. An error of fn comes back as it is and nothing is written. Once a commit has started,
	// the end of ctx no longer matters.
	Update(ctx context.Context, p Partition, fn func(Txn) error) (Version, error)

	// Watch calls f, which must not block and not call the store, whenever p gets a new durable
	// version, until cancel. Calls for one p come in order; some versions may be skipped.
	Watch(p Partition, f func(Version)) (cancel func())

	// NewBodyID returns an ID for Txn.PutBody. It is taken before Update, so that a rerun adds
	// nothing. An ID that is never put costs nothing.
	NewBodyID() BodyID

	// Load creates partition p at version v with the given keys and no bodies: for copy and restore.
	// p must hold no key and have no version above v (ErrExists). It commits in pieces; until it
	// returns nil the partition is unusable (ErrLoading), and a repeat starts afresh.
	Load(ctx context.Context, p Partition, v Version, keys iter.Seq2[[]byte, []byte]) error

	// Drop removes partition p, its keys and its version, as if it had never been: for names that
	// are not used again, such as an hour of trace. Its bodies must have been deleted before.
	Drop(ctx context.Context, p Partition) error

	// Partitions calls fn with the name of every partition that starts with prefix, in order.
	Partitions(ctx context.Context, prefix string, fn func(Partition) error) error

	// Close waits for what runs and frees all. Later calls return ErrClosed.
	Close() error
}

// A Reader reads one partition. It is for the goroutine that fn runs on.
type Reader interface {
	// Version returns the version of the snapshot.
	Version() Version
	// Get returns the value of key, or ErrNotFound.
	Get(key []byte) ([]byte, error)
	// Scan yields the keys from start (included) to end (excluded; nil means to the last) in
	// ascending order, or descending from just before end when reverse. Keys and values are valid
	// until the next step. A failure ends the sequence and comes back from errf.
	Scan(start, end []byte, reverse bool) (seq iter.Seq2[[]byte, []byte], errf func() error)
	// Body returns the bytes of body id of this partition, or ErrNotFound.
	Body(id BodyID) ([]byte, error)
}

// A Txn reads and writes one partition. Writes show in its own reads; whether bodies do is up to the
// driver.
type Txn interface {
	Reader
	// Next returns the version that this commit will get; with Quiet the present one.
	Next() Version
	// Put sets key to value. The bytes are copied.
	Put(key, value []byte)
	// Delete removes key, if it is there.
	Delete(key []byte)
	// DeleteRange removes the keys from start (included) to end (excluded; nil means to the last).
	DeleteRange(start, end []byte)
	// PutBody adds a body under an ID of NewBodyID. packed is not copied and must not change until
	// Update returns.
	PutBody(id BodyID, packed []byte)
	// DeleteBody removes a body of this partition; its space comes back in time.
	DeleteBody(id BodyID)
	// Quiet makes this commit raise no version and wake nobody: for housekeeping that changes
	// nothing a client can see.
	Quiet()
}

// PrefixEnd returns the first key after all keys that start with prefix, or nil when there is none:
// the end of a Scan over prefix.
func PrefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}
