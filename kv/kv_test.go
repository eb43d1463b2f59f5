package kv

import (
	"errors"
	"strings"
	"testing"
)

func TestPartitionNames(t *testing.T) {
	for _, test := range []struct {
		claim string
		name  Partition
		ok    bool
	}{
		{"an empty name is none", "", false},
		{"one byte is enough", "a", true},
		{"the longest", Partition(strings.Repeat("a", MaxPartition)), true},
		{"longer than the longest", Partition(strings.Repeat("a", MaxPartition+1)), false},
		{"blank and tilde are printable", " ~", true},
		{"a control character is not", "a\x1f", false},
		{"DEL is not", "a\x7f", false},
		{"UTF-8 is not ASCII", "straße", false},
	} {
		if err := test.name.Check(); (err == nil) != test.ok || err != nil && !errors.Is(err, ErrPartition) {
			t.Errorf("%s: %v", test.claim, err)
		}
	}
}

func TestPrefixEnd(t *testing.T) {
	for prefix, want := range map[string]string{
		"a":        "b",
		"a\xff":    "b",
		"ab\xff":   "ac",
		"a\x00":    "a\x01",
		"\xfe\xff": "\xff",
	} {
		if got := PrefixEnd([]byte(prefix)); string(got) != want {
			t.Errorf("end of %q is %q, want %q", prefix, got, want)
		}
	}
	for _, prefix := range []string{"", "\xff", "\xff\xff"} {
		if got := PrefixEnd([]byte(prefix)); got != nil {
			t.Errorf("end of %q is %q, want none", prefix, got)
		}
	}
}
