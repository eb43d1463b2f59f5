package greylist

import (
	"encoding/binary"
	"fmt"
	"time"
)

// A stamp is what is remembered of a triplet, a pair or a network; zero is nothing.
type stamp struct {
	first, last int64  // Unix seconds
	count       uint64 // how often it came (triplet, pair), how many pairs came through (network)
}

func (s stamp) append(b []byte) []byte {
	b = binary.AppendVarint(b, s.first)
	b = binary.AppendVarint(b, s.last)
	return binary.AppendUvarint(b, s.count)
}

// parse reads what append wrote; what cannot be read is nothing.
func (s *stamp) parse(b []byte) {
	first, n := binary.Varint(b)
	if n <= 0 {
		return
	}
	last, m := binary.Varint(b[n:])
	if m <= 0 {
		return
	}
	count, l := binary.Uvarint(b[n+m:])
	if l <= 0 {
		return
	}
	*s = stamp{first, last, count}
}

// within tells whether s was last seen less than d before now.
func (s stamp) within(now time.Time, d time.Duration) bool {
	return s != stamp{} && now.Sub(time.Unix(s.last, 0)) < d
}

// past is what is remembered of a try.
type past struct{ triplet, pair, network stamp }

// A verdict is what follows, and what is to be remembered from now on.
type verdict struct {
	past
	wait   time.Duration
	reason string
}

// decide judges a try by the past.
func (r *Rules) decide(p past, now time.Time) verdict {
	v := verdict{past: p}
	if !v.network.within(now, r.Pass) {
		v.network = stamp{}
	}
	if !v.pair.within(now, r.Pass) {
		v.pair = stamp{}
	}
	switch {
	case v.pair != stamp{}:
		v.reason = "the network and the sender's domain came before"
	case v.network.count >= uint64(r.Passes):
		v.reason = "the network is known"
	default:
		return r.decideTriplet(v, now)
	}
	v.pair = seen(v.pair, now)
	if (v.network != stamp{}) {
		v.network.last = now.Unix()
	}
	return v
}

// decideTriplet judges a try of a pair that is not known.
func (r *Rules) decideTriplet(v verdict, now time.Time) verdict {
	age := now.Sub(time.Unix(v.triplet.first, 0))
	switch {
	case v.triplet == stamp{} || age >= r.Retry || age < 0:
		v.triplet = stamp{now.Unix(), now.Unix(), 1}
		v.wait, v.reason = r.Wait, "it is the first mail from there for this recipient"
	case age < r.Wait:
		v.triplet = seen(v.triplet, now)
		v.wait = r.Wait - age
		v.reason = fmt.Sprintf("it came again after %v, which is too soon", age.Truncate(time.Second))
	default:
		v.triplet = stamp{}
		v.pair = seen(v.pair, now)
		v.network = seen(v.network, now)
		v.reason = fmt.Sprintf("it came again after %v", age.Truncate(time.Second))
	}
	return v
}

// seen counts another one.
func seen(s stamp, now time.Time) stamp {
	if (s == stamp{}) {
		s.first = now.Unix()
	}
	s.last = now.Unix()
	s.count++
	return s
}
