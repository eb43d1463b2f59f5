package outflow

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Limits are what one account may send. 0 is any number.
type Limits struct {
	MessagesHour, MessagesDay     int
	RecipientsHour, RecipientsDay int
	FirstHour, FirstDay           int // recipients that the account never wrote to

	Failures int // percent of the outcomes of a day that may be permanent failures, from minOutcomes on

	// Burst is how many times as many recipients as on an ordinary day an account may write to in a day.
	// What is ordinary is known after a week; BurstFloor recipients are never a burst.
	Burst, BurstFloor int
}

const (
	hours       = 24
	minOutcomes = 20 // fewer say nothing
	learnDays   = 7  // until a normal day is known
	weight      = 14 // days that a normal day is the mean of, the latest counting most
)

// amounts are what is counted.
type amounts struct {
	messages, recipients, first int
	outcomes, failures          int
}

// usage is what an account sent: of the last 24 hours by the hour, and of ordinary days.
type usage struct {
	slots [hours]slot

	day    int64   // number of the day that today counts
	today  int     // recipients of day
	normal float64 // recipients of an ordinary day
	days   int     // that normal was learned from

	held time.Time // when a message was last held
}

// A slot counts one hour.
type slot struct {
	hour int64 // since 1970
	amounts
}

func hourOf(t time.Time) int64 { return t.Unix() / 3600 }
func dayOf(t time.Time) int64  { return t.Unix() / 86400 }

// add counts m.
func (u *usage) add(m amounts, now time.Time) {
	s := &u.slots[int(((hourOf(now)%hours)+hours)%hours)]
	if s.hour != hourOf(now) {
		*s = slot{hour: hourOf(now)}
	}
	s.messages += m.messages
	s.recipients += m.recipients
	s.first += m.first
	s.outcomes += m.outcomes
	s.failures += m.failures
	u.learn(now)
	u.today += m.recipients
}

// learn ends the day that was counted, when it is over. Days without mail say nothing of how much an
// account sends when it does.
func (u *usage) learn(now time.Time) {
	if u.day == dayOf(now) {
		return
	}
	if u.today > 0 {
		n := float64(min(u.days+1, weight))
		u.normal += (float64(u.today) - u.normal) / n
		u.days++
	}
	u.day, u.today = dayOf(now), 0
}

// last returns the sums of the last hour and day, to which an hour that is over in part counts in part.
func (u *usage) last(now time.Time) (hour, day amounts) {
	h, gone := hourOf(now), float64(now.Unix()%3600)/3600
	for _, s := range u.slots {
		switch age := h - s.hour; {
		case age < 0 || age >= hours:
		case age == 0:
			hour.plus(s.amounts, 1)
			day.plus(s.amounts, 1)
		case age == 1:
			hour.plus(s.amounts, 1-gone)
			day.plus(s.amounts, 1)
		default:
			day.plus(s.amounts, 1)
		}
	}
	return hour, day
}

func (a *amounts) plus(b amounts, share float64) {
	part := func(n int) int { return int(float64(n) * share) }
	a.messages += part(b.messages)
	a.recipients += part(b.recipients)
	a.first += part(b.first)
	a.outcomes += part(b.outcomes)
	a.failures += part(b.failures)
}

// judge returns why a message of m, after what u says, is to be held at now, or nothing.
func (l *Limits) judge(u *usage, m amounts, now time.Time) string {
	hour, day := u.last(now)
	for _, c := range []struct {
		what        string
		limit, used int
		more        int
		span        string
	}{
		{"messages", l.MessagesHour, hour.messages, m.messages, "an hour"},
		{"messages", l.MessagesDay, day.messages, m.messages, "a day"},
		{"recipients", l.RecipientsHour, hour.recipients, m.recipients, "an hour"},
		{"recipients", l.RecipientsDay, day.recipients, m.recipients, "a day"},
		{"first-time recipients", l.FirstHour, hour.first, m.first, "an hour"},
		{"first-time recipients", l.FirstDay, day.first, m.first, "a day"},
	} {
		if c.limit > 0 && c.more > 0 && c.used+c.more > c.limit {
			return fmt.Sprintf("outflow: more than %d %s in %s (%d before, %d in this message)", c.limit, c.what, c.span, c.used, c.more)
		}
	}
	if l.Failures > 0 && day.outcomes >= minOutcomes && day.failures*100 > day.outcomes*l.Failures {
		return fmt.Sprintf("outflow: %d of %d recipients in a day failed for good, more than %d %%", day.failures, day.outcomes, l.Failures)
	}
	ordinary := float64(u.normal)
	if sum := day.recipients + m.recipients; l.Burst > 0 && u.days >= learnDays && sum > l.BurstFloor && float64(sum) > ordinary*float64(l.Burst) {
		return fmt.Sprintf("outflow: %d recipients in a day, more than %d times the %.0f of an ordinary day", sum, l.Burst, ordinary)
	}
	return ""
}

// ParseLimits reads what an account has in the place of def, as "recipients_day=5000 first_day=0". The
// words are those of the configuration.
func ParseLimits(text string, def Limits) (Limits, error) {
	l := def
	fields := map[string]*int{
		"messages_hour": &l.MessagesHour, "messages_day": &l.MessagesDay,
		"recipients_hour": &l.RecipientsHour, "recipients_day": &l.RecipientsDay,
		"first_hour": &l.FirstHour, "first_day": &l.FirstDay,
		"failures": &l.Failures, "burst": &l.Burst, "burst_floor": &l.BurstFloor,
	}
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' }) {
		name, value, _ := strings.Cut(word, "=")
		n, err := strconv.ParseUint(value, 10, 31)
		if fields[name] == nil || err != nil {
			return def, fmt.Errorf("outflow: %.100q is no limit such as recipients_day=5000", word)
		}
		*fields[name] = int(n)
	}
	return l, nil
}
