package store

import (
	"bytes"
	"context"
	"reflect"
	"testing"

	"posthaste/kv/memkv"
)

// FuzzLogEntry reads any bytes as a log entry: no panic, and what is read is written alike.
func FuzzLogEntry(f *testing.F) {
	full := change{
		when: 1e9, keywords: []string{"work"}, boxes: []boxChange{{7, nil, encodeBox(&boxRecord{Name: "x"})}},
		subs: []subChange{{"x", true}}, touched: []MailboxID{1, 7},
		created:   []emailRow{{id: 5, thread: 2, received: 9, size: 100}, {id: 6, thread: 6, keywords: Keywords{1, 2}}},
		added:     []members{{7, []memberRow{{email: 5, saved: 3, uid: 1}, {email: 2, uid: 9, deleted: true}}}},
		removed:   []members{{1, []memberRow{{email: 5, uid: 1}}}},
		marks:     []mark{{1, true, UIDSet{{1, 3}, {9, 9}}}},
		flips:     []flip{{Keywords{1, 0}, Keywords{3, 0}, emailSet{{9, 12}, {2, 3}}}},
		destroyed: []emailRow{{id: 1, thread: 1}},
	}
	f.Add(full.encode())
	f.Add([]byte{logFormat, 0, partCreated, 0xff, 0xff, 0x3f, 1, 1, 1})
	f.Add([]byte{logFormat, 0, 99})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeChange(3, b)
		if err != nil || manyRows(c) {
			return
		}
		written := c.encode()
		again, err := decodeChange(3, written)
		if err != nil || !bytes.Equal(again.encode(), written) {
			t.Errorf("%+v became %+v, %v", c, again, err)
		}
	})
}

// manyRows tells whether comparing c would only take time.
func manyRows(c *change) bool {
	n := len(c.created) + len(c.destroyed)
	for _, list := range [...][]members{c.added, c.removed} {
		for _, m := range list {
			n += len(m.rows)
		}
	}
	return n > 4*chunkRows
}

// FuzzFacts reads any bytes as facts.
func FuzzFacts(f *testing.F) {
	s, err := New(Config{KV: memkv.New()})
	if err != nil {
		f.Fatal(err)
	}
	defer s.Close()
	m, err := s.Prepare(context.Background(), content("x", "y"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(appendFacts(nil, location{size: m.size, body: 7}, []byte("Received: x\r\n"), m.facts))
	f.Add(appendFacts(nil, location{size: 1 << 40, blob: "name"}, nil, m.facts))
	f.Fuzz(func(t *testing.T, b []byte) {
		if facts, err := decodeFacts(1, b); err == nil && facts.Email != 1 {
			t.Error("another email")
		}
	})
}

// FuzzChunks reads any bytes as chunks.
func FuzzChunks(f *testing.F) {
	c := emailChunk{rows: []emailRow{{id: 1, box: severalBoxes}, {id: 2, box: 1}}, more: map[EmailID][]MailboxID{1: {1, 2}}}
	f.Add(c.encode(9))
	f.Add((&memberChunk{rows: []memberRow{{email: 1, uid: 1}, {email: 2, uid: 5, deleted: true}}}).encode(9))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := decodeEmailChunk(0, b); err == nil {
			if again, err := decodeEmailChunk(0, c.encode(0)); err != nil || !reflect.DeepEqual(c, again) {
				t.Errorf("%+v became %+v, %v", c, again, err)
			}
		}
		if c, err := decodeMemberChunk(0, b); err == nil {
			if again, err := decodeMemberChunk(0, c.encode(0)); err != nil || !reflect.DeepEqual(c, again) {
				t.Errorf("%+v became %+v, %v", c, again, err)
			}
		}
	})
}

// FuzzPacked packs any content and unpacks any bytes.
func FuzzPacked(f *testing.F) {
	c, err := newCodec()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(""))
	f.Add([]byte("hello hello hello hello"))
	f.Add(bytes.Repeat([]byte("0123456789"), 2000))
	f.Add([]byte{packedS2, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := c.unpack([]byte("prefix"), c.pack(b), int64(len(b)))
		if err != nil || string(got) != "prefix"+string(b) {
			t.Errorf("%d bytes came back as %d, %v", len(b), len(got), err)
		}
		if _, err := c.unpack(nil, b, 10); err == nil && len(b) == 0 {
			t.Error("nothing was unpacked")
		}
	})
}
