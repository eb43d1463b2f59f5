package queue

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"posthaste/mail"
)

// A Destination is what the running queue knows of a place that mail goes to.
type Destination struct {
	Key       string       `json:"key"`    // agent and host names, as in "remote mx1.example.org,mx2.example.org"
	Window    int          `json:"window"` // deliveries that may run at the same time now
	Busy      int          `json:"busy"`
	Waiting   int          `json:"waiting"`            // deliveries that wait in memory; more may wait in the store
	Rate      string       `json:"rate,omitempty"`     // as configured
	Slowed    int          `json:"slowed,omitempty"`   // how many times limits are halved now
	Suspended time.Time    `json:"suspended,omitzero"` // until when nothing starts
	Proven    bool         `json:"proven"`             // the last delivery reached the host
	Slow      bool         `json:"slow,omitempty"`     // deliveries take long
	Why       string       `json:"why,omitempty"`      // it is suspended or slowed
	Last      *mail.Status `json:"last,omitempty"`     // the last answer that was a failure of the host, or fitted a rule
}

// Destinations returns what is known of the places that mail goes to, those with most to do first. It
// is empty while the queue does not run.
func (q *Queue) Destinations() []Destination {
	d := q.dispatcher.Load()
	if d == nil {
		return nil
	}
	now, wall := time.Now(), q.clock()
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.sched.snapshot(now)
	for i := range all {
		if s := &all[i].Suspended; !s.IsZero() {
			*s = wall.Add(s.Sub(now)).Round(0)
		}
	}
	return all
}

// snapshot returns the destinations but those where ways are sought.
func (s *scheduler) snapshot(now time.Time) []Destination {
	all := make([]Destination, 0, len(s.destinations))
	for _, d := range s.destinations {
		if !d.finding {
			all = append(all, d.snapshot(s.limits, now))
		}
	}
	slices.SortFunc(all, func(a, b Destination) int {
		return cmp.Or(cmp.Compare(b.Busy+b.Waiting, a.Busy+a.Waiting), cmp.Compare(a.Key, b.Key))
	})
	return all
}

func (d *destination) snapshot(l Limits, now time.Time) Destination {
	d.pool.recover(now)
	rate, _ := d.pool.meter.rate.MarshalText()
	out := Destination{
		Key: strings.ReplaceAll(d.key, "\x00", " "), Window: min(int(max(1, d.window)), d.limit(l)), Busy: d.busy, Waiting: d.waiting,
		Rate: string(rate), Slowed: d.pool.meter.halved, Proven: d.proven, Slow: d.slow, Last: d.last,
	}
	until, why := d.until(now)
	out.Suspended = until
	if why == nil && out.Slowed > 0 {
		why = d.pool.why
	}
	if d.pool.why != nil {
		out.Last = d.pool.why
	}
	if why != nil {
		out.Why = why.Text
	}
	return out
}
