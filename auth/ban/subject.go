package ban

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// A Subject is whom a ban is for: one of its fields is set.
type Subject struct {
	Network netip.Prefix
	ASN     uint32 // an autonomous system
	Login   string // closed to unknown devices only: the address of the account, or the name that was tried
}

// ParseSubject reads an address, a prefix, "AS64500", or "login:ann@example.org".
func ParseSubject(s string) (Subject, error) {
	if login, ok := strings.CutPrefix(s, "login:"); ok && login != "" && len(login) <= maxLogin {
		return Subject{Login: strings.ToLower(login)}, nil
	}
	if len(s) > 2 && strings.EqualFold(s[:2], "AS") {
		if n, err := strconv.ParseUint(s[2:], 10, 32); err == nil && n > 0 {
			return Subject{ASN: uint32(n)}, nil
		}
	}
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = addr.Unmap().WithZone("")
		return Subject{Network: netip.PrefixFrom(addr, addr.BitLen())}, nil
	}
	network, err := netip.ParsePrefix(s)
	if err != nil || network.Addr().Is4In6() {
		return Subject{}, fmt.Errorf("%.100q is no address, no prefix as 192.0.2.0/24, no system as AS64500 and no login as login:ann@example.org", s)
	}
	return Subject{Network: network.Masked()}, nil
}

// String returns s as ParseSubject reads it, and an address without its length.
func (s Subject) String() string {
	switch {
	case s.Login != "":
		return "login:" + s.Login
	case s.ASN != 0:
		return "AS" + strconv.FormatUint(uint64(s.ASN), 10)
	case s.Network.IsSingleIP():
		return s.Network.Addr().String()
	}
	return s.Network.String()
}

// MarshalText prints s.
func (s Subject) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText printed.
func (s *Subject) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSubject(string(text))
	return err
}

// A Ban keeps somebody away for a while.
type Ban struct {
	Subject Subject   `json:"subject"`
	Reason  string    `json:"reason"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until,omitzero"` // zero: until it is removed
	Times   int       `json:"times"`          // the how-manieth ban of the subject; 0 is one of an operator
	Hits    int64     `json:"hits"`           // who was turned away by it, on this node, since it started
}

// holds tells whether b is in force.
func (b *Ban) holds(now time.Time) bool { return b.Until.IsZero() || now.Before(b.Until) }

// Text is what a client hears that is turned away.
func (b *Ban) Text() string {
	until := "you are not welcome"
	if !b.Until.IsZero() {
		until = "come back after " + b.Until.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	if b.Subject.Login != "" {
		return b.Reason + ", " + until
	}
	return b.Reason + " from your address, " + until
}
