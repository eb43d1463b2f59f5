package access

import (
	"context"
	"fmt"
	"net/netip"

	"posthaste/explain"
	"posthaste/mail"
	"posthaste/table"
	"posthaste/wire"
)

// Relay says for whom mail is handed on to hosts that are not ours, without login. The zero Relay
// relays nothing.
type Relay struct {
	Networks []netip.Prefix // clients that may send anywhere
	Domains  []table.Table  // destinations that anybody may send to: example.org, .example.org (names below it)
}

// MayRelay tells whether the client at ip may send to a recipient that is not ours, and why, in words
// for people. An error is temporary: a table of Domains could not be asked.
func (r Relay) MayRelay(ctx context.Context, ip netip.Addr, to mail.Address) (may bool, reason string, err error) {
	may, reason, err = r.mayRelay(ctx, ip, to)
	switch {
	case err != nil:
		explain.Note(ctx, "relay", "%v", err)
	case may:
		explain.Note(ctx, "relay", "allowed: %s", reason)
	default:
		explain.Note(ctx, "relay", "not allowed: %s", reason)
	}
	return may, reason, err
}

func (r Relay) mayRelay(ctx context.Context, ip netip.Addr, to mail.Address) (bool, string, error) {
	if ip.IsValid() && wire.Contains(r.Networks, ip) {
		return true, fmt.Sprintf("%s is in the networks that may relay", ip), nil
	}
	if to.Domain == "" {
		return false, "the recipient has no domain", nil
	}
	for _, t := range r.Domains {
		// Not "*": no table may make this host an open relay by one careless line.
		_, key, found, err := table.First(ctx, t, table.DomainKeys(to.Domain)...)
		if err != nil {
			return false, "", fmt.Errorf("access: relay domains: %w", err)
		}
		if found {
			return true, fmt.Sprintf("%s is a destination that we relay to, by %q", to.Domain, key), nil
		}
	}
	return false, fmt.Sprintf("%s is no destination of ours, and the client is not in a network that may relay", to.Domain), nil
}
