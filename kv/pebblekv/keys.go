package pebblekv

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"posthaste/kv"
)

// The first byte of a key in Pebble.
const (
	bodySpace      = 'b' // 'b' <body ID, 8 bytes big-endian> <partition>: the packed body
	stragglerSpace = 'c' // 'c' <body ID, 8 bytes big-endian> <partition>: a packed body out of order
	keySpace       = 'k' // 'k' <partition> 0 <key>: the value
	storeSpace     = 'm' // 'm' <name>: what belongs to the whole store
	versionSpace   = 'v' // 'v' <partition>: state and version of the partition
)

// formatVersion is that of the layout in docs/formats/kv.md.
const formatVersion = "posthaste kv 1"

var (
	formatKey  = []byte{storeSpace, 'f', 'o', 'r', 'm', 'a', 't'}
	bodyIDKey  = []byte{storeSpace, 'b', 'o', 'd', 'y', 'i', 'd'}
	bodyIDSize = 8
)

func bodyKey(dst []byte, id kv.BodyID, p kv.Partition) []byte {
	dst = append(dst, bodySpace)
	dst = binary.BigEndian.AppendUint64(dst, uint64(id))
	return append(dst, p...)
}

// keyPrefix is what all keys of p start with. Names hold no 0, so no prefix starts another.
func keyPrefix(p kv.Partition) []byte {
	dst := make([]byte, 0, len(p)+2)
	dst = append(dst, keySpace)
	dst = append(dst, p...)
	return append(dst, 0)
}

func versionKey(p kv.Partition) []byte { return append([]byte{versionSpace}, p...) }

// A record is the value under versionKey.
type record struct {
	exists  bool
	loading bool
	version kv.Version
}

const (
	stateLive    = 0
	stateLoading = 1
)

func (r record) append(dst []byte) []byte {
	state := byte(stateLive)
	if r.loading {
		state = stateLoading
	}
	return binary.AppendUvarint(append(dst, state), uint64(r.version))
}

func parseRecord(value []byte) (record, error) {
	if len(value) < 2 || value[0] > stateLoading {
		return record{}, fmt.Errorf("%w: partition record %x", kv.ErrCorrupt, value)
	}
	version, n := binary.Uvarint(value[1:])
	if n != len(value)-1 {
		return record{}, fmt.Errorf("%w: partition record %x", kv.ErrCorrupt, value)
	}
	return record{exists: true, loading: value[0] == stateLoading, version: kv.Version(version)}, nil
}

func readRecord(db pebble.Reader, p kv.Partition) (record, error) {
	value, closer, err := db.Get(versionKey(p))
	if errors.Is(err, pebble.ErrNotFound) {
		return record{}, nil
	}
	if err != nil {
		return record{}, explain(err)
	}
	defer closer.Close()
	return parseRecord(value)
}

// checkFormat gives a new store its format and refuses one of another.
func checkFormat(db *pebble.DB) error {
	value, closer, err := db.Get(formatKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return db.Set(formatKey, []byte(formatVersion), pebble.Sync)
	}
	if err != nil {
		return explain(err)
	}
	defer closer.Close()
	if string(value) != formatVersion {
		return fmt.Errorf("the store has format %q, this program knows %q: use the version that wrote it", value, formatVersion)
	}
	return nil
}

// explain translates Pebble's errors of reading.
func explain(err error) error {
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return kv.ErrNotFound
	case errors.Is(err, pebble.ErrCorruption):
		return fmt.Errorf("%w: %w", kv.ErrCorrupt, err)
	}
	return fmt.Errorf("pebblekv: read: %w", err)
}
