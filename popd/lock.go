package popd

import (
	"sync"

	"posthaste/mail"
)

// Locks gives each maildrop to one session at a time (RFC 1939 section 4), within this process: a lock
// ends with its session, whose idle time is bounded, and can never be left behind by a crash.
type Locks struct {
	mu   sync.Mutex // guards held
	held map[mail.AccountID]struct{}
}

// NewLocks returns locks that nobody holds.
func NewLocks() *Locks { return &Locks{held: make(map[mail.AccountID]struct{})} }

// TryLock takes the maildrop of an account, and tells whether it was free.
func (l *Locks) TryLock(id mail.AccountID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, taken := l.held[id]; taken {
		return false
	}
	l.held[id] = struct{}{}
	return true
}

// Unlock gives back what TryLock took.
func (l *Locks) Unlock(id mail.AccountID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, id)
}
