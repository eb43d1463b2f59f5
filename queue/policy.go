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

// settle returns what answer s at time now means for recipient r of a message that came at created.
func (p Policy) settle(r Recipient, s *mail.Status, created, now time.Time, chance float64) verdict {
	r.Status = s
	r.Attempts++
	switch {
	case s.OK():
		r.State, r.Next = Delivered, time.Time{}
		return verdict{r, successAction(r.Notify, s)}
	case s.Permanent():
		return fail(r)
	}
	expiry := created.Add(p.Expire)
	if !now.Before(expiry) {
		r.Status = expired(s, p.Expire)
		return fail(r)
	}
	r.State = Deferred
	r.Next = now.Add(p.wait(r.Attempts, chance))
	if r.Next.After(expiry) {
		r.Next = expiry // one last attempt
	}
	v := verdict{recipient: r}
	if !r.warned && now.Sub(created) >= p.Warn && r.Notify.Wants(mail.NotifyDelay) {
		v.recipient.warned, v.report = true, delayed
	}
	return v
}

// unasked returns v for a recipient whose destination was suspended, so that nobody was asked: it is
// due again when the suspension ends. Were it to wait for as long as after an attempt of its own, mail
// could miss one chance after the other for hours after the host is back.
func (p Policy) unasked(v verdict, created, suspended time.Time, chance float64) verdict {
	if v.recipient.State != Deferred {
		return v
	}
	v.recipient.Attempts--
	v.recipient.Next = suspended.Add(time.Duration(chance * maxJitter * float64(p.First)))
	if expiry := created.Add(p.Expire); v.recipient.Next.After(expiry) {
		v.recipient.Next = expiry
	}
	return v
}

func fail(r Recipient) verdict {
	r.State, r.Next = Failed, time.Time{}
	v := verdict{recipient: r}
	if r.Notify.Wants(mail.NotifyFailure) {
		v.report = failed
	}
	return v
}

// successAction returns what to report of a delivery, where the sender asked for it.
func successAction(n mail.Notify, s *mail.Status) action {
	switch {
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

// duration prints d in the largest unit that fits, for people.
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
	return d.String()
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
