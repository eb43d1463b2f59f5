package ban

import (
	"net/netip"
	"slices"
	"time"

	"posthaste/mail"
)

// Bounds of known devices.
const (
	maxDevices  = 100_000 // in memory
	maxAccounts = 1000    // of one network
	deviceGrain = 24 * time.Hour
)

// A Device is an account at a network from which it logged in.
type Device struct {
	Network netip.Prefix
	Account mail.AccountID
}

// devices remember when each was last seen, to deviceGrain. They are not for several goroutines.
type devices struct {
	at    map[netip.Prefix][]seenDevice
	count int
}

type seenDevice struct {
	account mail.AccountID
	last    time.Time
}

func newDevices() devices { return devices{at: map[netip.Prefix][]seenDevice{}} }

// seen returns when d logged in, or zero.
func (ds *devices) seen(d Device) time.Time {
	for _, s := range ds.at[d.Network] {
		if s.account == d.Account {
			return s.last
		}
	}
	return time.Time{}
}

// anyAt tells whether any device was seen at network after since.
func (ds *devices) anyAt(network netip.Prefix, since time.Time) bool {
	return slices.ContainsFunc(ds.at[network], func(s seenDevice) bool { return s.last.After(since) })
}

// within tells whether any device was seen in network or a part of it after since.
func (ds *devices) within(network netip.Prefix, since time.Time) bool {
	if network.IsSingleIP() {
		return ds.anyAt(network, since)
	}
	for n := range ds.at {
		if network.Overlaps(n) && ds.anyAt(n, since) {
			return true
		}
	}
	return false
}

// note remembers d. Past the bounds, others go: of one network those seen longest ago, of all the older
// half.
func (ds *devices) note(d Device, last time.Time) {
	list := ds.at[d.Network]
	if i := slices.IndexFunc(list, func(s seenDevice) bool { return s.account == d.Account }); i >= 0 {
		if last.After(list[i].last) {
			list[i].last = last
		}
		return
	}
	if len(list) >= maxAccounts {
		slices.SortFunc(list, func(x, y seenDevice) int { return x.last.Compare(y.last) })
		ds.count -= maxAccounts / 4
		list = slices.Delete(list, 0, maxAccounts/4)
	}
	ds.at[d.Network] = append(list, seenDevice{d.Account, last})
	if ds.count++; ds.count > maxDevices {
		ds.halve()
	}
}

// halve forgets the older half.
func (ds *devices) halve() {
	all := make([]time.Time, 0, ds.count)
	for _, list := range ds.at {
		for _, s := range list {
			all = append(all, s.last)
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	ds.drop(all[len(all)/2], len(all)/2)
}

// drop forgets what was seen before a time and, of what was seen just then, as much as makes least.
func (ds *devices) drop(before time.Time, least int) {
	for network, list := range ds.at {
		kept := slices.DeleteFunc(list, func(s seenDevice) bool {
			gone := s.last.Before(before) || least > 0 && s.last.Equal(before)
			if gone {
				ds.count--
				least--
			}
			return gone
		})
		if ds.at[network] = kept; len(kept) == 0 {
			delete(ds.at, network)
		}
	}
}
