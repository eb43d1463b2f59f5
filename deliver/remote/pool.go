package remote

import (
	"sync"
	"time"
)

// maxIdlePerHost is how many connections to one host wait for the next message.
const maxIdlePerHost = 20

// A pool keeps sessions between messages for a short time.
type pool struct {
	idle time.Duration
	max  int

	mu     sync.Mutex // guards what follows
	closed bool
	count  int
	byHost map[string][]*session // by session.key, longest idle first

	quitting sync.WaitGroup // sessions that say QUIT
}

func newPool(idle time.Duration, limit int) *pool {
	return &pool{idle: idle, max: limit, byHost: make(map[string][]*session)}
}

// take returns a session that waits under key, or nil.
func (p *pool) take(key string) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	waiting := p.byHost[key]
	for len(waiting) > 0 {
		s := waiting[len(waiting)-1] // the freshest: the others may then end
		waiting = waiting[:len(waiting)-1]
		p.set(key, waiting)
		if s.expiry.Stop() {
			p.quitting.Done()
			return s
		}
	}
	return nil
}

// put keeps s for the next message, or ends it.
func (p *pool) put(s *session) {
	p.mu.Lock()
	keep := !p.closed && p.idle > 0 && !s.dead && !s.full() && s.transactions < maxTransactions &&
		p.count < p.max && len(p.byHost[s.key]) < maxIdlePerHost
	if keep {
		p.quitting.Add(1)
		s.expiry = time.AfterFunc(p.idle, func() { p.expire(s) })
		p.set(s.key, append(p.byHost[s.key], s))
	}
	p.mu.Unlock()
	if !keep {
		s.quit()
	}
}

// expire ends a session that nobody took.
func (p *pool) expire(s *session) {
	defer p.quitting.Done()
	p.mu.Lock()
	waiting := p.byHost[s.key]
	for i := range waiting {
		if waiting[i] == s {
			p.set(s.key, append(waiting[:i:i], waiting[i+1:]...))
			break
		}
	}
	p.mu.Unlock()
	s.quit()
}

// set replaces the sessions of a key. The caller holds mu.
func (p *pool) set(key string, sessions []*session) {
	p.count += len(sessions) - len(p.byHost[key])
	if len(sessions) == 0 {
		delete(p.byHost, key)
		return
	}
	p.byHost[key] = sessions
}

// close ends the sessions that wait and those that come back from now on.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	for _, waiting := range p.byHost {
		for _, s := range waiting {
			if s.expiry.Stop() { // else expire runs already
				go p.expire(s)
			}
		}
	}
	p.mu.Unlock()
	p.quitting.Wait()
}
