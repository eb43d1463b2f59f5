package smtpd

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	"posthaste/wire"
)

// Bounds and times of what is remembered of clients.
const (
	maxVisitors = 20_000             // networks and prefixes that are counted
	maxPatient  = 50_000             // networks that waited for the greeting
	patientFor  = 7 * 24 * time.Hour // how long it counts that they did
)

// Rates bound what strangers may do. They hold for a network, an IPv4 address or an IPv6 /64; 0 is any
// number.
type Rates struct {
	Connections       int // a minute
	Messages          int // MAIL commands an hour
	Recipients        int // RCPT commands an hour
	UnknownRecipients int // recipients an hour that do not exist
	Wider             int // how many times as much a whole /24 or /48 may do
}

// A deed is something that is counted.
type deed int

const (
	connected deed = iota
	mailed
	named   // a recipient
	unknown // a recipient that does not exist
	deeds
)

func (r *Rates) limit(d deed) int {
	return [deeds]int{r.Connections, r.Messages, r.Recipients, r.UnknownRecipients}[d]
}

func (d deed) span() time.Duration {
	if d == connected {
		return time.Minute
	}
	return time.Hour
}

// Visitors remember what clients did lately. Servers may share one, or each counts by itself. The zero
// Visitors is ready; its methods may be called at the same time.
type Visitors struct {
	mu      sync.Mutex // guards what follows
	counts  map[netip.Prefix]*visits
	patient map[netip.Prefix]time.Time // when they last waited for the greeting
}

// visits are what one network did, in spans that begin with the first deed.
type visits struct {
	since [deeds]time.Time
	count [deeds]int
	last  time.Time
}

// add counts a deed and tells whether it is one too many.
func (v *visits) add(d deed, limit int, now time.Time) (over bool) {
	v.last = now
	if now.Sub(v.since[d]) >= d.span() {
		v.since[d], v.count[d] = now, 0
	}
	v.count[d]++
	return limit > 0 && v.count[d] > limit
}

// over tells whether the network has done more than limit of d.
func (v *visits) over(d deed, limit int, now time.Time) bool {
	return limit > 0 && v.count[d] > limit && now.Sub(v.since[d]) < d.span()
}

// count counts a deed of a client for its network and the prefix around, and tells whether it is one too
// many for either.
func (vs *Visitors) count(ip netip.Addr, d deed, r *Rates, now time.Time) (over bool) {
	limit := r.limit(d)
	if limit <= 0 {
		return false
	}
	vs.mu.Lock()
	defer vs.mu.Unlock()
	over = vs.of(wire.NetworkOf(ip)).add(d, limit, now)
	return vs.of(widerThan(ip)).add(d, limit*r.Wider, now) || over
}

// spent tells whether a client, or the prefix around, has done too much of d already.
func (vs *Visitors) spent(ip netip.Addr, d deed, r *Rates, now time.Time) bool {
	limit := r.limit(d)
	vs.mu.Lock()
	defer vs.mu.Unlock()
	for key, limit := range map[netip.Prefix]int{wire.NetworkOf(ip): limit, widerThan(ip): limit * r.Wider} {
		if v := vs.counts[key]; v != nil && v.over(d, limit, now) {
			return true
		}
	}
	return false
}

// of returns the visits of a network, and makes room for one that is new. vs.mu is held.
func (vs *Visitors) of(network netip.Prefix) *visits {
	if v := vs.counts[network]; v != nil {
		return v
	}
	if vs.counts == nil {
		vs.counts = map[netip.Prefix]*visits{}
	}
	if len(vs.counts) >= maxVisitors {
		dropOldest(vs.counts, func(v *visits) time.Time { return v.last })
	}
	v := &visits{}
	vs.counts[network] = v
	return v
}

// waits tells whether the network of a client waited for a greeting not long ago.
func (vs *Visitors) waits(ip netip.Addr, now time.Time) bool {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	last, ok := vs.patient[wire.NetworkOf(ip)]
	return ok && now.Sub(last) < patientFor
}

// waited notes that the network of a client waited for a greeting.
func (vs *Visitors) waited(ip netip.Addr, now time.Time) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if vs.patient == nil {
		vs.patient = map[netip.Prefix]time.Time{}
	}
	if len(vs.patient) >= maxPatient {
		dropOldest(vs.patient, func(t time.Time) time.Time { return t })
	}
	vs.patient[wire.NetworkOf(ip)] = now
}

// widerThan returns the /24 or /48 of an address.
func widerThan(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap()
	bits := 48
	if ip.Is4() {
		bits = 24
	}
	prefix, _ := ip.Prefix(bits)
	return prefix
}

// dropOldest deletes the quarter of m that is oldest.
func dropOldest[V any](m map[netip.Prefix]V, age func(V) time.Time) {
	type aged struct {
		key netip.Prefix
		at  int64
	}
	all := make([]aged, 0, len(m))
	for key, v := range m {
		all = append(all, aged{key, age(v).UnixNano()})
	}
	slices.SortFunc(all, func(x, y aged) int { return cmp.Compare(x.at, y.at) })
	for _, a := range all[:(len(all)+3)/4] {
		delete(m, a.key)
	}
}
