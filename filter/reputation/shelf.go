package reputation

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"time"

	"posthaste/kv"
)

// Bounds of the store.
const (
	buckets    = 64
	maxKept    = 50_000 // identities of a bucket
	pruneEvery = 500    // commits of a bucket between two looks for what is old
	maxID      = 300    // bytes of an identity that is its own key; a longer one is not kept
)

// A shelf keeps standings in partitions "reputation/<bucket>", a key for each identity.
type shelf struct{ kv kv.Store }

func partitionOf(id Identity) kv.Partition {
	h := fnv.New32a()
	h.Write([]byte(id))
	return kv.Partition(fmt.Sprintf("reputation/%d", h.Sum32()%buckets))
}

func key(id Identity) []byte { return append([]byte("s"), id...) }

func (s shelf) load(ctx context.Context, id Identity) (found Standing, err error) {
	if len(id) > maxID {
		return Standing{}, nil
	}
	err = s.kv.View(ctx, partitionOf(id), func(r kv.Reader) error {
		value, err := r.Get(key(id))
		if err != nil {
			return err
		}
		found, err = decode(value)
		return err
	})
	if errors.Is(err, kv.ErrNotFound) {
		return Standing{}, nil
	}
	return found, err
}

// add adds counts to what is stored, and returns those for which that failed.
func (s shelf) add(ctx context.Context, counts map[Identity]Standing) (failed map[Identity]Standing, err error) {
	byPartition := map[kv.Partition]map[Identity]Standing{}
	for id, c := range counts {
		if len(id) > maxID {
			continue
		}
		p := partitionOf(id)
		if byPartition[p] == nil {
			byPartition[p] = map[Identity]Standing{}
		}
		byPartition[p][id] = c
	}
	failed = map[Identity]Standing{}
	for p, some := range byPartition {
		if e := s.addTo(ctx, p, some); e != nil {
			err = e
			for id, c := range some {
				failed[id] = c
			}
		}
	}
	return failed, err
}

func (s shelf) addTo(ctx context.Context, p kv.Partition, counts map[Identity]Standing) error {
	_, err := s.kv.Update(ctx, p, func(tx kv.Txn) error {
		var now time.Time
		for id, c := range counts {
			var old Standing
			value, err := tx.Get(key(id))
			if err == nil {
				old, err = decode(value)
			}
			if err != nil && !errors.Is(err, kv.ErrNotFound) && !errors.Is(err, kv.ErrCorrupt) {
				return err
			}
			tx.Put(key(id), old.add(c).encode())
			if c.Last.After(now) {
				now = c.Last
			}
		}
		if tx.Next()%pruneEvery == 0 {
			return prune(tx, now)
		}
		return nil
	})
	if errors.Is(err, kv.ErrUnknown) {
		return nil // counted or not: once too little is better than twice
	}
	return err
}

// prune deletes what nobody has sent for long, then, in the order of keys, what is too much.
func prune(tx kv.Txn, now time.Time) error {
	var old [][]byte
	kept := 0
	all, errf := tx.Scan([]byte("s"), []byte("t"), false)
	for k, value := range all {
		s, err := decode(value)
		if err == nil && now.Sub(s.Last) < forgotten && kept < maxKept {
			kept++
			continue
		}
		old = append(old, append([]byte(nil), k...))
	}
	for _, k := range old {
		tx.Delete(k)
	}
	return errf()
}

const (
	formatStanding = 1
	standingSize   = 1 + 4 + 4 + 8 + 8
)

func (s Standing) encode() []byte {
	b := make([]byte, 0, standingSize)
	b = append(b, formatStanding)
	b = binary.BigEndian.AppendUint32(b, math.Float32bits(float32(s.Good)))
	b = binary.BigEndian.AppendUint32(b, math.Float32bits(float32(s.Bad)))
	b = binary.BigEndian.AppendUint64(b, uint64(s.First.Unix()))
	return binary.BigEndian.AppendUint64(b, uint64(s.Last.Unix()))
}

func decode(b []byte) (Standing, error) {
	if len(b) != standingSize || b[0] != formatStanding {
		return Standing{}, fmt.Errorf("reputation: standing: %w", kv.ErrCorrupt)
	}
	return Standing{
		Good: float64(math.Float32frombits(binary.BigEndian.Uint32(b[1:]))), Bad: float64(math.Float32frombits(binary.BigEndian.Uint32(b[5:]))),
		First: time.Unix(int64(binary.BigEndian.Uint64(b[9:])), 0), Last: time.Unix(int64(binary.BigEndian.Uint64(b[17:])), 0),
	}, nil
}
