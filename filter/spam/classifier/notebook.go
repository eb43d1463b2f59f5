package classifier

import (
	"encoding/binary"
	"fmt"
	"math"

	"posthaste/kv"
)

// How many messages of each class a model keeps for rehearsing. Of a full notebook one chosen by chance
// makes room.
const (
	globalKept  = 1_000
	accountKept = 40
	// accountPlaces bounds a message that an account keeps, so that its model takes at most 256 KiB.
	accountPlaces = 400
)

// A page is a message in the notebook.
type page struct {
	lesson
	number uint16
}

type pageKey struct {
	class  Class
	number uint16
}

// A notebook holds messages of both classes.
type notebook struct {
	max   int
	pages [2][]page
}

func (n *notebook) of(class Class) []page { return n.pages[class-Ham] }

// keep writes l into the notebook, unless it is too long for an account's.
func (m *model) keep(l lesson) {
	if !m.pairs && len(l.places) > accountPlaces {
		return
	}
	all := &m.kept.pages[l.class-Ham]
	p := page{lesson: l, number: uint16(len(*all))}
	if len(*all) < m.kept.max {
		*all = append(*all, p)
	} else {
		p.number = uint16(m.chance.IntN(len(*all)))
		(*all)[p.number] = p
	}
	m.pending.pages[pageKey{l.class, p.number}] = p
}

// unkeep tears a message out; the last page takes the place of its own.
func (m *model) unkeep(id memoryKey) {
	for i := range m.kept.pages {
		all := m.kept.pages[i]
		for n := range all {
			if all[n].id != id {
				continue
			}
			class, last := Ham+Class(i), len(all)-1
			all[n] = all[last]
			all[n].number = uint16(n)
			m.pending.pages[pageKey{class, uint16(n)}] = all[n]
			m.pending.pages[pageKey{class, uint16(last)}] = page{number: uint16(last)} // of no class: it is gone
			m.kept.pages[i] = all[:last]
			return
		}
	}
}

const pagePrefix = "r/"

func (k pageKey) key() []byte {
	return binary.BigEndian.AppendUint16(append([]byte(pagePrefix), byte(k.class)), k.number)
}

// encode returns p as it is stored: its message, what others said of it, its places.
func (p page) encode() []byte {
	b := append(make([]byte, 0, 12+3*len(p.places)), p.id[:]...)
	b = binary.BigEndian.AppendUint32(b, math.Float32bits(float32(p.outer)))
	for _, at := range p.places {
		b = append(b, byte(at>>16), byte(at>>8), byte(at))
	}
	return b
}

// parsePage reads a page of a model with so many slots.
func parsePage(key, b []byte, slots uint32) (p page, err error) {
	bad := fmt.Errorf("classifier: page %x: %w", key, kv.ErrCorrupt)
	if len(key) != len(pagePrefix)+3 || len(b) < 12 || len(b)%3 != 0 || len(b) > 12+3*maxFeatures {
		return p, bad
	}
	p.class, p.number = Class(key[2]), binary.BigEndian.Uint16(key[3:])
	copy(p.id[:], b)
	p.outer = float64(math.Float32frombits(binary.BigEndian.Uint32(b[8:])))
	p.places = make([]uint32, 0, (len(b)-12)/3)
	for b = b[12:]; len(b) > 0; b = b[3:] {
		at := uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
		if at&^placeGeneral >= slots {
			return p, bad
		}
		p.places = append(p.places, at)
	}
	if p.class != Ham && p.class != Spam || math.IsNaN(p.outer) || math.IsInf(p.outer, 0) {
		return p, bad
	}
	return p, nil
}

// readNotebook returns the messages that a model keeps.
func readNotebook(r kv.Reader, slots uint32, most int) (pages [2][]page, err error) {
	prefix := []byte(pagePrefix)
	seq, errf := r.Scan(prefix, kv.PrefixEnd(prefix), false)
	for k, v := range seq {
		p, err := parsePage(k, v, slots)
		if err != nil {
			return pages, err
		}
		all := &pages[p.class-Ham]
		if len(*all) < most {
			p.number = uint16(len(*all))
			*all = append(*all, p)
		}
	}
	return pages, errf()
}
