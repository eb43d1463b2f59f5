package ban

import "time"

// A Kind is a kind of offence.
type Kind uint8

// The kinds.
const (
	WrongPassword    Kind = iota // for a login that exists
	UnknownLogin                 // a login that does not exist
	Scan                         // another protocol where ours is spoken: HTTP or TLS on an SMTP port
	BadSession                   // a session that ended for too many bad commands
	Probe                        // a connection that came and went without a word of mail
	UnknownRecipient             // a recipient that does not exist
	kinds
)

var kindTexts = [kinds]string{"too many failed logins", "too many failed logins", "speaking other protocols",
	"too many bad commands", "too many connections without mail", "too many unknown recipients"}

// String returns what a client is told of a ban for k.
func (k Kind) String() string { return kindTexts[min(k, kinds-1)] }

// Rules say when somebody is banned and how long. They are values, so that a decision is a function of
// them, of what was counted, and of the time.
type Rules struct {
	Window time.Duration // within which offences count together, from the first on
	Limits [kinds]int    // how many of a kind within Window make a ban; several kinds add up; 0: any number

	Prefix   int // for how many networks the offences in a prefix must suffice to ban it; 0: it never is
	ASN      int // likewise of a system
	Login    int // failed logins within Window that close a login to unknown devices; 0: any number
	Networks int // from how many networks at least; at most maxNetworks

	First, Longest time.Duration // of the first ban of somebody, and of any
	Devices        time.Duration // how long ago a login may be that makes a device known
}

// DefaultRules are safe on the open Internet.
var DefaultRules = Rules{
	Window: 15 * time.Minute,
	Limits: [kinds]int{WrongPassword: 30, UnknownLogin: 15, Scan: 5, BadSession: 10, Probe: 100, UnknownRecipient: 100},
	Prefix: 5, ASN: 50, Login: 50, Networks: 5,
	First: 10 * time.Minute, Longest: 7 * 24 * time.Hour,
	Devices: 60 * 24 * time.Hour,
}

// steps are how many times longer than the first the next bans of somebody are: of 10 minutes they make
// 1 hour, 6 hours, a day, 3 days, a week.
var steps = [...]time.Duration{1, 6, 36, 144, 432, 1008}

const (
	maxNetworks = 8 // that the history of a login names
	maxTried    = 4 // passwords that the history of a network names
)

// A history is what somebody did.
type history struct {
	since    time.Time           // the first offence of the window
	sum      float64             // of the window; 1 is enough for a ban of a network
	bans     int                 // so far
	until    time.Time           // the end of the latest
	networks [maxNetworks]uint64 // hashes; where the attempts on a login came from, in the window
	tried    [maxTried]uint64    // hashes; the wrong passwords that counted last
}

// worth is the share of a ban that an offence is.
func (r *Rules) worth(k Kind) float64 {
	if r.Limits[k] <= 0 {
		return 0
	}
	return 1 / float64(r.Limits[k])
}

// count adds an offence to h and tells whether it is the one that makes a ban, of which enough says how
// much it takes, in networks: 0 is never. The end of a ban starts the count anew.
func (r *Rules) count(h *history, worth, enough float64, now time.Time) (banned bool) {
	if now.Sub(h.since) >= r.Window {
		h.since, h.sum, h.networks = now, 0, [maxNetworks]uint64{}
	}
	h.sum += worth
	const rounding = 1e-9 // of 30 times 1/30
	return enough > 0 && h.sum >= enough-rounding
}

// ban notes a ban from now on in h and returns its end.
func (r *Rules) ban(h *history, now time.Time) (until time.Time) {
	if now.Sub(h.until) >= r.Longest { // it has been good for as long as any ban
		h.bans = 0
	}
	until = now.Add(min(r.First*steps[min(h.bans, len(steps)-1)], r.Longest))
	h.bans++
	h.until, h.since, h.sum = until, time.Time{}, 0
	return until
}

// from notes a network in h and tells whether they are enough for an attack from many.
func (r *Rules) from(h *history, network uint64) bool {
	n, seen := 0, false
	for ; n < len(h.networks) && h.networks[n] != 0; n++ {
		seen = seen || h.networks[n] == network
	}
	if !seen && n < len(h.networks) {
		h.networks[n] = network
		n++
	}
	return n >= min(r.Networks, maxNetworks)
}

// repeats tells whether a password, by its hash, was counted not long ago, and notes it.
func (h *history) repeats(password uint64) bool {
	if password == 0 {
		return false
	}
	for _, t := range h.tried {
		if t == password {
			return true
		}
	}
	copy(h.tried[1:], h.tried[:])
	h.tried[0] = password
	return false
}
