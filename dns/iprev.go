package dns

import (
	"context"
	"errors"
	"net/netip"
	"slices"
)

// maxIprevNames is how many names of one address are tried (RFC 7208 section 4.6.4 has ten too).
const maxIprevNames = 10

// ErrUnconfirmed says that an address claims names, but none of them has that address.
var ErrUnconfirmed = errors.New("dns: no name of the address leads back to it")

// Iprev returns the first name of ip that leads back to ip: the iprev method of RFC 8601 section
// 2.7.3. An error that is ErrUnconfirmed is "fail", ErrNotFound "permerror" (no name at all), any
// other "temperror".
func (r *Resolver) Iprev(ctx context.Context, ip netip.Addr) (string, error) {
	ip = ip.Unmap()
	names, err := r.PTR(ctx, ip)
	if err != nil {
		return "", err
	}
	forward := r.AAAA
	if ip.Is4() {
		forward = r.A
	}
	verdict := ErrUnconfirmed
	for _, name := range names.Records[:min(len(names.Records), maxIprevNames)] {
		if !IsHostName(name) {
			continue
		}
		addrs, err := forward(ctx, name)
		if err == nil && slices.Contains(addrs.Records, ip.WithZone("")) {
			return name, nil
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			verdict = err // we do not know, unless another name confirms
		}
	}
	return "", verdict
}
