package smtp

import (
	"testing"
	"time"

	"posthaste/mail"
)

func TestTimesOfAMessage(t *testing.T) {
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]Mail{
		"HOLDFOR=1":                      {HoldFor: time.Second},
		"HOLDFOR=999999999":              {HoldFor: 999999999 * time.Second},
		"HOLDUNTIL=2026-11-22T12:00:00Z": {HoldUntil: noon},
		"holduntil=2026-11-22t12:00:00z": {HoldUntil: noon},
		"BY=120;R":                       {By: By{120, mail.ByReturn, false}},
		"BY=+120;rt":                     {By: By{120, mail.ByReturn, true}},
		"BY=-120;NT":                     {By: By{-120, mail.ByNotify, true}},
		"BY=0;N":                         {By: By{0, mail.ByNotify, false}},
		"MT-PRIORITY=0":                  {HasPriority: true},
		"MT-PRIORITY=-9":                 {Priority: -9, HasPriority: true},
		"MT-PRIORITY=9":                  {Priority: 9, HasPriority: true},
	} {
		if got, err := ParseMail("FROM:<> " + in); err != nil || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{
		"HOLDFOR", "HOLDFOR=0", "HOLDFOR=-1", "HOLDFOR=01", "HOLDFOR=1000000000", "HOLDFOR=1 HOLDFOR=1",
		"HOLDFOR=1 HOLDUNTIL=2026-11-22T12:00:00Z", "HOLDUNTIL=2026-11-22T12:00:00Z HOLDFOR=1",
		"HOLDUNTIL=2026-11-22T12:00:00+01:00", "HOLDUNTIL=2026-11-22", "HOLDUNTIL=tomorrow",
		"BY", "BY=120", "BY=120;", "BY=120;X", "BY=120;T", "BY=0;R", "BY=-1;R", "BY=+-1;N", "BY=1000000000;N", "BY=;R", "BY=1;RTT",
		"MT-PRIORITY", "MT-PRIORITY=10", "MT-PRIORITY=-10", "MT-PRIORITY=+1", "MT-PRIORITY=-0", "MT-PRIORITY=01", "MT-PRIORITY=x",
	} {
		_, err := ParseMail("FROM:<> " + in)
		wantCode(t, in, err, 501)
	}
}
