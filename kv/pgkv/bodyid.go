package pgkv

import (
	"sync/atomic"
	"time"

	"posthaste/kv"
)

// A body ID has, from the top, a zero bit (PostgreSQL's integers have a sign), 34 bits of time in
// quarters of a second, 15 bits that tell apart the openings of the store, and 14 bits that count.
const (
	timeUnit  = 250 * time.Millisecond
	timeBits  = 34 // reach to the year 2161
	openBits  = 15
	countBits = 14
)

// idEpoch is when the time in IDs begins.
var idEpoch = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// bodyIDs makes IDs without asking the database. Two openings of the store make the same ID only
// when 32,767 others came between them and both still run, or the clock was set back by years.
type bodyIDs struct {
	opened uint64
	last   atomic.Uint64 // time and count of the last ID
}

// next returns an ID above all before it. A burst borrows from the time to come; a clock set back
// stands still.
func (b *bodyIDs) next(now time.Time) kv.BodyID {
	earliest := uint64(max(now.Sub(idEpoch)/timeUnit, 0)) << countBits
	for {
		last := b.last.Load()
		n := max(last+1, earliest)
		if b.last.CompareAndSwap(last, n) {
			return b.compose(n)
		}
	}
}

func (b *bodyIDs) compose(n uint64) kv.BodyID {
	t, count := n>>countBits, n&(1<<countBits-1)
	opened := b.opened & (1<<openBits - 1)
	return kv.BodyID((t&(1<<timeBits-1))<<(openBits+countBits) | opened<<countBits | count)
}
