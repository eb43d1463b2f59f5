package access

import (
	"net/netip"
	"strings"

	"posthaste/mail"
	"posthaste/table"
)

// A group is keys of one thing, most specific first. A table of patterns sees the first of each group.
type group struct{ keys []string }

// hostKeys returns a host name and its parents. A parent stands both with and without a leading dot:
// access(5) writes example.org for names below it too.
func hostKeys(name string) []string {
	name = strings.TrimSuffix(name, ".")
	all := table.DomainKeys(name)
	keys := all[:1:1]
	for _, parent := range all[1:] {
		keys = append(keys, parent, parent[1:])
	}
	return keys
}

// addressKeys returns an address and its networks as access(5) writes them: 192.0.2.1, 192.0.2,
// 192.0, 192, and so at the colons of an IPv6 address.
func addressKeys(ip netip.Addr) []string {
	if !ip.IsValid() {
		return nil
	}
	text, sep := ip.Unmap().String(), "."
	if ip.Unmap().Is6() {
		sep = ":"
	}
	keys := []string{text}
	for i := strings.LastIndex(text, sep); i > 0; i = strings.LastIndex(text[:i], sep) {
		if network := strings.TrimRight(text[:i], sep); network != "" && network != keys[len(keys)-1] {
			keys = append(keys, network)
		}
	}
	return keys
}

// mailKeys returns the keys of an address: itself, its domain and parents, its local-part.
func mailKeys(a mail.Address, sep byte) []string {
	keys := table.AddressKeys(a, sep)
	if a.Domain != "" {
		keys = append(keys, hostKeys(a.Domain)...)
	}
	for _, local := range table.AddressKeys(mail.Address{Local: a.Local}, sep) {
		keys = append(keys, local+"@")
	}
	return keys
}
