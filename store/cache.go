package store

import "time"

// cached counts the rows of a, which grew, and drops the rows of accounts that were not used for
// longest while all together pass the bound.
func (s *Store) cached(a *Account, grown int64) {
	s.mu.Lock()
	s.cacheSize += grown
	over := s.cacheSize > s.cfg.CacheBytes
	s.mu.Unlock()
	for over {
		oldest := s.leastUsed(a)
		if oldest == nil {
			return
		}
		oldest.forget()
		s.mu.Lock()
		over = s.cacheSize > s.cfg.CacheBytes
		s.mu.Unlock()
	}
}

// leastUsed returns the account with rows in memory, other than a, whose last use is longest ago.
func (s *Store) leastUsed(but *Account) *Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	var oldest *Account
	var since time.Time
	for _, a := range s.accounts {
		if a == but {
			continue
		}
		if used, ok := a.lastUse(); ok && (oldest == nil || used.Before(since)) {
			oldest, since = a, used
		}
	}
	return oldest
}

// dropUnused drops the rows of accounts that were not used since. The handles stay, some hundred bytes
// each, so that sessions of one account always share one.
func (s *Store) dropUnused(since time.Time) {
	s.mu.Lock()
	var unused []*Account
	for _, a := range s.accounts {
		if used, loaded := a.lastUse(); loaded && used.Before(since) {
			unused = append(unused, a)
		}
	}
	s.mu.Unlock()
	for _, a := range unused {
		a.forget()
	}
}

// lastUse returns when rows of a were last asked for, and whether any are in memory.
func (a *Account) lastUse() (used time.Time, loaded bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.used, a.state != nil
}

// forget drops what is in memory. Views that sessions hold stay valid.
func (a *Account) forget() {
	a.mu.Lock()
	size := a.size
	a.state, a.views, a.size = nil, nil, 0
	a.usage, a.asOf = Usage{}, 0
	a.mu.Unlock()
	a.store.mu.Lock()
	a.store.cacheSize -= size
	a.store.mu.Unlock()
}
