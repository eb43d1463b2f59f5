package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"sync"
	"time"
)

// Bounds of what is remembered.
const (
	rememberFor   = 5 * time.Minute
	maxRemembered = 1 << 16
)

// A memory keeps which passwords were right. What it keeps is bound to the stored hash, whose salt
// changes with every change of the password.
type memory struct {
	key [32]byte // of this process

	mu     sync.Mutex // guards proven
	proven map[[sha256.Size]byte]time.Time
}

func (m *memory) mark(hash, password string) (mark [sha256.Size]byte) {
	mac := hmac.New(sha256.New, m.key[:])
	mac.Write([]byte(hash))
	mac.Write([]byte{0})
	mac.Write([]byte(password))
	mac.Sum(mark[:0])
	return mark
}

// has tells whether password was found to fit hash less than rememberFor ago.
func (m *memory) has(hash, password string, now time.Time) bool {
	mark := m.mark(hash, password)
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.proven[mark]
	if ok && now.Sub(at) >= rememberFor {
		delete(m.proven, mark)
		return false
	}
	return ok
}

// add remembers that password fits hash. When there is no room it forgets what is stale, then
// anything.
func (m *memory) add(hash, password string, now time.Time) {
	mark := m.mark(hash, password)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.proven == nil {
		m.proven = make(map[[sha256.Size]byte]time.Time)
	}
	if len(m.proven) >= maxRemembered {
		m.makeRoom(now)
	}
	m.proven[mark] = now
}

func (m *memory) makeRoom(now time.Time) {
	for mark, at := range m.proven {
		if now.Sub(at) >= rememberFor {
			delete(m.proven, mark)
		}
	}
	for mark := range m.proven {
		if len(m.proven) < maxRemembered*3/4 {
			break
		}
		delete(m.proven, mark)
	}
}
