package table

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
)

// A textMap is a file of keys and values as postmap(1) reads it. Of several lines with one key the
// first counts, as in Postfix.
//
// It is built for a million lines: entries lie in one string of bytes, and an open hash table of their
// offsets finds them, at some 10 bytes an entry beside the text itself.
type textMap struct {
	seed    maphash.Seed
	entries []byte   // length of key, key, length of value, value; lengths are varints
	slots   []uint32 // offsets into entries + 1, or 0; a power of two of them
	count   int
}

// parseTextMap reads a file. Name stands in errors.
func parseTextMap(name, text string) (*textMap, error) {
	m := &textMap{seed: maphash.MakeSeed()}
	wrong := problems{name: name}
	for l := range logicalLines(text) {
		if err := l.check(); err != nil {
			wrong.add(l.number, err)
			continue
		}
		key, value, err := l.split()
		if err != nil {
			wrong.add(l.number, err)
			continue
		}
		m.add(fold(key), value)
	}
	return m, wrong.err()
}

func (m *textMap) find(key string) (string, bool) {
	if len(m.slots) == 0 {
		return "", false
	}
	offset := m.slots[m.slot(key)]
	if offset == 0 {
		return "", false
	}
	_, rest := m.field(offset - 1)
	value, _ := fieldOf(rest)
	return string(value), true
}

func (m *textMap) add(key, value string) {
	m.reserve(m.count + 1)
	slot := m.slot(key)
	if m.slots[slot] != 0 {
		return
	}
	m.slots[slot] = uint32(len(m.entries)) + 1
	m.entries = appendField(appendField(m.entries, key), value)
	m.count++
}

// slot returns where key is, or where it would be.
func (m *textMap) slot(key string) int {
	mask := len(m.slots) - 1
	for i := int(maphash.String(m.seed, key)) & mask; ; i = (i + 1) & mask {
		if m.slots[i] == 0 {
			return i
		}
		if found, _ := m.field(m.slots[i] - 1); string(found) == key {
			return i
		}
	}
}

// reserve makes the hash table so large that n entries fill at most two thirds of it.
func (m *textMap) reserve(n int) {
	const smallest = 16
	if n*3 <= len(m.slots)*2 {
		return
	}
	old := m.slots
	m.slots = make([]uint32, max(smallest, 1<<bits.Len(uint(n*3/2))))
	for _, offset := range old {
		if offset != 0 {
			key, _ := m.field(offset - 1)
			m.slots[m.slot(string(key))] = offset
		}
	}
}

func (m *textMap) field(offset uint32) (field, rest []byte) { return fieldOf(m.entries[offset:]) }

func fieldOf(b []byte) (field, rest []byte) {
	n, size := binary.Uvarint(b)
	end := size + int(n)
	return b[size:end], b[end:]
}

func appendField(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
