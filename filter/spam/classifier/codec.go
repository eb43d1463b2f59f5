package classifier

import (
	"encoding/binary"
	"fmt"
	"math"

	"posthaste/kv"
)

// appendChanges appends changes to slots, whose indexes ascend: for each the distance to the one
// before, then what is added to sum, ham and spam.
func appendChanges(b []byte, indexes []uint32, at func(uint32) change) []byte {
	b = binary.AppendUvarint(b, uint64(len(indexes)))
	last := uint32(0)
	for _, i := range indexes {
		c := at(i)
		b = binary.AppendUvarint(b, uint64(i-last))
		b = binary.AppendVarint(b, int64(c.sum))
		b = binary.AppendVarint(b, int64(c.ham))
		b = binary.AppendVarint(b, int64(c.spam))
		last = i
	}
	return b
}

// A decoder reads numbers; after an error it reads zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() {
	d.b, d.bad = nil, true
}

func (d *decoder) unsigned(most uint64) uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > most {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) signed() int32 {
	v, n := binary.Varint(d.b)
	if n <= 0 || v > math.MaxInt32 || v < math.MinInt32 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return int32(v)
}

func (d *decoder) count() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// changes calls add for each change to one of slots, and takes them from d.
func (d *decoder) changes(slots uint64, add func(uint32, change)) {
	n := d.unsigned(slots)
	at := uint64(0)
	for range n {
		at += d.unsigned(slots)
		c := change{d.signed(), d.signed(), d.signed()}
		if at >= slots {
			d.fail()
		}
		if d.bad {
			return
		}
		add(uint32(at), c)
	}
}

func (d *decoder) totals() totals {
	return totals{ham: d.count(), spam: d.count()}
}

// end returns an error unless d was read to its end without one.
func (d *decoder) end(what string) error {
	if d.bad || len(d.b) > 0 {
		return fmt.Errorf("classifier: %s: %w", what, kv.ErrCorrupt)
	}
	return nil
}

func appendTotals(b []byte, t totals) []byte {
	b = binary.AppendVarint(b, t.ham)
	return binary.AppendVarint(b, t.spam)
}

// A head says what of a model is in chunks, and how long the log behind them is.
type head struct {
	base    kv.Version // the chunks hold every batch up to it
	totals  totals     // of the chunks
	batches uint64     // in the log
	bytes   uint64     // of the log
}

const format = 2

func (h head) append(b []byte, bits uint) []byte {
	b = append(b, format, byte(bits))
	b = binary.AppendUvarint(b, uint64(h.base))
	b = appendTotals(b, h.totals)
	b = binary.AppendUvarint(b, h.batches)
	return binary.AppendUvarint(b, h.bytes)
}

func parseHead(b []byte, bits uint) (h head, err error) {
	if len(b) < 2 || b[0] != format || b[1] != byte(bits) {
		return head{}, fmt.Errorf("classifier: head: format is not %d with %d bits: %w", format, bits, kv.ErrCorrupt)
	}
	d := decoder{b: b[2:]}
	h.base = kv.Version(d.unsigned(math.MaxUint64))
	h.totals = d.totals()
	h.batches, h.bytes = d.unsigned(math.MaxUint64), d.unsigned(math.MaxUint64)
	return h, d.end("head")
}

// encode returns b as it stands in the log: its ID, what it adds to the totals, and to slots.
func (b *batch) encode() []byte {
	out := binary.BigEndian.AppendUint64(nil, b.id)
	out = appendTotals(out, b.totals)
	return appendChanges(out, b.indexes(), func(i uint32) change { return b.changes[i] })
}

// decodeBatch calls add for each change of a batch of the log.
func decodeBatch(b []byte, slots uint64, add func(uint32, change)) (id uint64, t totals, err error) {
	if len(b) < 8 {
		return 0, totals{}, fmt.Errorf("classifier: batch: %w", kv.ErrCorrupt)
	}
	d := decoder{b: b[8:]}
	t = d.totals()
	d.changes(slots, add)
	return binary.BigEndian.Uint64(b), t, d.end("batch")
}
