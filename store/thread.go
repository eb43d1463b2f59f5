package store

import (
	"encoding/binary"
	"errors"
	"strings"

	"github.com/cespare/xxhash/v2"

	"posthaste/kv"
	"posthaste/message"
)

// Emails are in one thread when they share a Message-ID, among Message-ID, In-Reply-To and References,
// and the base subject (RFC 8621 section 3). Each such pair is one hash, and one key that says which
// thread it belongs to and how many emails have it. Threads that a later email ties together stay as
// they are.

// maxThreadIDs bounds how many Message-IDs of one email are looked at: its own, and the nearest
// ancestors.
const maxThreadIDs = 20

// threadHashes returns what ties an email to others, its own Message-ID first, without repeats.
func threadHashes(h message.Header) []uint64 {
	own, parents, references := h.MessageID(), h.InReplyTo(), h.References()
	if own == "" && len(parents)+len(references) == 0 {
		return nil
	}
	subject := baseSubject(h.Subject())
	hashes := make([]uint64, 0, min(1+len(parents)+len(references), maxThreadIDs))
	var digest xxhash.Digest
	add := func(id string) {
		digest.Reset()
		digest.WriteString(id)
		digest.Write([]byte{0})
		digest.WriteString(subject)
		sum := digest.Sum64()
		for _, have := range hashes {
			if have == sum {
				return
			}
		}
		if len(hashes) < maxThreadIDs {
			hashes = append(hashes, sum)
		}
	}
	if own != "" {
		add(own)
	}
	for _, id := range parents {
		add(id)
	}
	for i := len(references) - 1; i >= 0; i-- {
		add(references[i])
	}
	return hashes
}

// baseSubject strips what replies and forwards put around a subject (RFC 5256 section 2.1).
func baseSubject(subject string) string {
	s := strings.Join(strings.Fields(fold(subject)), " ")
	for {
		before := s
		s = strings.TrimSpace(strings.TrimSuffix(s, "(fwd)"))
		s = trimReply(s)
		if rest, ok := trimBlob(s); ok && rest != "" {
			s = rest
		}
		if strings.HasPrefix(s, "[fwd:") && strings.HasSuffix(s, "]") {
			s = strings.TrimSpace(s[len("[fwd:") : len(s)-1])
		}
		if s == before {
			return s
		}
	}
}

// trimReply cuts one "re:", "fw:" or "fwd:", also with a "[blob]" before the colon.
func trimReply(s string) string {
	for _, word := range [...]string{"re", "fwd", "fw", "aw", "wg", "sv", "vs", "rv", "tr"} {
		rest, ok := strings.CutPrefix(s, word)
		if !ok {
			continue
		}
		rest = strings.TrimLeft(rest, " ")
		if after, ok := trimBlob(rest); ok {
			rest = after
		}
		if rest, ok = strings.CutPrefix(rest, ":"); ok {
			return strings.TrimLeft(rest, " ")
		}
	}
	return s
}

// trimBlob cuts a leading "[…]".
func trimBlob(s string) (string, bool) {
	if !strings.HasPrefix(s, "[") || strings.HasPrefix(s, "[fwd:") {
		return s, false
	}
	end := strings.IndexAny(s[1:], "[]")
	if end < 0 || s[1+end] != ']' {
		return s, false
	}
	return strings.TrimLeft(s[end+2:], " "), true
}

func appendHashes(dst []byte, hashes []uint64) []byte {
	dst = append(dst, byte(len(hashes)))
	for _, h := range hashes {
		dst = binary.BigEndian.AppendUint64(dst, h)
	}
	return dst
}

func (d *decoder) hashes() []uint64 {
	n := int(d.byte())
	if n == 0 || len(d.b) < 8*n {
		if n > 0 {
			d.fail()
		}
		return nil
	}
	list := make([]uint64, n)
	for i := range list {
		list[i] = binary.BigEndian.Uint64(d.b[8*i:])
	}
	d.b = d.b[8*n:]
	return list
}

// A threadTie is the value of a thread key.
type threadTie struct {
	thread ThreadID
	emails uint64 // that have the hash
}

func getTie(r kv.Reader, hash uint64) (threadTie, error) {
	b, err := r.Get(threadKey(hash))
	if errors.Is(err, kv.ErrNotFound) {
		return threadTie{}, nil
	}
	if err != nil {
		return threadTie{}, err
	}
	d := decoder{b: b}
	d.format(1)
	tie := threadTie{ThreadID(d.uvarint()), d.uvarint()}
	return tie, d.err("thread")
}

func (tie threadTie) put(txn kv.Txn, hash uint64) {
	b := binary.AppendUvarint([]byte{1}, uint64(tie.thread))
	txn.Put(threadKey(hash), binary.AppendUvarint(b, tie.emails))
}

// joinThread counts an email with hashes and returns its thread: the oldest of those it is tied to, or
// its own.
func joinThread(txn kv.Txn, email EmailID, hashes []uint64) (ThreadID, error) {
	thread := ThreadID(email)
	var room [maxThreadIDs]threadTie
	ties := room[:0]
	for _, hash := range hashes {
		tie, err := getTie(txn, hash)
		if err != nil {
			return 0, err
		}
		if tie.emails > 0 {
			thread = min(thread, tie.thread)
		}
		ties = append(ties, tie)
	}
	for i, hash := range hashes {
		tie := ties[i]
		if tie.emails == 0 {
			tie.thread = thread
		}
		tie.emails++
		tie.put(txn, hash)
	}
	return thread, nil
}

// leaveThread takes back what joinThread counted.
func leaveThread(txn kv.Txn, hashes []uint64) error {
	for _, hash := range hashes {
		tie, err := getTie(txn, hash)
		if err != nil {
			return err
		}
		if tie.emails > 1 {
			tie.emails--
			tie.put(txn, hash)
		} else {
			txn.Delete(threadKey(hash))
		}
	}
	return nil
}
