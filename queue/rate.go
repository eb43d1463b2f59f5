package queue

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Rate is how much may start in a time: "100/1m" is a hundred messages in any minute, "500
// recipients/1h" counts recipients. The zero Rate sets no limit.
type Rate struct {
	Count      int
	Per        time.Duration
	Recipients bool // Count is of recipients, not of messages
}

// maxRatePer bounds the time of a Rate: past it a limit says little about how mail flows.
const maxRatePer = 30 * 24 * time.Hour

// MarshalText returns the form that UnmarshalText reads.
func (r Rate) MarshalText() ([]byte, error) {
	switch {
	case r.Count == 0:
		return nil, nil
	case r.Recipients:
		return fmt.Appendf(nil, "%d recipients/%s", r.Count, r.Per), nil
	default:
		return fmt.Appendf(nil, "%d/%s", r.Count, r.Per), nil
	}
}

// UnmarshalText reads "COUNT/TIME" or "COUNT recipients/TIME", TIME as "1m" or just "m". Empty is no limit.
func (r *Rate) UnmarshalText(text []byte) error {
	*r = Rate{}
	s := strings.TrimSpace(string(text))
	if s == "" {
		return nil
	}
	many, per, ok := strings.Cut(s, "/")
	many, recipients := strings.CutSuffix(strings.TrimSpace(many), "recipients")
	n, err := strconv.Atoi(strings.TrimSpace(many))
	per = strings.TrimSpace(per)
	if per != "" && (per[0] < '0' || per[0] > '9') {
		per = "1" + per
	}
	d, derr := time.ParseDuration(per)
	if !ok || err != nil || derr != nil || n < 1 || n > 1e9 || d < time.Second || d > maxRatePer {
		return fmt.Errorf("%q is no rate: write a number above 0 and a time from 1s to 720h, as in \"100/1m\" or \"500 recipients/1h\"", s)
	}
	*r = Rate{Count: n, Per: d, Recipients: recipients}
	return nil
}

// cost returns what a task of so many recipients takes of r.
func (r Rate) cost(recipients int) int {
	if r.Recipients {
		return recipients
	}
	return 1
}

// burst is how much of r may start at the same moment: a quarter, so that mail flows evenly.
func (r Rate) burst() int { return max(1, r.Count/4) }

// interval is the time after which one more may start. With the burst at its begin, no time of length
// Per has more than Count.
func (r Rate) interval() time.Duration {
	n := time.Duration(r.Count - r.burst() + 1)
	return (r.Per + n - 1) / n
}

// A meter measures one Rate: a bucket of burst tokens, one more each interval. It keeps the time at
// which the bucket will be full again, so that it costs nothing while it is idle.
type meter struct {
	rate    Rate
	halved  int       // how many times a reply has slowed it
	full    time.Time // when all tokens are back
	waiting int       // cost of the tasks that wait in memory
	horizon time.Time // until when tasks were sent away
}

func (m *meter) unlimited() bool { return m.rate.Count == 0 }

func (m *meter) interval() time.Duration { return m.rate.interval() << m.halved }

// at returns when a task of that cost may start, at the soonest now.
func (m *meter) at(now time.Time, cost int) time.Time {
	if m.unlimited() {
		return now
	}
	cost = min(cost, m.rate.burst()) // what costs more takes them all, and the debt delays the next
	if at := m.full.Add(-time.Duration(m.rate.burst()-cost) * m.interval()); at.After(now) {
		return at
	}
	return now
}

func (m *meter) take(now time.Time, cost int) {
	if m.unlimited() {
		return
	}
	if m.full.Before(now) {
		m.full = now
	}
	m.full = m.full.Add(time.Duration(cost) * m.interval())
}

// refund takes back what take took.
func (m *meter) refund(cost int) {
	if !m.unlimited() {
		m.full = m.full.Add(-time.Duration(cost) * m.interval())
	}
}

// delay estimates how long a task that comes now would wait in memory.
func (m *meter) delay(now time.Time) time.Duration {
	if m.unlimited() {
		return 0
	}
	return m.at(now, 1).Sub(now) + time.Duration(m.waiting)*m.interval()
}

// patience is how long a task may wait for m in memory: in any case until it is the next but one.
func (m *meter) patience() time.Duration { return max(maxBacklog, 2*m.interval()) }

// postpone returns when a task that cannot wait in memory is to come back: one after the other, each
// where the rate has room. Past the longest wait they begin again at the front, so that those who come
// back stay spread evenly, however many they are, and a changed limit is soon felt.
func (m *meter) postpone(now time.Time, cost int, longest time.Duration) time.Time {
	from := now.Add(m.interval())
	m.horizon = m.horizon.Add(time.Duration(cost) * m.interval())
	if m.horizon.Before(from) || m.horizon.After(now.Add(longest)) {
		m.horizon = from
	}
	return m.horizon
}
