package access

import (
	"context"
	"net/netip"

	"posthaste/mail"
	"posthaste/table"
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
	return false, "", nil
}
