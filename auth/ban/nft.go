package ban

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// NFT returns a script for `nft -f -` that makes the sets <name>4 and <name>6 of a table hold exactly
// the networks banned at now, in one transaction, each with its time. table is family and name, as
// "inet filter". What is banned by system or login is not in it, nor a network where a device is known:
// a packet filter cannot tell who logs in.
func (b *Bans) NFT(table, name string, now time.Time) (string, error) {
	if err := checkNFT(table, name); err != nil {
		return "", err
	}
	var s strings.Builder
	fmt.Fprintf(&s, "add table %s\n", table)
	for _, set := range []struct{ suffix, kind string }{{"4", "ipv4_addr"}, {"6", "ipv6_addr"}} {
		full := table + " " + name + set.suffix
		fmt.Fprintf(&s, "add set %s { type %s; flags interval, timeout; }\nflush set %s\n", full, set.kind, full)
		var elements []string
		for _, ban := range b.outermost(set.suffix == "4", now) {
			element := ban.Subject.String()
			if !ban.Until.IsZero() {
				element += fmt.Sprintf(" timeout %ds", int(ban.Until.Sub(now)/time.Second)+1)
			}
			elements = append(elements, element)
		}
		if len(elements) > 0 {
			fmt.Fprintf(&s, "add element %s { %s }\n", full, strings.Join(elements, ", "))
		}
	}
	return s.String(), nil
}

// checkNFT refuses words that would be more than names to nft.
func checkNFT(table, name string) error {
	family, rest, _ := strings.Cut(table, " ")
	if !slices.Contains([]string{"inet", "ip", "ip6", "netdev", "bridge"}, family) {
		return fmt.Errorf("ban: %q does not begin with the family of a table, as inet", table)
	}
	for _, word := range []string{rest, name} {
		bad := strings.Trim(strings.ToLower(word), "abcdefghijklmnopqrstuvwxyz0123456789_-") != ""
		if bad || word == "" || len(word) > 100 || word[0] == '-' || word[0] >= '0' && word[0] <= '9' {
			return fmt.Errorf("ban: %q is no name for a table or set of nftables", word)
		}
	}
	return nil
}

// outermost returns the bans of networks of a family that lie in no other, for sets of intervals take no
// overlaps. One that a longer ban lies in goes all the same: it is back with the next script.
func (b *Bans) outermost(four bool, now time.Time) []Ban {
	since := now.Add(-b.settings.Load().rules.Devices)
	b.mu.RLock()
	defer b.mu.RUnlock()
	var all []Ban
	for _, e := range b.bans {
		n := e.Subject.Network
		if n.IsValid() && n.Addr().Is4() == four && e.holds(now) && !b.devices.within(n, since) {
			all = append(all, e.Ban)
		}
	}
	slices.SortFunc(all, func(x, y Ban) int {
		return cmp.Or(x.Subject.Network.Addr().Compare(y.Subject.Network.Addr()), cmp.Compare(x.Subject.Network.Bits(), y.Subject.Network.Bits()))
	})
	var last netip.Prefix
	return slices.DeleteFunc(all, func(ban Ban) bool {
		if last.IsValid() && last.Overlaps(ban.Subject.Network) {
			return true
		}
		last = ban.Subject.Network
		return false
	})
}
