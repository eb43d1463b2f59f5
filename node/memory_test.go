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
