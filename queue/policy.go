package queue

import (
	"fmt"
	"time"

	"posthaste/mail"
)

// A Policy says when to try again, and when to give up. Zero values mean the defaults.
type Policy struct {
	First  time.Duration // wait after the first failed attempt, default 2 min; it doubles each time
	Max    time.Duration // longest wait, default 1 h
	Expire time.Duration // give up this long after the message came, default 5 days (RFC 5321 section 4.5.4.1)
	Warn   time.Duration // tell the sender of the delay after this time, default 4 h
}

func (p Policy) withDefaults() Policy {
	or := func(d *time.Duration, fallback time.Duration) {
		if *d <= 0 {
			*d = fallback
		}
	}
	or(&p.First, 2*time.Minute)
	or(&p.Max, time.Hour)
	or(&p.Expire, 5*24*time.Hour)
	or(&p.Warn, 4*time.Hour)
	p.Max = max(p.Max, p.First)
	return p
}

// maxJitter is by how much of itself a wait is made longer or shorter, so that what failed together
// does not come back together.
const maxJitter = 0.2

// wait returns the pause after so many attempts, which is at least one. chance is in [0,1).
func (p Policy) wait(attempts int, chance float64) time.Duration {
	wait := p.Max
	if attempts <= 32 { // beyond, the shift would overflow
		if doubled := p.First << (max(attempts, 1) - 1); doubled > 0 && doubled < p.Max {
			wait = doubled
		}
	}
	return time.Duration(float64(wait) * (1 + maxJitter*(2*chance-1)))
}

// A verdict is what an answer means to a recipient: its new record, and the report it calls for.
type verdict struct {
	recipient Recipient
	report    action // noReport where the sender hears nothing
}

// A moment is what a decision on an answer depends on beside the answer.
type moment struct {
	env     *mail.Envelope
	now     time.Time
	chance  float64 // in [0,1)
	patient bool    // we were away, or the clock jumped: nothing is too old before it was tried for a while
}

// settle returns what answer s means for recipient r.
func (p Policy) settle(r Recipient, s *mail.Status, m moment) verdict {
	r.Status = s
	r.Attempts++
	switch {
	case s.OK():
		r.State, r.Next = Delivered, time.Time{}
		return verdict{r, successAction(r.Notify, m.env.ByTrace, s)}
	case s.Permanent():
		return fail(r)
	case returned(m.env, m.now):
		r.Status = tooLate(s)
		return fail(r)
	}
	if expiry := p.expiry(m.env, &r); !m.patient && !m.now.Before(expiry) {
		r.Status = expired(s, expiry.Sub(begin(m.env)))
		return fail(r)
	}
	return p.postpone(r, m, p.wait(r.Attempts, m.chance))
}

// postpone defers r for that long, and tells the sender of a delay that matters.
func (p Policy) postpone(r Recipient, m moment, pause time.Duration) verdict {
	r.State = Deferred
	r.Next = p.within(&r, m, m.now.Add(pause))
	v := verdict{recipient: r}
	if m.env.ByMode == mail.ByNotify && !r.overdue && !m.now.Before(m.env.DeliverBy) {
		v.recipient.overdue = true
		if r.Notify&mail.NotifyNever == 0 { // RFC 2852 section 4.1.4
			v.recipient.warned, v.report = true, delayed
		}
	}
	if !v.recipient.warned && m.now.Sub(begin(m.env)) >= p.Warn && r.Notify.Wants(mail.NotifyDelay) {
		v.recipient.warned, v.report = true, delayed
	}
	return v
}

// within brings next before the moments that must not be missed: the end of the lifetime, for one last
// attempt, and the deadline.
func (p Policy) within(r *Recipient, m moment, next time.Time) time.Time {
	ends := []time.Time{p.expiry(m.env, r)}
	if !m.env.DeliverBy.IsZero() && !r.overdue {
		ends = append(ends, m.env.DeliverBy)
	}
	for _, end := range ends {
		if end.After(m.now) && next.After(end) {
			next = end
		}
	}
	return next
}

// unasked is settle for a recipient that nobody was asked about: its destination was suspended, or a
// limit used up, until then. Were it to wait for as long as after an attempt of its own, mail could
// miss one chance after the other for hours after the host is back.
func (p Policy) unasked(r Recipient, s *mail.Status, m moment, until time.Time) verdict {
	v := p.settle(r, s, m)
	if v.recipient.State != Deferred {
		return v
	}
	v.recipient.Attempts--
	until = until.Add(time.Duration(m.chance * maxJitter * float64(p.First)))
	if last := m.now.Add(p.longest()); until.After(last) {
		until = last
	}
	v.recipient.Next = p.within(&v.recipient, m, until)
	return v
}

// longest is how far away the next attempt is at most.
func (p Policy) longest() time.Duration {
	return time.Duration(float64(p.Max) * (1 + maxJitter))
}

// begin returns when the life of a message in the queue began: when it came, or when it was first to
// be sent (RFC 4865).
func begin(env *mail.Envelope) time.Time {
	if env.HoldUntil.After(env.Received) {
		return env.HoldUntil
	}
	return env.Received
}

// expiry returns when r has been tried for long enough.
func (p Policy) expiry(env *mail.Envelope, r *Recipient) time.Time {
	if r.lifetime > 0 {
		return begin(env).Add(r.lifetime)
	}
	return begin(env).Add(p.Expire)
}

// returned tells whether the deadline of a message has passed after which it must not be relayed any
// more (RFC 2852 section 4.1).
func returned(env *mail.Envelope, now time.Time) bool {
	return env.ByMode == mail.ByReturn && !env.DeliverBy.IsZero() && !now.Before(env.DeliverBy)
}

// tooLate is the answer to a recipient whose deadline passed, after the last answer, if there is one.
func tooLate(last *mail.Status) *mail.Status {
	s := mail.NewStatus(554, "5.4.7", "delivery time expired: the sender asked to return the message at this time")
	if last != nil && !last.OK() {
		s.Peer, s.Text = last.Peer, s.Text+"; the last answer was: "+last.Error()
	}
	return s
}

func fail(r Recipient) verdict {
	r.State, r.Next = Failed, time.Time{}
	v := verdict{recipient: r}
	if r.Notify.Wants(mail.NotifyFailure) {
		v.report = failed
	}
	return v
}

// successAction returns what to report of a delivery, where the sender asked for it, or for a trace.
func successAction(n mail.Notify, traced bool, s *mail.Status) action {
	switch {
	case traced && s.Peer != "" && n&mail.NotifyNever == 0:
		return relayed // RFC 2852 section 4: each hop on the way is reported
	case !n.Wants(mail.NotifySuccess):
		return noReport
	case s.Code == 251:
		return expanded
	case s.Enhanced == "2.1.9":
		return relayed
	case s.Peer != "":
		return noReport // the host that took it reports
	default:
		return delivered
	}
}

// expired is the answer to a recipient whose time is over: the last answer stays in its text.
func expired(last *mail.Status, after time.Duration) *mail.Status {
	return &mail.Status{
		Code: 554, Enhanced: "5.4.7", Peer: last.Peer,
		Text: fmt.Sprintf("gave up after trying for %s; the last answer was: %s", duration(after), last),
	}
}

// duration prints d in the largest unit that fits, for people; a part of a second is one.
func duration(d time.Duration) string {
	const day = 24 * time.Hour
	for _, u := range []struct {
		d    time.Duration
		name string
	}{{day, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if n := (d + u.d/2) / u.d; d >= u.d {
			if n == 1 {
				return "1 " + u.name
			}
			return fmt.Sprintf("%d %ss", n, u.name)
		}
	}
	return "1 second"
}

// hostFailed tells whether answers speak of the host or the way to it, not of a recipient: all of
// them are 421 (RFC 5321 section 3.8) or of the network class X.4 (RFC 3463 section 3.5).
func hostFailed(answers []*mail.Status) bool {
	for _, s := range answers {
		if !s.Temporary() || s.Code != 421 && !(len(s.Enhanced) > 3 && s.Enhanced[1:4] == ".4.") {
			return false
		}
	}
	return len(answers) > 0
}
