package store

import (
	"encoding/binary"
	"fmt"

	"posthaste/kv"
)

// A decoder reads what the append functions wrote. After a failure it yields zeros; the caller asks
// err once at the end.
type decoder struct {
	b    []byte
	bad  bool
	rows int // how many more rows the value may have
}

func (d *decoder) fail() {
	d.bad = true
	d.b = nil
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) uvarint() uint64 {
	if len(d.b) > 0 && d.b[0] < 0x80 {
		v := uint64(d.b[0])
		d.b = d.b[1:]
		return v
	}
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// count reads the number of items that follow, each of at least one byte.
func (d *decoder) count() int {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail()
		return 0
	}
	return int(n)
}

// bytes reads a length and that many bytes, which are not copied.
func (d *decoder) bytes() []byte {
	n := d.count()
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) string() string { return string(d.bytes()) }

// format reads the first byte of a value, which must be want.
func (d *decoder) format(want byte) {
	if d.byte() != want {
		d.fail()
	}
}

// whole tells whether the value was read to its end without a failure.
func (d *decoder) whole() bool { return !d.bad && len(d.b) == 0 }

// err returns what is wrong with the value called what, if anything.
func (d *decoder) err(what string) error {
	if d.whole() {
		return nil
	}
	return fmt.Errorf("store: %s: %w", what, kv.ErrCorrupt)
}

func appendBytes[T ~string | ~[]byte](dst []byte, b T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}
