package classifier

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"posthaste/kv"
	"posthaste/mail"
)

// Partitions: docs/formats/spam.md.
const globalPartition kv.Partition = "spam/global"

func accountPartition(id mail.AccountID) kv.Partition {
	return kv.Partition("spam/account/" + id.String())
}

// The log is folded into the chunks when it holds so much.
const (
	maxBatches  = 200
	maxLogBytes = 2 << 20
)

// chunkSlots are the slots of a chunk: what few messages taught makes few chunks.
const chunkSlots = 1 << 14

var headKey, chunkPrefix, logPrefix = []byte("h"), []byte("c/"), []byte("d/")

func chunkKey(n int) []byte { return binary.BigEndian.AppendUint16([]byte("c/"), uint16(n)) }

func logKey(v kv.Version) []byte { return binary.BigEndian.AppendUint64([]byte("d/"), uint64(v)) }

// load reads the model, once.
func (m *model) load(ctx context.Context) error {
	if !m.loading.Load() {
		return nil
	}
	return m.refresh(ctx)
}

// refresh takes over what the store holds beyond what m knows.
func (m *model) refresh(ctx context.Context) error {
	m.syncing.Lock()
	defer m.syncing.Unlock()
	m.mu.RLock()
	behind := kv.Version(m.newest.Load()) > m.version
	m.mu.RUnlock()
	if !behind && !m.loading.Load() {
		return nil
	}
	news := reading{bits: m.bits, most: m.kept.max}
	err := m.kv.View(ctx, m.partition, func(r kv.Reader) error {
		m.mu.RLock()
		since := m.version
		m.mu.RUnlock()
		news = reading{bits: m.bits, most: m.kept.max}
		return news.read(r, since)
	})
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return fmt.Errorf("classifier: read %s: %w", m.partition, err)
	}
	m.adopt(news)
	m.loading.Store(false)
	return nil
}

// A reading is what was read of a model.
type reading struct {
	bits    uint
	most    int    // pages of a class
	slots   []slot // with whole: of the chunks
	whole   bool   // slots and totals replace what was known
	totals  totals
	kept    [2][]page // with whole
	batches []readBatch
	version kv.Version
}

type readBatch struct {
	id      uint64
	totals  totals
	changes []indexed
}

type indexed struct {
	at uint32
	change
}

// read reads what came after since, or all where the log does not go back so far.
func (n *reading) read(r kv.Reader, since kv.Version) error {
	n.version = r.Version()
	value, err := r.Get(headKey)
	if err != nil {
		return err
	}
	h, err := parseHead(value, n.bits)
	if err != nil {
		return err
	}
	if n.whole = since < h.base || since == 0; n.whole {
		since, n.totals = h.base, h.totals
		if n.slots, err = readChunks(r, n.bits); err != nil {
			return err
		}
		if n.kept, err = readNotebook(r, 1<<n.bits, n.most); err != nil {
			return err
		}
	}
	seq, errf := r.Scan(logKey(since+1), kv.PrefixEnd(logPrefix), false)
	for _, v := range seq {
		b := readBatch{}
		if b.id, b.totals, err = decodeBatch(v, 1<<n.bits, func(at uint32, c change) {
			b.changes = append(b.changes, indexed{at, c})
		}); err != nil {
			return err
		}
		n.batches = append(n.batches, b)
	}
	return errf()
}

func readChunks(r kv.Reader, bits uint) ([]slot, error) {
	slots := make([]slot, 1<<bits)
	seq, errf := r.Scan(chunkPrefix, kv.PrefixEnd(chunkPrefix), false)
	for k, v := range seq {
		if len(k) != len(chunkPrefix)+2 {
			return nil, fmt.Errorf("classifier: chunk %x: %w", k, kv.ErrCorrupt)
		}
		first := uint64(binary.BigEndian.Uint16(k[len(chunkPrefix):])) * chunkSlots
		d := decoder{b: v}
		d.changes(chunkSlots, func(at uint32, c change) {
			if first+uint64(at) < uint64(len(slots)) {
				slots[first+uint64(at)].add(c)
			}
		})
		if err := d.end("chunk"); err != nil {
			return nil, err
		}
	}
	return slots, errf()
}

// adopt puts news in force. What this node taught and the store has not stays on top.
func (m *model) adopt(n reading) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n.whole {
		m.slots, m.totals, m.kept.pages = n.slots, n.totals, n.kept
		clear(m.own)
	} else if m.slots == nil && len(n.batches) > 0 {
		m.slots = make([]slot, 1<<m.bits)
	}
	for _, b := range n.batches {
		if m.own[b.id] {
			delete(m.own, b.id)
			continue
		}
		for _, c := range b.changes {
			m.slots[c.at].add(c.change)
		}
		m.totals.add(b.totals)
		if m.sending != nil && b.id == m.sending.id {
			m.sending = nil // it was written after all
		}
	}
	if n.whole {
		m.addBatch(m.sending)
		m.addBatch(m.pending)
	}
	m.version = max(m.version, n.version)
}

// addBatch adds a batch of this node to slots.
func (m *model) addBatch(b *batch) {
	if b == nil {
		return
	}
	for at, c := range b.changes {
		m.slots[at].add(c)
	}
	m.totals.add(b.totals)
}

// flush writes what waits.
func (m *model) flush(ctx context.Context, now time.Time) error {
	m.syncing.Lock()
	defer m.syncing.Unlock()
	if err := m.write(ctx, now); err != nil {
		return err
	}
	m.mu.Lock()
	b := m.pending
	if b.empty() {
		m.mu.Unlock()
		return nil
	}
	m.pending = newBatch()
	for b.id == 0 || m.own[b.id] {
		b.id = rand.Uint64()
	}
	m.own[b.id] = true
	m.sending = b
	m.mu.Unlock()
	return m.write(ctx, now)
}

// write writes the batch that is on its way.
func (m *model) write(ctx context.Context, now time.Time) error {
	m.mu.RLock()
	b, since := m.sending, m.version
	m.mu.RUnlock()
	if b == nil {
		return nil
	}
	encoded := b.encode()
	v, err := m.kv.Update(ctx, m.partition, func(tx kv.Txn) error { return m.put(tx, b, encoded, since, now) })
	if err != nil {
		return fmt.Errorf("classifier: write %s: %w", m.partition, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sending = nil
	if v == m.version+1 {
		m.version = v
		delete(m.own, b.id)
	}
	return nil
}

// put adds a batch to the log, unless an earlier attempt did, and folds the log when it is long.
func (m *model) put(tx kv.Txn, b *batch, encoded []byte, since kv.Version, now time.Time) error {
	h := head{base: tx.Version()}
	value, err := tx.Get(headKey)
	if err == nil {
		h, err = parseHead(value, m.bits)
	}
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	seq, errf := tx.Scan(logKey(since+1), kv.PrefixEnd(logPrefix), false)
	for _, v := range seq {
		if len(v) >= 8 && binary.BigEndian.Uint64(v) == b.id {
			return nil
		}
	}
	if err := errf(); err != nil {
		return err
	}
	for id, l := range b.memories {
		if l.class == 0 {
			tx.Delete(id.key())
			continue
		}
		tx.Put(id.key(), l.append(nil))
	}
	if err := putRehearsed(tx, b); err != nil {
		return err
	}
	for k, p := range b.pages {
		if p.class == 0 {
			tx.Delete(k.key())
			continue
		}
		tx.Put(k.key(), p.encode())
	}
	h.batches++
	h.bytes += uint64(len(encoded))
	tx.Put(logKey(tx.Next()), encoded)
	if h.batches >= maxBatches || h.bytes >= maxLogBytes {
		if h, err = m.fold(tx, h, now); err != nil {
			return err
		}
	}
	tx.Put(headKey, h.append(nil, m.bits))
	return nil
}

// putRehearsed adds what messages taught once more to what is remembered of them.
func putRehearsed(tx kv.Txn, b *batch) error {
	for id, more := range b.rehearsed {
		value, err := tx.Get(id.key())
		if errors.Is(err, kv.ErrNotFound) {
			continue // too old to be remembered
		}
		var l memory
		if err == nil {
			l, err = parseMemory(value)
		}
		if err != nil {
			return err
		}
		if l.class == more.class {
			l.rehearse(more)
			tx.Put(id.key(), l.append(nil))
		}
	}
	return nil
}

// fold puts the log into the chunks.
func (m *model) fold(tx kv.Txn, h head, now time.Time) (head, error) {
	slots, err := readChunks(tx, m.bits)
	if err != nil {
		return h, err
	}
	seq, errf := tx.Scan(logPrefix, kv.PrefixEnd(logPrefix), false)
	for _, v := range seq {
		_, t, err := decodeBatch(v, uint64(len(slots)), func(at uint32, c change) { slots[at].add(c) })
		if err != nil {
			return h, err
		}
		h.totals.add(t)
	}
	if err := errf(); err != nil {
		return h, err
	}
	tx.DeleteRange(logPrefix, kv.PrefixEnd(logPrefix))
	for n := 0; n*chunkSlots < len(slots); n++ {
		putChunk(tx, n, slots[n*chunkSlots:min((n+1)*chunkSlots, len(slots))])
	}
	h.base, h.batches, h.bytes = tx.Next(), 0, 0
	return h, sweep(tx, day(now))
}

func putChunk(tx kv.Txn, n int, slots []slot) {
	var used []uint32
	for i, s := range slots {
		if s != (slot{}) {
			used = append(used, uint32(i))
		}
	}
	if len(used) == 0 {
		tx.Delete(chunkKey(n))
		return
	}
	tx.Put(chunkKey(n), appendChanges(nil, used, func(i uint32) change {
		return change{slots[i].sum, int32(slots[i].ham), int32(slots[i].spam)}
	}))
}

// assert that every chunk has a number that its key can hold.
const _ = uint(math.MaxUint16 - (1<<globalBits)/chunkSlots)
