package wire

import (
	"net"
	"net/netip"
)

// NetworkOf returns what one customer is taken to own: an IPv4 address or an IPv6 /64. It is the zero
// Prefix for the zero Addr.
func NetworkOf(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap()
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	network, _ := ip.Prefix(bits) // bits fit every valid address
	return network
}

// Contains tells whether one of networks contains ip, which the zero Addr is never.
func Contains(networks []netip.Prefix, ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	for _, n := range networks {
		if n.Contains(ip) {
			return true
		}
	}
	return false
}

// hostOf returns the address of the peer of nc in the form of [Conn.RemoteAddr].
func hostOf(nc net.Conn) netip.Addr { return addrPort(nc.RemoteAddr()).Addr() }
