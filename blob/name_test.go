package blob

import (
	"crypto/sha256"
	"strings"
	"testing"
	"time"
)

func TestNamesSortInOrderOfMaking(t *testing.T) {
	times := []int64{0, 1, 1 << 31, 1<<32 - 1, 1 << 32, 1 << 39}
	for i := 1; i < len(times); i++ {
		early := NewName(time.Unix(times[i-1], 0), [HashSize]byte{0xff})
		late := NewName(time.Unix(times[i], 0), [HashSize]byte{})
		if early >= late {
			t.Errorf("%s (made %d) sorts after %s (made %d)", early, times[i-1], late, times[i])
		}
	}
}

func TestNameTellsItsTimeAndContent(t *testing.T) {
	made := time.Unix(1_764_000_000, 999)
	sum := sha256.Sum256([]byte("content"))
	name := NewName(made, sum)
	if !name.Valid() || name.Time().Unix() != made.Unix() {
		t.Errorf("%s: valid %t, made %v; want true, %v", name, name.Valid(), name.Time(), made)
	}
	if !name.Matches(sum) || name.Matches(sha256.Sum256([]byte("other"))) {
		t.Errorf("%s: Matches tells its content from another's wrongly", name)
	}
	if other := NewName(made, sum); other == name {
		t.Errorf("the same name twice: %s", name)
	}
}

func FuzzNameThatIsNone(f *testing.F) {
	f.Add("")
	f.Add("../../../../../../etc/passwd")
	f.Add(string(NewName(time.Unix(1, 0), [HashSize]byte{})))
	f.Fuzz(func(t *testing.T, s string) {
		name := Name(s)
		if name.Valid() == name.Time().IsZero() {
			t.Errorf("%q: valid %t, time %v", s, name.Valid(), name.Time())
		}
		if name.Valid() && strings.ContainsAny(s, "/\\.\x00") {
			t.Errorf("%q is no safe file name", s)
		}
	})
}
