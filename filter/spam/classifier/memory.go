package classifier

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"posthaste/kv"
	"posthaste/mail"
	"posthaste/message"
)

// Bounds on what is remembered of messages, for each model.
const (
	maxMemories = 20_000
	keepDays    = 180
)

// A memoryKey names a message in one model's memory.
type memoryKey [8]byte

// remember returns the key of a message that an account taught.
func remember(account mail.AccountID, key string) memoryKey {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(account)))
	h.Write([]byte(key))
	return memoryKey(h.Sum(nil))
}

// A memory is what was learned from one message. Class 0 is a message forgotten.
type memory struct {
	class  Class
	taught [views]taught
	day    uint32 // since 1970, of the lesson
}

// A taught is what a message changed in one view.
type taught struct {
	counted bool  // anything
	step    int32 // that was added to the sum of each feature
}

func day(t time.Time) uint32 { return uint32(max(t.Unix(), 0) / (24 * 60 * 60)) }

// change returns what a memory added to each of its slots in v, or with sign -1 what takes it back.
func (l memory) change(v view, sign int32) change {
	made := l.taught[v]
	if !made.counted {
		return change{}
	}
	c := change{sum: sign * made.step}
	if l.class == Ham {
		c.ham = sign
	} else {
		c.spam = sign
	}
	return c
}

// lessonCount returns by how much the lessons of a slot grow when a message teaches: it counts once.
func (l *taught) lessonCount(class Class) (ham, spam int32) {
	switch {
	case l.counted:
		return 0, 0
	case class == Ham:
		return 1, 0
	}
	return 0, 1
}

const memoryBytes = 6 + 4*int(views)

func (l memory) append(b []byte) []byte {
	counted := byte(0)
	for v, made := range l.taught {
		if made.counted {
			counted |= 1 << v
		}
	}
	b = append(b, byte(l.class), counted)
	for _, made := range l.taught {
		b = binary.BigEndian.AppendUint32(b, uint32(made.step))
	}
	return binary.BigEndian.AppendUint32(b, l.day)
}

func parseMemory(b []byte) (l memory, err error) {
	if len(b) != memoryBytes || b[0] != byte(Ham) && b[0] != byte(Spam) || b[1] >= 1<<views {
		return memory{}, fmt.Errorf("classifier: memory of a message: %w", kv.ErrCorrupt)
	}
	l.class = Class(b[0])
	for v := range l.taught {
		l.taught[v] = taught{counted: b[1]>>v&1 == 1, step: int32(binary.BigEndian.Uint32(b[2+4*v:]))}
	}
	l.day = binary.BigEndian.Uint32(b[memoryBytes-4:])
	return l, nil
}

const memoryPrefix = "m/"

func (k memoryKey) key() []byte { return append([]byte(memoryPrefix), k[:]...) }

// readMemory reads what the store holds of a message.
func (m *model) readMemory(ctx context.Context, id memoryKey) (found memory, err error) {
	err = m.kv.View(ctx, m.partition, func(r kv.Reader) error {
		b, err := r.Get(id.key())
		if err == nil {
			found, err = parseMemory(b)
		}
		return err
	})
	if errors.Is(err, kv.ErrNotFound) {
		return memory{}, nil
	}
	if err != nil {
		return memory{}, fmt.Errorf("classifier: read %s: %w", m.partition, err)
	}
	return found, nil
}

// sweep forgets the oldest memories beyond the bounds; what they taught stays.
func sweep(tx kv.Txn, today uint32) error {
	prefix := []byte(memoryPrefix)
	perDay := make(map[uint32]int)
	seq, errf := tx.Scan(prefix, kv.PrefixEnd(prefix), false)
	for _, v := range seq {
		if l, err := parseMemory(v); err == nil {
			perDay[l.day]++
		}
	}
	if err := errf(); err != nil {
		return err
	}
	oldest, room := fitting(perDay, today)
	var gone [][]byte
	seq, errf = tx.Scan(prefix, kv.PrefixEnd(prefix), false)
	for k, v := range seq {
		l, err := parseMemory(v)
		if err == nil && l.day == oldest {
			room--
		}
		if err != nil || l.day < oldest || l.day == oldest && room < 0 {
			gone = append(gone, append([]byte(nil), k...))
		}
	}
	for _, k := range gone {
		tx.Delete(k)
	}
	return errf()
}

// fitting returns the oldest day whose memories are kept, and how many of that day fit.
func fitting(perDay map[uint32]int, today uint32) (oldest uint32, room int) {
	room = maxMemories
	for _, d := range slices.Backward(slices.Sorted(maps.Keys(perDay))) {
		if d+keepDays < today {
			return d + 1, 0
		}
		if perDay[d] >= room {
			return d, room
		}
		room -= perDay[d]
	}
	return 0, room
}

// Key returns the key by which a message is remembered: its Message-ID, or where it has none its date,
// author and subject, which no host on the way adds to.
func Key(m *message.Message) string {
	if id := m.Header.MessageID(); id != "" {
		return id
	}
	return m.Header.Get("Date") + "\x00" + m.Header.Get("From") + "\x00" + m.Header.Get("Subject")
}
