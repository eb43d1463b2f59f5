package quarantine

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"posthaste/blob"
	"posthaste/directory"
	"posthaste/kv"
	"posthaste/mail"
	"posthaste/message"
)

// A State is where a message stands for one recipient.
type State string

// The states.
const (
	Kept     State = "kept"
	Released State = "released"
	Deleted  State = "deleted"
	Expired  State = "expired" // by age or by the bounds of bytes
)

// A Recipient is somebody a message is kept for.
type Recipient struct {
	mail.Recipient
	// Owner is whose decision it is: an account, as its number, or the address itself.
	Owner string `json:"owner"`
	State State  `json:"state"`
}

// An Entry is a message in the quarantine without its content.
type Entry struct {
	ID         ID            `json:"id"`
	Envelope   mail.Envelope `json:"envelope"` // its ID is that under which the message came
	Recipients []Recipient   `json:"recipients"`
	Verdict    mail.Verdict  `json:"verdict"`
	Outgoing   bool          `json:"outgoing,omitempty"`
	Reason     string        `json:"reason"`
	Time       time.Time     `json:"time"`               // when it was put
	Size       int64         `json:"size"`               // bytes of content
	Author     string        `json:"author,omitempty"`   // as people read it
	AuthorAt   string        `json:"authorat,omitempty"` // its address, in lower case
	Subject    string        `json:"subject,omitempty"`
	MessageID  string        `json:"messageid,omitempty"`
}

// A record is an Entry as it is stored.
type record struct {
	Entry
	Body   kv.BodyID `json:"body,omitempty"`
	Blob   blob.Name `json:"blob,omitempty"`
	Origin []byte    `json:"origin"` // tells a repeat
}

// hashSize is how much of a SHA-256 names a recipient, an owner or an origin in keys.
const hashSize = 16

func hashOf(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:hashSize]
}

// newRecord makes the record of an item, but for the place of its content. The ID is made from the
// item alone, so that a repeat finds the first.
func (q *Quarantine) newRecord(ctx context.Context, item *Item) *record {
	h := message.ParseHeader(item.Content)
	r := &record{Entry: Entry{Envelope: item.Envelope, Verdict: item.Verdict, Outgoing: item.Outgoing,
		Reason: short(cmp.Or(item.Reason, item.Verdict.Reason, "its content or its sender is suspicious")),
		Time:   q.cfg.Clock().UTC(), Size: int64(len(item.Content)),
		Subject: short(h.Subject()), MessageID: short(h.MessageID())}}
	r.Author, r.AuthorAt = authorOf(h)
	r.Envelope.Recipients = nil // those of others who got the message do not belong here
	if len(r.Verdict.Findings) > maxFindings {
		r.Verdict.Findings = r.Verdict.Findings[:maxFindings]
	}
	names := make([]string, 0, len(item.Recipients))
	for _, to := range item.Recipients {
		name := fold(to.Address)
		if slices.Contains(names, name) {
			continue
		}
		names = append(names, name)
		r.Recipients = append(r.Recipients, Recipient{to, q.owner(ctx, item, to.Address), Kept})
	}
	slices.Sort(names)
	r.Origin = hashOf(string(item.Envelope.ID) + "\x00" + strings.Join(names, "\x00"))
	r.ID = r.nthID(0)
	return r
}

// owner returns whose decision a message is. Where that cannot be found out now, the address stands for
// itself.
func (q *Quarantine) owner(ctx context.Context, item *Item, a mail.Address) string {
	if item.Outgoing {
		if id := item.Envelope.Origin.Account; id != 0 {
			return ownerOf(id)
		}
		return fold(item.Envelope.From.Address)
	}
	const maxSteps = 5 // aliases in a row that are followed
	for step := 0; q.cfg.Directory != nil && step < maxSteps; step++ {
		target, err := q.cfg.Directory.Resolve(ctx, a)
		switch {
		case err != nil:
			q.cfg.Log.Warn("quarantine: cannot tell whose an address is", "to", a.String(), "err", err)
			return fold(a)
		case target.Kind == directory.KindAccount:
			return ownerOf(target.Account)
		case target.Kind == directory.KindAlias && target.Account != 0: // forwarded, but still its mail
			return ownerOf(target.Account)
		case target.Kind != directory.KindAlias || len(target.Addresses) != 1 || len(target.Branches) > 0:
			return fold(a)
		}
		a = target.Addresses[0]
	}
	return fold(a)
}

func ownerOf(id mail.AccountID) string { return strconv.FormatUint(uint64(id), 10) }

// account returns the account of an owner, or 0.
func (r *Recipient) account() mail.AccountID {
	id, err := strconv.ParseUint(r.Owner, 10, 64)
	if err != nil {
		return 0
	}
	return mail.AccountID(id)
}

// fold returns an address as keys have it.
func fold(a mail.Address) string { return strings.ToLower(a.String()) }

// authorOf returns who a message says it is from, and the address of that.
func authorOf(h message.Header) (name, address string) {
	for m := range message.Mailboxes(h.From()) {
		address = fold(m.Address())
		if len(address) > maxAddress {
			return "", ""
		}
		if m.Name == "" {
			return short(address), address
		}
		return short(m.Name + " <" + address + ">"), address
	}
	return "", ""
}

// short bounds a text for people, keeps it in one line and its letters in the order in which they stand:
// what turns the direction of writing makes a program's name look like a document's.
func short(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		if r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return -1
		}
		return r
	}, s)
	runes := 0
	for i := range s {
		if runes++; runes > maxText {
			return s[:i] + "…"
		}
	}
	return s
}

// buckets is the number of partitions. It is fixed for ever.
const buckets = 16

// bucketOf returns the partition of an ID, which its last digit names. A text that is no ID names one
// too, in which it is not found.
func bucketOf(id ID) kv.Partition {
	const digits = "0123456789abcdefghjkmnpqrstvwxyz"
	last := 0
	if len(id) > 0 {
		last = max(strings.IndexByte(digits, id[len(id)-1]), 0)
	}
	return bucket(last % buckets)
}

func bucket(n int) kv.Partition { return kv.Partition(fmt.Sprintf("quarantine/%x", n)) }

// maxCollisions bounds the IDs that are tried for one item. IDs of one millisecond and node differ in 24
// bits of the origin, so that the second is hardly ever looked at.
const maxCollisions = 16

// nthID returns the n-th ID to try, all of one bucket.
func (r *record) nthID(n uint32) ID {
	unique := binary.BigEndian.Uint32(r.Origin) + n*buckets
	return mail.NewQueueID(r.Envelope.ID.Time(), r.Envelope.ID.Node(), unique)
}

// claim finds the ID of r and tells whether it is new.
func (r *record) claim(reader kv.Reader) (fresh bool, err error) {
	for n := range uint32(maxCollisions) {
		r.ID = r.nthID(n)
		known, err := getRecord(reader, r.ID)
		if errors.Is(err, ErrNotFound) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if string(known.Origin) == string(r.Origin) {
			return false, nil
		}
	}
	return false, errors.New("all IDs of its moment are taken")
}

func getRecord(reader kv.Reader, id ID) (*record, error) {
	value, err := reader.Get(key('i', id))
	if errors.Is(err, kv.ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	var r record
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, fmt.Errorf("%w: quarantine: %s: %v", kv.ErrCorrupt, id, err)
	}
	return &r, nil
}

// The keys of a bucket: see docs/formats/quarantine.md.
func key(kind byte, id ID) []byte { return append([]byte{kind}, id...) }

func indexKey(kind byte, of string, id ID) []byte {
	return append(append([]byte{kind}, hashOf(of)...), id...)
}

func goneKey(t time.Time, id ID) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{'g'}, uint64(max(t.Unix(), 0))), id...)
}

func blobKey(name blob.Name) []byte { return append([]byte{'R'}, name...) }

// put writes r, which is new, and returns the bytes that its bucket then holds.
func (r *record) put(txn kv.Txn, packed []byte) (held int64, err error) {
	if err := r.save(txn); err != nil {
		return 0, err
	}
	size := binary.AppendUvarint(nil, uint64(r.Size))
	txn.Put(key('l', r.ID), binary.AppendVarint(size, r.Time.Unix()))
	for i := range r.Recipients {
		to := &r.Recipients[i]
		txn.Put(indexKey('t', fold(to.Address), r.ID), nil)
		txn.Put(indexKey('w', to.Owner, r.ID), size)
		if !r.Outgoing {
			txn.Put(indexKey('n', to.Owner, r.ID), nil)
		}
	}
	if r.Blob != "" {
		txn.Put(blobKey(r.Blob), nil)
	} else {
		txn.PutBody(r.Body, packed)
	}
	return addHeld(txn, r.Size)
}

func (r *record) save(txn kv.Txn) error {
	value, err := json.Marshal(r)
	if err == nil {
		txn.Put(key('i', r.ID), value)
	}
	return err
}

// settle notes that recipients have left, and drops the content with the last.
func (r *record) settle(txn kv.Txn, gone []int, state State, now time.Time) error {
	for _, i := range gone {
		r.Recipients[i].State = state
		txn.Delete(indexKey('t', fold(r.Recipients[i].Address), r.ID))
	}
	owners := map[string]bool{}
	for i := range r.Recipients {
		to := &r.Recipients[i]
		owners[to.Owner] = owners[to.Owner] || to.State == Kept
	}
	left := false
	for owner, kept := range owners {
		if left = left || kept; !kept {
			txn.Delete(indexKey('w', owner, r.ID))
			txn.Delete(indexKey('n', owner, r.ID))
		}
	}
	if !left {
		if err := r.drop(txn, now); err != nil {
			return err
		}
	}
	return r.save(txn)
}

// drop removes the content. The record stays for a week, so that a repeat is known as one.
func (r *record) drop(txn kv.Txn, now time.Time) error {
	txn.Delete(key('l', r.ID))
	if r.Blob != "" {
		txn.Delete(blobKey(r.Blob))
	} else {
		txn.DeleteBody(r.Body)
	}
	txn.Put(goneKey(now, r.ID), nil)
	r.Body, r.Blob = 0, ""
	_, err := addHeld(txn, -r.Size)
	return err
}

// heldKey has the bytes that a bucket holds.
var heldKey = []byte{'s'}

func getHeld(reader kv.Reader) (int64, error) {
	value, err := reader.Get(heldKey)
	if errors.Is(err, kv.ErrNotFound) {
		return 0, nil
	}
	n, _ := binary.Uvarint(value)
	return int64(n), err
}

func addHeld(txn kv.Txn, size int64) (int64, error) {
	held, err := getHeld(txn)
	if err != nil {
		return 0, err
	}
	held = max(held+size, 0)
	txn.Put(heldKey, binary.AppendUvarint(nil, uint64(held)))
	return held, nil
}
