package dnsbl

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"posthaste/dns"
)

// How long until the next test of a list, give or take a quarter.
const (
	passedInterval  = time.Hour
	failedInterval  = 5 * time.Minute  // it lacks its test points
	silentInterval  = 30 * time.Second // it does not answer
	refusedInterval = 15 * time.Minute // it does not want to
)

// untestedReason is why a list is on that has no tests.
const untestedReason = "not tested: the configuration says so"

// A State says whether a list is asked.
type State string

// The states.
const (
	Untested State = "untested" // not asked before its first test
	On       State = "on"
	Off      State = "off"
)

// A Status is how a list fares.
type Status struct {
	Name    string    `json:"name"`
	Zone    string    `json:"zone"`
	Domains bool      `json:"domains"`
	Allow   bool      `json:"allow"`
	State   State     `json:"state"`
	Why     string    `json:"why,omitempty"`
	Tested  time.Time `json:"tested,omitzero"` // the last time
	Next    time.Time `json:"next,omitzero"`
	Asked   int64     `json:"asked"`   // questions since the start, tests apart
	Entries int64     `json:"entries"` // that found something
	Failed  int64     `json:"failed"`  // that got no answer
}

// Status returns how each list fares, in the order of the configuration.
func (l *Lists) Status() []Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []Status
	for _, li := range l.all {
		all = append(all, Status{Name: li.cfg.Name, Zone: li.cfg.Zone, Domains: li.cfg.Domains, Allow: li.cfg.Allow, State: li.state,
			Why: li.why, Tested: li.tested, Next: li.due, Asked: li.asked, Entries: li.entries, Failed: li.failed})
	}
	return all
}

// Run tests the lists, at once and whenever a test is due, until ctx ends.
func (l *Lists) Run(ctx context.Context) error {
	for {
		l.Test(ctx, false)
		timer := time.NewTimer(l.untilDue(time.Now()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-l.nudge:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// untilDue returns how long it is until the next test.
func (l *Lists) untilDue(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := passedInterval
	for _, li := range l.all {
		if li.testable() {
			wait = min(wait, max(0, li.due.Sub(now)))
		}
	}
	return wait
}

// Test tests the lists whose test is due, or all of them, at the same time.
func (l *Lists) Test(ctx context.Context, all bool) {
	now := time.Now()
	l.mu.Lock()
	var due []*list
	for _, li := range l.all {
		if li.testable() && (all || !li.due.After(now)) {
			due = append(due, li)
		}
	}
	l.mu.Unlock()
	var testing sync.WaitGroup
	for _, li := range due {
		testing.Go(func() { l.test(ctx, li) })
	}
	testing.Wait()
}

// testable tells whether a test can change the state of a list. One that is not to be tested is tried again
// once it has been off for its time. Lists.mu is held.
func (li *list) testable() bool { return !li.cfg.Test.Off || li.state == Off }

// test asks for the test points of one list (RFC 5782 section 5).
func (l *Lists) test(ctx context.Context, li *list) {
	c := &li.cfg
	if c.Test.Off {
		l.mu.Lock()
		defer l.mu.Unlock()
		li.silences = 0
		l.turn(li, On, untestedReason, time.Time{})
		return
	}
	present, err := l.trial(ctx, li, c.Test.Listed)
	var absent answer
	if err == nil && present.refusal == "" {
		absent, err = l.trial(ctx, li, c.Test.Unlisted)
	}
	if ctx.Err() != nil {
		return
	}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	li.tested = now
	switch {
	case err != nil && li.state == On && li.silences < maxSilences:
		li.due = now.Add(spread(silentInterval)) // it has worked; whether it still does is not known
		if !errors.Is(err, dns.ErrUnreachable) {
			li.silences++
		}
	case err != nil:
		l.turn(li, Off, fmt.Sprintf("it cannot be tested: %v", err), now.Add(spread(silentInterval)))
	case present.refusal != "":
		l.turn(li, Off, present.refusal, now.Add(spread(refusedInterval)))
	case absent.refusal != "":
		l.turn(li, Off, absent.refusal, now.Add(spread(refusedInterval)))
	case len(present.at) == 0:
		l.turn(li, Off, "it does not list "+c.Test.Listed+", which every list must", now.Add(spread(failedInterval)))
	case len(absent.at) > 0:
		l.turn(li, Off, "it lists "+c.Test.Unlisted+", which no list may: it may list everybody", now.Add(spread(failedInterval)))
	default:
		li.silences = 0
		l.turn(li, On, "", now.Add(spread(passedInterval)))
	}
}

// trial asks for a test point. Any entry counts, whatever the codes of the configuration say about it.
func (l *Lists) trial(ctx context.Context, li *list, point string) (answer, error) {
	c := &li.cfg
	query := point + "." + c.Zone
	if ip, err := netip.ParseAddr(point); err == nil {
		query = c.queryAddr(ip)
	}
	addrs, err := l.ask(ctx, li, query)
	if err != nil {
		return answer{}, err
	}
	a := c.judge(addrs)
	a.at = addrs
	return a, nil
}

// turn sets the state of a list; l.mu is held. A change is logged.
func (l *Lists) turn(li *list, to State, why string, due time.Time) {
	if li.state != to {
		if to == Off {
			l.log.Warn("dnsbl: a list is not asked", "list", li.cfg.Name, "zone", li.cfg.Zone, "why", why)
		} else {
			l.log.Info("dnsbl: a list is asked", "list", li.cfg.Name, "zone", li.cfg.Zone)
		}
	}
	li.state, li.why, li.due = to, why, due
	if to == Off {
		l.wake()
	}
}

// wake makes Run look again at what is due.
func (l *Lists) wake() {
	select {
	case l.nudge <- struct{}{}:
	default:
	}
}

// spread returns d give or take a quarter, so that nodes that started together do not test together.
func spread(d time.Duration) time.Duration { return d - d/4 + rand.N(d/2) }
