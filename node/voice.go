package node

import (
	"sync"
	"time"

	"posthaste/filter/reputation"
	"posthaste/mail"
)

// What one account, or whoever knows a trap, may make others believe in a day. An account can store what it
// likes and call it junk, and anybody can write to a trap: their word must not weigh more the louder they are.
const (
	maxVoice   = 3       // times that the word of an account about one domain or network counts in reputation
	maxTrapped = 200     // messages for traps that are learned
	maxVoices  = 100_000 // accounts and identities that are counted; beyond them nobody is heard until tomorrow
)

// voices counts who said what today. The zero value is ready.
type voices struct {
	mu      sync.Mutex // guards what follows
	day     int64
	said    map[voice]int
	trapped int
}

// A voice is an account that speaks about somebody.
type voice struct {
	account mail.AccountID
	about   reputation.Identity
}

// hears tells whether the word of an account about an identity counts once more. 0 is an operator.
func (v *voices) hears(account mail.AccountID, about reputation.Identity, now time.Time) bool {
	if account == 0 {
		return true
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.turn(now)
	who := voice{account, about}
	if v.said[who] >= maxVoice || len(v.said) >= maxVoices {
		return false
	}
	v.said[who]++
	return true
}

// hearsTrap tells whether a message for a trap is learned.
func (v *voices) hearsTrap(now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.turn(now)
	v.trapped++
	return v.trapped <= maxTrapped
}

// turn begins a new day.
func (v *voices) turn(now time.Time) {
	if day := now.Unix() / (24 * 3600); day != v.day || v.said == nil {
		v.day, v.said, v.trapped = day, map[voice]int{}, 0
	}
}
