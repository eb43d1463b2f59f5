package node

import "testing"

func TestMemoryGoesBackAtRest(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		claim               string
		now, last, returned uint64
		want                bool
	}{
		{"never while work goes on", 100 * mb, 99 * mb, 0, false},
		{"once work has ended", 100 * mb, 100*mb - 1000, 0, true},
		{"not again when little was done since", 104 * mb, 104 * mb, 100 * mb, false},
		{"again after the next burst", 120 * mb, 120 * mb, 100 * mb, true},
	} {
		if got := atRest(c.now, c.last, c.returned); got != c.want {
			t.Errorf("%s: %v", c.claim, got)
		}
	}
}

func TestLargeHeapsDoNotDouble(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		claim string
		live  uint64
		want  int
	}{
		{"nothing known yet", 0, 1000},
		{"a small heap has its slack", 8 * mb, 450},
		{"slack and half as large", 64 * mb, 100},
		{"a large heap grows by little more than half", 1024 * mb, 53},
	} {
		if got := percentFor(c.live); got != c.want {
			t.Errorf("%s: %d, want %d", c.claim, got, c.want)
		}
	}
}
