package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"posthaste/blob"
	"posthaste/kv"
	"posthaste/message"
)

// Facts is what is known about an email without reading its content. It never changes.
type Facts struct {
	Email         EmailID
	Size          int64     // bytes of prefix and content
	HeaderSize    int       // bytes of the header, prefix and the empty line included
	Envelope      []byte    // as IMAP prints ENVELOPE: "(…)"
	BodyStructure []byte    // as IMAP prints BODYSTRUCTURE, with extension data: see imap.AppendBody
	Preview       string    // the beginning of the text, at most 200 characters (RFC 8970)
	Sent          time.Time // the Date field in its zone; zero when there is none that makes sense

	content location
	prefix  []byte
	threads []uint64
	search  [len(searchFields)]string // as search compares them
}

// A location is where content is.
type location struct {
	size int64 // unpacked
	body kv.BodyID
	blob blob.Name // where it is not ""
}

// The ways content can lie.
const (
	inBody = 0
	inBlob = 1
)

// appendFacts writes the facts of an email: where its content is, the prefix, then what is the same for
// every email with that content.
func appendFacts(dst []byte, at location, prefix, contentFacts []byte) []byte {
	dst = append(dst, 1)
	if at.blob != "" {
		dst = appendBytes(append(dst, inBlob), at.blob)
	} else {
		dst = binary.AppendUvarint(append(dst, inBody), uint64(at.body))
	}
	dst = binary.AppendUvarint(dst, uint64(at.size))
	dst = appendBytes(dst, prefix)
	return append(dst, contentFacts...)
}

func appendFactNumbers(dst []byte, m *message.Message, dated bool, sent int64, zone int) []byte {
	dst = binary.AppendUvarint(dst, uint64(m.Root.BodyStart-m.Root.HeaderStart))
	dst = appendBool(dst, dated)
	dst = binary.AppendVarint(dst, sent)
	return binary.AppendVarint(dst, int64(zone))
}

// decodeFacts reads facts. What it returns shares value where it is bytes.
func decodeFacts(id EmailID, value []byte) (*Facts, error) {
	d := decoder{b: value}
	d.format(1)
	f := &Facts{Email: id}
	switch d.byte() {
	case inBody:
		f.content.body = kv.BodyID(d.uvarint())
	case inBlob:
		f.content.blob = blob.Name(d.string())
	default:
		d.fail()
	}
	f.content.size = int64(d.uvarint())
	f.prefix = d.bytes()
	f.Size = f.content.size + int64(len(f.prefix))
	f.HeaderSize = int(d.uvarint()) + len(f.prefix)
	dated := d.byte() != 0
	sent, zone := d.varint(), d.varint()
	if dated {
		f.Sent = time.Unix(sent, 0).In(zoneOf(int(zone)))
	}
	f.threads = d.hashes()
	for i := range f.search {
		f.search[i] = d.string()
	}
	f.Preview = d.string()
	f.Envelope = d.bytes()
	f.BodyStructure = d.bytes()
	if !d.whole() { // to name the email costs more than to read it
		return f, d.err(fmt.Sprintf("facts of email %d", id))
	}
	return f, nil
}

// zoneOf returns the zone that is so many seconds east. Most mail has that of UTC, which costs nothing.
func zoneOf(seconds int) *time.Location {
	if seconds == 0 {
		return time.UTC
	}
	return time.FixedZone("", seconds)
}

// getFacts returns the facts of one email, the caller's own.
func getFacts(r kv.Reader, id EmailID) (*Facts, error) {
	value, err := r.Get(factsKey(id))
	if errors.Is(err, kv.ErrNotFound) {
		return nil, fmt.Errorf("store: email %d: %w", id, ErrNoEmail)
	}
	if err != nil {
		return nil, err
	}
	return decodeFacts(id, slices.Clone(value))
}

// Bounds of one View that reads facts: its time is short whatever the client does meanwhile.
const (
	factsBatch = 512
	factsGap   = 16 // emails nobody asked for that are read over rather than starting a new scan
)

// Facts calls fn with the facts of each email of ids that is still stored, in the order of ids, which
// is fastest when ascending. What fn gets is its own.
func (a *Account) Facts(ctx context.Context, ids []EmailID, fn func(*Facts) error) error {
	for batch := range slices.Chunk(ids, factsBatch) {
		list := make([]*Facts, len(batch))
		err := a.store.cfg.KV.View(ctx, a.partition, func(r kv.Reader) error {
			return readFacts(r, batch, list)
		})
		if err != nil {
			return fmt.Errorf("store: facts of account %d: %w", a.id, err)
		}
		for _, f := range list {
			if f == nil {
				continue
			}
			if err := fn(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// readFacts sets list[i] to the facts of ids[i]; those that are gone stay nil.
func readFacts(r kv.Reader, ids []EmailID, list []*Facts) error {
	for i := 0; i < len(ids); {
		end := i + 1
		for end < len(ids) && ids[end] > ids[end-1] && ids[end]-ids[end-1] <= factsGap {
			end++
		}
		var err error
		if end-i == 1 {
			list[i], err = getFacts(r, ids[i])
		} else {
			err = scanFacts(r, ids[i:end], list[i:end])
		}
		if err != nil && !errors.Is(err, ErrNoEmail) {
			return err
		}
		i = end
	}
	return nil
}

// scanFacts reads ids, which ascend, with one iterator.
func scanFacts(r kv.Reader, ids []EmailID, list []*Facts) error {
	seq, errf := r.Scan(factsKey(ids[0]), factsKey(ids[len(ids)-1]+1), false)
	i := 0
	for key, value := range seq {
		id := EmailID(binary.BigEndian.Uint64(key[1:]))
		for i < len(ids) && ids[i] < id {
			i++
		}
		if i == len(ids) {
			break
		}
		if ids[i] != id {
			continue
		}
		f, err := decodeFacts(id, slices.Clone(value))
		if err != nil {
			return err
		}
		list[i] = f
	}
	return errf()
}
