package dirblob

import (
	"errors"
	"strings"
	"testing"
	"time"

	"posthaste/blob"
)

func TestBlobsLeaveTheDiskItsReserve(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for left, want := range map[uint64]error{reserve + 3: nil, reserve + 2: blob.ErrFull} {
		s.left = func() uint64 { return left }
		name := blob.NewName(time.Now(), [blob.HashSize]byte{})
		if err := s.Put(t.Context(), name, strings.NewReader("abc"), 3); !errors.Is(err, want) {
			t.Errorf("with %d bytes free: %v, want %v", left, err, want)
		}
	}
}
