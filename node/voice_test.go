package node

import (
	"fmt"
	"testing"
	"time"

	"posthaste/filter/reputation"
)

func TestLoudVoicesAreHeardNoMoreThanOthers(t *testing.T) {
	var v voices
	now := time.Unix(1_800_000_000, 0)
	heard := func() (n int) {
		for range 100 {
			if v.hears(7, "d:bank.test", now) {
				n++
			}
		}
		return n
	}
	if n := heard(); n != maxVoice {
		t.Errorf("the word of one account about one domain counted %d times", n)
	}
	if !v.hears(8, "d:bank.test", now) || !v.hears(7, "d:other.test", now) || !v.hears(0, "d:bank.test", now) {
		t.Error("others, about others, or an operator are not heard")
	}
	if now = now.Add(24 * time.Hour); heard() != maxVoice {
		t.Error("on the next day it is not heard again")
	}
	traps := 0
	for range 10 * maxTrapped {
		if v.hearsTrap(now) {
			traps++
		}
	}
	if traps != maxTrapped {
		t.Errorf("%d messages for traps are learned in a day", traps)
	}
	for i := range 2 * maxVoices {
		v.hears(9, reputation.Identity(fmt.Sprint(i)), now)
	}
	if len(v.said) > maxVoices {
		t.Errorf("%d voices are kept", len(v.said))
	}
}
