// Package reports keeps the reports that other hosts send about our mail, as data: an [Inbox] for each
// kind. It is bounded in age, in number and in bytes; the oldest make room. A report that comes twice is
// kept once. What a report means is for its own package to say: dmarc/aggregate, arf.
//
// Keys of a partition (docs/formats/dmarc.md):
//
//	t/<time><name>   size of the report in bytes, as decimal digits; the time is big-endian Unix seconds
//	n/<name>         the report as JSON
package reports

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"posthaste/kv"
)

// Bounds of an Inbox.
const (
	KeepFor    = 400 * 24 * time.Hour // a year, and some weeks to compare with it
	MaxReports = 10_000
	MaxBytes   = 256 << 20 // of all reports together
	MaxReport  = 6 << 20   // bytes of one, as JSON
	page       = 50        // reports read in one View
)

var (
	// ErrNone is the answer of Show for a name that no report has.
	ErrNone = errors.New("reports: no such report")
	// ErrTooLarge says that a report is larger than MaxReport.
	ErrTooLarge = errors.New("reports: the report is too large")
)

// An Inbox keeps reports of one kind. It is safe for concurrent use.
type Inbox[T any] struct {
	store     kv.Store
	partition kv.Partition
	most      int
	mostBytes int64
}

// New returns the Inbox in a partition of a store.
func New[T any](store kv.Store, p kv.Partition) *Inbox[T] {
	return &Inbox[T]{store: store, partition: p, most: MaxReports, mostBytes: MaxBytes}
}

// A Kept is a report with its name in the Inbox and when it came.
type Kept[T any] struct {
	Name   string    `json:"name"`
	Time   time.Time `json:"time"`
	Report T         `json:"report"`
}

// Put keeps a report. identity is what no two reports have in common, such as sender and report ID.
func (in *Inbox[T]) Put(ctx context.Context, identity string, report T, now time.Time) (Kept[T], error) {
	h := fnv.New64a()
	h.Write([]byte(identity))
	got := Kept[T]{Name: fmt.Sprintf("%016x", h.Sum64()), Time: now.UTC().Truncate(time.Second), Report: report}
	value, err := json.Marshal(got)
	if err != nil {
		return got, fmt.Errorf("reports: %w", err)
	}
	if len(value) > MaxReport {
		return got, ErrTooLarge
	}
	_, err = in.store.Update(ctx, in.partition, func(tx kv.Txn) error {
		tx.Quiet()
		if _, err := tx.Get(nameKey(got.Name)); err == nil {
			return nil
		}
		if err := in.makeRoom(tx, int64(len(value)), now); err != nil {
			return err
		}
		tx.Put(timeKey(now, got.Name), strconv.AppendInt(nil, int64(len(value)), 10))
		tx.Put(nameKey(got.Name), value)
		return nil
	})
	if err != nil {
		return got, fmt.Errorf("reports: keep %s: %w", got.Name, err)
	}
	return got, nil
}

func nameKey(name string) []byte { return []byte("n/" + name) }

var timePrefix = []byte("t/")

func timeKey(t time.Time, name string) []byte {
	return append(binary.BigEndian.AppendUint64([]byte("t/"), uint64(t.Unix())), name...)
}

func nameOf(key []byte) string { return string(key[len(timePrefix)+8:]) }

// makeRoom drops reports that are too old, and the oldest where there are too many or they are too large
// together with one of size bytes.
func (in *Inbox[T]) makeRoom(tx kv.Txn, size int64, now time.Time) error {
	var keys [][]byte
	var sizes []int64
	total := size
	seq, errf := tx.Scan(timePrefix, kv.PrefixEnd(timePrefix), false)
	for key, value := range seq {
		n, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil {
			return fmt.Errorf("size of report %q: %w", key, err)
		}
		keys, sizes, total = append(keys, append([]byte(nil), key...)), append(sizes, n), total+n
	}
	if err := errf(); err != nil {
		return err
	}
	oldest := string(timeKey(now.Add(-KeepFor), ""))
	for i, key := range keys {
		if len(keys)-i < in.most && total <= in.mostBytes && string(key) >= oldest {
			break
		}
		total -= sizes[i]
		tx.Delete(key)
		tx.Delete(nameKey(nameOf(key)))
	}
	return nil
}

// List calls fn with the reports that came at since or later, the newest first, until it returns an
// error, which comes back.
func (in *Inbox[T]) List(ctx context.Context, since time.Time, fn func(Kept[T]) error) error {
	start := timeKey(time.Unix(max(since.Unix(), 0), 0), "")
	for end := kv.PrefixEnd(timePrefix); ; {
		values, last, err := in.page(ctx, start, end)
		if err != nil {
			return err
		}
		for _, value := range values {
			var got Kept[T]
			if err := json.Unmarshal(value, &got); err != nil {
				return fmt.Errorf("reports: read a report: %w", err)
			}
			if err := fn(got); err != nil {
				return err
			}
		}
		if last == nil {
			return nil
		}
		end = last
	}
}

// page reads some reports before end, and returns where to go on; nil at the end.
func (in *Inbox[T]) page(ctx context.Context, start, end []byte) (values [][]byte, last []byte, err error) {
	err = in.store.View(ctx, in.partition, func(r kv.Reader) error {
		var keys [][]byte
		values, last = values[:0], nil
		seq, errf := r.Scan(start, end, true)
		for key := range seq {
			if keys = append(keys, append([]byte(nil), key...)); len(keys) == page {
				last = keys[page-1]
				break
			}
		}
		if err := errf(); err != nil {
			return err
		}
		for _, key := range keys {
			value, err := r.Get(nameKey(nameOf(key)))
			if err != nil {
				return fmt.Errorf("reports: read %s: %w", nameOf(key), err)
			}
			values = append(values, append([]byte(nil), value...))
		}
		return nil
	})
	return values, last, err
}

// Show returns one report, or ErrNone.
func (in *Inbox[T]) Show(ctx context.Context, name string) (Kept[T], error) {
	var got Kept[T]
	if len(name) > 16 {
		return got, ErrNone
	}
	err := in.store.View(ctx, in.partition, func(r kv.Reader) error {
		value, err := r.Get(nameKey(name))
		if err != nil {
			return err
		}
		return json.Unmarshal(value, &got)
	})
	if errors.Is(err, kv.ErrNotFound) {
		return got, ErrNone
	}
	return got, err
}
