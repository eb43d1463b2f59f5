package tlsrpt

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"posthaste/kv"
)

// Bounds of an Inbox.
const (
	keepReceived = 90 * 24 * time.Hour
	maxReceived  = 10_000
)

const inPartition kv.Partition = "tlsrpt/in"

// ErrNoReport is the answer of Show for a name that no report has.
var ErrNoReport = errors.New("tlsrpt: no such report")

// An Inbox keeps the reports that others send about our domains.
type Inbox struct{ store kv.Store }

// NewInbox returns the Inbox in a store.
func NewInbox(store kv.Store) *Inbox { return &Inbox{store} }

// A Received is a report with its name in the Inbox and when it came.
type Received struct {
	Name   string    `json:"name"`
	Time   time.Time `json:"time"`
	Report Report    `json:"report"`
}

// Receive keeps the report that a message brings; one that came before is not kept twice. Old ones make
// room. An error that is of the message, not of the store, is not worth another attempt.
func (in *Inbox) Receive(ctx context.Context, content []byte, now time.Time) (Received, error) {
	r, err := Extract(content)
	if err != nil {
		return Received{}, err
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%s\x00%s", r.Organization, r.ID)
	got := Received{Name: fmt.Sprintf("%016x", h.Sum64()), Time: now.UTC(), Report: r}
	value, err := json.Marshal(got)
	if err != nil {
		return Received{}, err
	}
	_, err = in.store.Update(ctx, inPartition, func(tx kv.Txn) error {
		if _, err := tx.Get(nameKey(got.Name)); err == nil {
			return nil
		}
		if err := makeRoom(tx, now); err != nil {
			return err
		}
		key := timeKey(now, got.Name)
		tx.Put(key, value)
		tx.Put(nameKey(got.Name), key)
		return nil
	})
	return got, err
}

func nameKey(name string) []byte { return []byte("n/" + name) }

func timeKey(t time.Time, name string) []byte {
	return append(binary.BigEndian.AppendUint64([]byte("r/"), uint64(t.Unix())), name...)
}

// makeRoom drops reports that are too old, and the oldest where there are too many.
func makeRoom(tx kv.Txn, now time.Time) error {
	var keys [][]byte
	prefix := []byte("r/")
	seq, errf := tx.Scan(prefix, kv.PrefixEnd(prefix), false)
	for key := range seq {
		keys = append(keys, append([]byte(nil), key...))
	}
	if err := errf(); err != nil {
		return err
	}
	oldest := timeKey(now.Add(-keepReceived), "")
	for i, key := range keys {
		if len(keys)-i < maxReceived && string(key) >= string(oldest) {
			break
		}
		tx.Delete(key)
		tx.Delete(nameKey(string(key[len(prefix)+8:])))
	}
	return nil
}

// List calls fn with the reports, the newest first, until it returns an error, which comes back.
func (in *Inbox) List(ctx context.Context, fn func(Received) error) error {
	var all []Received
	err := in.store.View(ctx, inPartition, func(r kv.Reader) error {
		all = all[:0]
		prefix := []byte("r/")
		seq, errf := r.Scan(prefix, kv.PrefixEnd(prefix), true)
		for _, value := range seq {
			var got Received
			if err := json.Unmarshal(value, &got); err != nil {
				return fmt.Errorf("tlsrpt: read a report: %w", err)
			}
			all = append(all, got)
		}
		return errf()
	})
	if err != nil {
		return err
	}
	for _, got := range all {
		if err := fn(got); err != nil {
			return err
		}
	}
	return nil
}

// Show returns one report, or ErrNoReport.
func (in *Inbox) Show(ctx context.Context, name string) (Received, error) {
	var got Received
	err := in.store.View(ctx, inPartition, func(r kv.Reader) error {
		key, err := r.Get(nameKey(name))
		if err != nil {
			return err
		}
		value, err := r.Get(key)
		if err != nil {
			return err
		}
		return json.Unmarshal(value, &got)
	})
	if errors.Is(err, kv.ErrNotFound) {
		return got, ErrNoReport
	}
	return got, err
}
