package pgkv

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"posthaste/kv"
)

func TestAnnouncementsHoldAllVersionsAndFit(t *testing.T) {
	want := make(map[kv.Partition]kv.Version)
	for i := range 20_000 {
		want[kv.Partition(fmt.Sprintf("account/%d %s", i, strings.Repeat("x", i%150)))] = kv.Version(i) << 20
	}
	got := make(map[kv.Partition]kv.Version)
	for _, a := range announcements(7, want) {
		if len(a.payload) > maxPayload {
			t.Errorf("%d bytes for %s, at most %d", len(a.payload), a.channel, maxPayload)
		}
		parseAnnouncement(a.payload, 7, func(p kv.Partition, _ kv.Version) { t.Errorf("%s is told to the node itself", p) })
		parseAnnouncement(a.payload, 8, func(p kv.Partition, v kv.Version) {
			if channel(p) != a.channel {
				t.Errorf("%s is announced on %s, listened for on %s", p, a.channel, channel(p))
			}
			got[p] = v
		})
	}
	if !maps.Equal(got, want) {
		t.Errorf("%d versions of %d came back as they were", len(got), len(want))
	}
}

func FuzzParseAnnouncement(f *testing.F) {
	for _, s := range []string{"", "1", "1\n1 p\n", "1\n1 p\n2 name with spaces\n", "1\n18446744073709551616 p\n", "x\n1 p\n", "1\n1 \n", "1\n1 p\x00\n", "1\n\n\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		parseAnnouncement(payload, 0, func(p kv.Partition, v kv.Version) {
			if err := p.Check(); err != nil || !strings.Contains(payload, string(p)) {
				t.Errorf("%q at %d: %v", p, v, err)
			}
		})
	})
}
