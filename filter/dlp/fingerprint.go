package dlp

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"posthaste/kv"
)

// Bounds of registered documents.
const (
	MaxDocuments = 200
	MaxName      = 100  // bytes of a document's name
	maxShingles  = 4000 // of one document that are kept, those of the least hash
	minShingles  = 5    // a shorter document cannot be told from others
	shingleWords = 6    // words in a row that are hashed together
)

// ErrNoDocument is the answer for a name that no document has.
var ErrNoDocument = errors.New("dlp: no such document")

// A Fingerprint knows a document again by pieces of its text, and holds nothing of the text itself. Who
// has it can tell whether a text that he has is in the document.
type Fingerprint struct {
	Words    int      `json:"words"`    // of the whole text
	Shingles []uint64 `json:"shingles"` // ascending
}

// NewFingerprint makes that of a file as attachments are read: text, an office document, a zip of them.
func NewFingerprint(name string, content []byte) (Fingerprint, error) {
	r := &reader{left: maxText}
	r.file("", name, content)
	var f Fingerprint
	for _, t := range r.texts {
		eachShingle(t.text, &f.Words, func(h uint64) { f.Shingles = append(f.Shingles, h) })
	}
	slices.Sort(f.Shingles)
	f.Shingles = slices.Compact(f.Shingles)
	f.Shingles = f.Shingles[:min(len(f.Shingles), maxShingles)]
	return f, f.check()
}

func (f *Fingerprint) check() error {
	switch {
	case len(f.Shingles) < minShingles:
		return fmt.Errorf("dlp: too little text was found in it (%d words): want %d at least", f.Words, minShingles+shingleWords-1)
	case len(f.Shingles) > maxShingles:
		return fmt.Errorf("dlp: a fingerprint of %d pieces, of at most %d", len(f.Shingles), maxShingles)
	case !slices.IsSorted(f.Shingles):
		return errors.New("dlp: a fingerprint whose pieces are not in order")
	}
	return nil
}

// eachShingle calls fn with the hash of every few words in a row of s, and adds up its words. Case,
// punctuation and layout do not matter.
func eachShingle(s string, words *int, fn func(uint64)) {
	var last [shingleWords]uint64
	n := 0
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		h := fnv.New64a()
		h.Write([]byte(strings.ToLower(word)))
		last[n%shingleWords] = h.Sum64()
		if n++; n >= shingleWords {
			sum := uint64(0)
			for i := range shingleWords {
				sum = sum*0x9e3779b97f4a7c15 + last[(n+i)%shingleWords]
				sum ^= sum >> 29
			}
			fn(sum)
		}
	}
	*words += n
}

const partition kv.Partition = "dlp/documents"

// documentFormat is the first byte of a stored fingerprint.
const documentFormat = 1

// A Registry keeps the fingerprints of documents: see docs/formats/dlp.md. It may be used at the same time, and by several nodes.
type Registry struct {
	store kv.Store

	mu    sync.Mutex // guards known
	known *documents
}

// NewRegistry returns the Registry in store.
func NewRegistry(store kv.Store) *Registry { return &Registry{store: store} }

// A Document is a registered document as it is listed.
type Document struct {
	Name  string    `json:"name"`
	Time  time.Time `json:"time"` // of registration
	Words int       `json:"words"`
}

// Add registers a document, in the place of the one that had its name.
func (g *Registry) Add(ctx context.Context, name string, f Fingerprint, now time.Time) error {
	if name == "" || len(name) > MaxName || name == "*" {
		return fmt.Errorf("dlp: %q is no name for a document: want 1 to %d bytes", name, MaxName)
	}
	if err := f.check(); err != nil {
		return err
	}
	value := binary.AppendVarint([]byte{documentFormat}, now.Unix())
	value = binary.AppendUvarint(value, uint64(max(f.Words, 0)))
	for _, h := range f.Shingles {
		value = binary.BigEndian.AppendUint64(value, h)
	}
	_, err := g.store.Update(ctx, partition, func(txn kv.Txn) error {
		count := 0
		seq, errf := txn.Scan([]byte{'f'}, []byte{'f' + 1}, false)
		for key := range seq {
			if string(key[1:]) != name {
				count++
			}
		}
		if err := errf(); err != nil {
			return err
		}
		if count >= MaxDocuments {
			return fmt.Errorf("dlp: %d documents are registered, and there may be no more", count)
		}
		txn.Put(append([]byte{'f'}, name...), value)
		return nil
	})
	return err
}

// Delete forgets a document, or returns ErrNoDocument.
func (g *Registry) Delete(ctx context.Context, name string) error {
	_, err := g.store.Update(ctx, partition, func(txn kv.Txn) error {
		key := append([]byte{'f'}, name...)
		if _, err := txn.Get(key); errors.Is(err, kv.ErrNotFound) {
			return ErrNoDocument
		} else if err != nil {
			return err
		}
		txn.Delete(key)
		return nil
	})
	return err
}

// List returns the documents by name.
func (g *Registry) List(ctx context.Context) ([]Document, error) {
	d, err := g.present(ctx)
	if err != nil {
		return nil, err
	}
	return slices.Clone(d.list), nil
}

// documents are all that are registered at one version of the partition.
type documents struct {
	version kv.Version
	list    []Document
	sizes   []int   // pieces of each
	pieces  []piece // ascending
}

type piece struct {
	hash     uint64
	document int
}

// present returns the documents as they are now, which costs one look where nothing has changed.
func (g *Registry) present(ctx context.Context) (*documents, error) {
	if g == nil {
		return &documents{}, nil
	}
	g.mu.Lock()
	known := g.known
	g.mu.Unlock()
	err := g.store.View(ctx, partition, func(r kv.Reader) error {
		if known != nil && known.version == r.Version() {
			return nil
		}
		fresh := &documents{version: r.Version()}
		seq, errf := r.Scan([]byte{'f'}, []byte{'f' + 1}, false)
		for key, value := range seq {
			if err := fresh.add(string(key[1:]), value); err != nil {
				return err
			}
		}
		fresh.sort()
		known = fresh
		return errf()
	})
	if err != nil {
		return nil, fmt.Errorf("dlp: registered documents: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.known = known
	return known, nil
}

// sort brings the pieces into the order in which they are looked up.
func (d *documents) sort() {
	slices.SortFunc(d.pieces, func(a, b piece) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.document, b.document))
	})
}

// add reads one stored fingerprint.
func (d *documents) add(name string, value []byte) error {
	corrupt := fmt.Errorf("%w: fingerprint %q", kv.ErrCorrupt, name)
	if len(value) == 0 || value[0] != documentFormat {
		return corrupt
	}
	value = value[1:]
	at, n := binary.Varint(value)
	if n <= 0 {
		return corrupt
	}
	words, m := binary.Uvarint(value[n:])
	if value = value[n+max(m, 0):]; m <= 0 || len(value)%8 != 0 {
		return corrupt
	}
	for i := 0; i < len(value); i += 8 {
		d.pieces = append(d.pieces, piece{binary.BigEndian.Uint64(value[i:]), len(d.list)})
	}
	d.sizes = append(d.sizes, len(value)/8)
	d.list = append(d.list, Document{name, time.Unix(at, 0).UTC(), int(words)})
	return nil
}

// find calls fn with each document of which something is in texts, and how much of it.
func (d *documents) find(texts []text, fn func(name string, share float64)) {
	if len(d.pieces) == 0 {
		return
	}
	hit := make([]bool, len(d.pieces))
	words := 0
	for _, t := range texts {
		eachShingle(t.text, &words, func(h uint64) {
			i, _ := slices.BinarySearchFunc(d.pieces, h, func(p piece, h uint64) int { return cmp.Compare(p.hash, h) })
			for ; i < len(d.pieces) && d.pieces[i].hash == h; i++ {
				hit[i] = true
			}
		})
	}
	found := make([]int, len(d.list))
	for i, h := range hit {
		if h {
			found[d.pieces[i].document]++
		}
	}
	for i, n := range found {
		if n > 0 {
			fn(d.list[i].Name, float64(n)/float64(max(d.sizes[i], 1)))
		}
	}
}
