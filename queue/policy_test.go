package queue

import (
	"testing"
	"time"
)

func TestDurationsAreForPeople(t *testing.T) {
	for d, want := range map[time.Duration]string{
		996834163 * time.Nanosecond: "1 second",
		90 * time.Second:            "2 minutes",
		25 * time.Hour:              "1 day",
		5 * 24 * time.Hour:          "5 days",
	} {
		if got := duration(d); got != want {
			t.Errorf("%v is told as %q, want %q", d, got, want)
		}
	}
}
