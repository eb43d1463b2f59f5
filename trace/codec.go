package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"

	"posthaste/kv"
	"posthaste/mail"
)

// The first byte of a block is the version of its format. Blocks of the first have no verdicts.
const (
	codecFirst   = 1
	codecVersion = 2
)

// maxBlockBytes bounds a block once it is unpacked.
const maxBlockBytes = 64 << 20

var errBlock = fmt.Errorf("trace: block: %w", kv.ErrCorrupt)

// encodeBlock packs events, all of them in the order given.
func encodeBlock(events []Event) []byte {
	raw := make([]byte, 0, 200*len(events))
	for i := range events {
		raw = appendEvent(raw, &events[i])
	}
	return s2.Encode(nil, append([]byte{codecVersion}, raw...))
}

func appendEvent(b []byte, e *Event) []byte {
	b = binary.AppendVarint(b, e.Time.UnixMicro())
	ok := byte(0)
	if e.OK {
		ok = 1
	}
	b = append(b, ok)
	for _, s := range [...]string{e.Node, string(e.ID), e.Session, string(e.Step), e.Peer, e.Asked, e.Answered, e.Reason, e.Text, e.From, e.MessageID} {
		b = appendString(b, s)
	}
	b = binary.AppendUvarint(b, uint64(len(e.To)))
	for _, a := range e.To {
		b = appendString(appendString(b, a.Local), a.Domain)
	}
	b = binary.AppendVarint(b, int64(e.Took))
	return appendVerdict(b, e.Verdict)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decodeBlock calls f with every event of a block until f returns false.
func decodeBlock(block []byte, f func(Event) bool) error {
	if n, err := s2.DecodedLen(block); err != nil || n > maxBlockBytes {
		return errBlock
	}
	raw, err := s2.Decode(nil, block)
	if err != nil || len(raw) == 0 || raw[0] < codecFirst || raw[0] > codecVersion {
		return errors.Join(errBlock, err)
	}
	d := decoder{b: raw[1:], verdicts: raw[0] > codecFirst}
	for len(d.b) > 0 && !d.bad {
		e := d.event()
		if d.bad {
			break
		}
		if !f(e) {
			return nil
		}
	}
	if d.bad {
		return errBlock
	}
	return nil
}

type decoder struct {
	b        []byte
	bad      bool
	verdicts bool // events have them
}

func (d *decoder) event() (e Event) {
	e.Time = time.UnixMicro(d.varint())
	e.OK = d.byte() == 1
	e.Node, e.ID, e.Session, e.Step = d.string(), mail.QueueID(d.string()), d.string(), Step(d.string())
	e.Peer, e.Asked, e.Answered, e.Reason, e.Text = d.string(), d.string(), d.string(), d.string(), d.string()
	e.From, e.MessageID = d.string(), d.string()
	for range d.uvarint() {
		e.To = append(e.To, mail.Address{Local: d.string(), Domain: d.string()})
		if d.bad {
			return e
		}
	}
	e.Took = time.Duration(d.varint())
	if d.verdicts {
		e.Verdict = d.verdict()
	}
	return e
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	d.skip(n)
	return v
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	d.skip(n)
	return v
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) string() string {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) skip(n int) {
	if n <= 0 {
		d.bad, d.b = true, nil
		return
	}
	d.b = d.b[n:]
}

// hashOf is what a block can be searched by: an ID, an address or a Message-ID, in any case.
func hashOf(s string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(strings.ToLower(s)))
	return h.Sum32()
}

// searchHashes returns the hashes of all that events can be found by, ascending, each once.
func searchHashes(events []Event) []uint32 {
	hashes := make([]uint32, 0, 2*len(events))
	for i := range events {
		e := &events[i]
		for _, s := range [...]string{string(e.ID), e.Session, e.From, strings.Trim(e.MessageID, "<>")} {
			if s != "" {
				hashes = append(hashes, hashOf(s))
			}
		}
		for _, a := range e.To {
			hashes = append(hashes, hashOf(a.String()))
		}
	}
	slices.Sort(hashes)
	return slices.Compact(hashes)
}

func encodeHashes(hashes []uint32) []byte {
	b := make([]byte, 0, 3*len(hashes))
	last := uint32(0)
	for _, h := range hashes {
		b = binary.AppendUvarint(b, uint64(h-last))
		last = h
	}
	return b
}

// containsHash tells whether an encoded list holds any of want.
func containsHash(b []byte, want []uint32) bool {
	h := uint32(0)
	for len(b) > 0 {
		delta, n := binary.Uvarint(b)
		if n <= 0 {
			return true // unreadable: let the block itself decide
		}
		b, h = b[n:], h+uint32(delta)
		if slices.Contains(want, h) {
			return true
		}
	}
	return false
}
