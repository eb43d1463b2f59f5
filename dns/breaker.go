package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	wire "github.com/miekg/dns"
)

// ErrUnreachable says that a question was not put to our name servers, because none of them answers
// anything just now. It is temporary.
var ErrUnreachable = errors.New("no name server answers")

// Times of a breaker.
const (
	maxSilences   = 3                      // rounds without any reply until we make sure
	worryTime     = 500 * time.Millisecond // of a question without any reply count as a silent round
	worryTick     = 100 * time.Millisecond // how soon those who wait learn of an outage
	probeTime     = time.Second            // for a reply to a question that every live server answers at once
	probeInterval = time.Second            // from the end of a probe to the next
)

// A breaker knows whether any of our servers answers. One that replies, whatever it says, is alive; a zone
// whose own servers are silent makes a live one reply SERVFAIL, or too late. So some silent rounds raise
// suspicion only, and a question for the root, which a live server answers from memory, decides.
type breaker struct {
	mu       sync.Mutex // guards what follows
	silences int        // rounds in a row in which nobody replied
	open     bool       // nobody is asked
	probing  bool
	next     time.Time // of the next probe, while it is open
}

func (b *breaker) isOpen() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

// errSilent is what a failed exchange is: no reply came.
type errSilent struct {
	network string
	err     error
}

func (e *errSilent) Error() string { return e.network + ": " + e.err.Error() }
func (e *errSilent) Unwrap() error { return e.err }

func silent(err error) bool {
	_, ok := errors.AsType[*errSilent](err)
	return ok
}

// heard notes a reply. It tells whether that ended an outage.
func (b *breaker) heard() (ended bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ended = b.open
	b.silences, b.open = 0, false
	return ended
}

// admit tells whether servers may be asked at now, or else whether the caller is to find out by a probe.
func (b *breaker) admit(now time.Time) (may, probe bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return true, false
	}
	if b.probing || now.Before(b.next) {
		return false, false
	}
	b.probing = true
	return false, true
}

// missed notes a round without any reply. It tells whether the caller is to find out by a probe.
func (b *breaker) missed() (probe bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.silences++
	if b.open || b.probing || b.silences < maxSilences {
		return false
	}
	b.probing = true
	return true
}

// probed notes the end of a probe at now, which nobody answered unless heard says otherwise. It tells
// whether an outage began.
func (b *breaker) probed(alive bool, now time.Time) (began bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
	if alive {
		return false
	}
	began = !b.open
	b.open, b.next = true, now.Add(probeInterval)
	return began
}

// admit fails with ErrUnreachable while no server answers. One caller in a second finds out whether that is
// over; it waits for probeTime at most, the others not at all.
func (r *Resolver) admit(ctx context.Context) error {
	may, probe := r.breaker.admit(time.Now())
	if may || probe && r.probe(ctx) {
		return nil
	}
	return fmt.Errorf("%w: not asked", ErrUnreachable)
}

// suspect notes a round in which every server was silent. It fails when that shows to be an outage.
func (r *Resolver) suspect(ctx context.Context) error {
	if ctx.Err() == nil && r.breaker.missed() && !r.probe(ctx) { // a probe takes time, of which none is left then
		return ErrUnreachable
	}
	if r.breaker.isOpen() {
		return ErrUnreachable
	}
	return nil
}

// worry watches over a question that is being put. When it has waited for worryTime that counts as a silent
// round, so that an outage is known before the rounds of all servers have passed; once it is known, cancel
// ends the wait. The function that it returns ends the watch.
func (r *Resolver) worry(ctx context.Context, cancel context.CancelFunc) (stop func() bool) {
	return time.AfterFunc(worryTime, func() {
		for err := r.suspect(ctx); ctx.Err() == nil; {
			if err != nil || r.breaker.isOpen() {
				cancel()
				return
			}
			select {
			case <-time.After(worryTick):
			case <-ctx.Done():
			}
		}
	}).Stop
}

// probe asks all servers for the root at the same time and tells whether one replied.
func (r *Resolver) probe(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTime) // it is for all, not for who waits
	defer cancel()
	replies := make(chan bool, len(r.servers))
	for _, s := range r.servers {
		go func() { replies <- r.replies(ctx, s) }()
	}
	alive := false
	for range r.servers {
		if <-replies {
			alive = true
			cancel()
		}
	}
	if r.breaker.probed(alive, time.Now()) {
		r.log.Warn("no name server answers: lookups fail at once until one does", "servers", len(r.servers))
	}
	return alive
}

// replies tells whether a server replies to a question for the root, with whatever.
func (r *Resolver) replies(ctx context.Context, s server) bool {
	id := wire.Id()
	query, err := packQuery(id, question{".", wire.TypeNS, wantAnswer}, true, flags{})
	if err != nil {
		return false
	}
	raw, err := r.exchange(ctx, "udp", s.address, query)
	if err != nil || len(raw) < 2 || binary.BigEndian.Uint16(raw) != id {
		return false
	}
	r.heard()
	return true
}

// heard notes that a server replied.
func (r *Resolver) heard() {
	if r.breaker.heard() {
		r.log.Info("a name server answers again")
	}
}
