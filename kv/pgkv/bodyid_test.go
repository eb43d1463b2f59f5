package pgkv

import (
	"testing"
	"time"

	"posthaste/kv"
)

func TestBodyIDsAscend(t *testing.T) {
	start := time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name  string
		clock func(i int) time.Time
	}{
		{"with the clock", func(i int) time.Time { return start.Add(time.Duration(i) * time.Millisecond) }},
		{"though it stands", func(int) time.Time { return start }},
		{"though it is set back", func(i int) time.Time { return start.Add(-time.Duration(i) * time.Hour) }},
		{"though it is before the epoch", func(int) time.Time { return time.Unix(0, 0) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := bodyIDs{opened: 3}
			var last kv.BodyID
			for i := range 3 << countBits {
				id := b.next(test.clock(i))
				if id <= last || int64(id) < 0 {
					t.Fatalf("ID %d is %d after %d", i, id, last)
				}
				last = id
			}
		})
	}
}

func TestOpeningsMakeDifferentBodyIDs(t *testing.T) {
	now := time.Date(2150, 1, 1, 0, 0, 0, 0, time.UTC)
	seen := make(map[kv.BodyID]uint64)
	for opened := uint64(1); opened < 5; opened++ {
		b := bodyIDs{opened: opened}
		for range 2 << countBits {
			id := b.next(now)
			if other, ok := seen[id]; ok {
				t.Fatalf("openings %d and %d both make %d", other, opened, id)
			}
			seen[id] = opened
		}
	}
}
