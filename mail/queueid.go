package mail

import (
	"encoding/base32"
	"encoding/binary"
	"errors"
	"time"
)

// A QueueID names one message that we took responsibility for, and the steps of its life in the
// trace. It is 16 letters and digits: 45 bits of milliseconds since 1970, 11 bits of node, 24 bits
// that its maker chooses, so that it sorts by time and leads to the node and hour of its trace.
type QueueID string

// MaxNode is the largest node number in a QueueID.
const MaxNode = 1<<11 - 1

// ErrQueueID is the answer to text that is no QueueID.
var ErrQueueID = errors.New("mail: not a queue ID: want 16 letters and digits")

// Crockford's alphabet, which has no i, l, o and u, sorts as the bits do.
var queueIDCoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewQueueID returns the ID for time t on a node. The low 24 bits of unique are to differ within
// one millisecond on one node.
func NewQueueID(t time.Time, node uint16, unique uint32) QueueID {
	var b [11]byte
	binary.BigEndian.PutUint64(b[:8], uint64(t.UnixMilli())<<19|uint64(node&MaxNode)<<8)
	binary.BigEndian.PutUint32(b[7:], unique<<8)
	return QueueID(queueIDCoding.EncodeToString(b[:10]))
}

// ParseQueueID returns s as a QueueID, or ErrQueueID.
func ParseQueueID(s string) (QueueID, error) {
	if _, err := queueIDCoding.DecodeString(s); err != nil || len(s) != 16 {
		return "", ErrQueueID
	}
	return QueueID(s), nil
}

// Time returns when the ID was made, to the millisecond, and zero for an ID that is none.
func (id QueueID) Time() time.Time {
	b, err := queueIDCoding.DecodeString(string(id))
	if err != nil || len(b) != 10 {
		return time.Time{}
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b) >> 19))
}

// Node returns the node that made the ID.
func (id QueueID) Node() uint16 {
	b, err := queueIDCoding.DecodeString(string(id))
	if err != nil || len(b) != 10 {
		return 0
	}
	return uint16(binary.BigEndian.Uint64(b)>>8) & MaxNode
}
