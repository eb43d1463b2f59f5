package dns

import (
	"net/netip"
	"strings"

	wire "github.com/miekg/dns"
)

const (
	maxName  = 253 // bytes of a name without its final dot (RFC 1035 section 2.3.4)
	maxLabel = 63
)

// canonical returns name as keys and answers have it, and whether it can exist in the DNS at all.
func canonical(name string) (string, bool) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == "" || len(name) > maxName {
		return name, false
	}
	label := 0
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == '.':
			if label == 0 {
				return name, false
			}
			label = 0
			continue
		case c < ' ' || c >= 0x7f || c == '\\': // a backslash would start an escape
			return name, false
		}
		if label++; label > maxLabel {
			return name, false
		}
	}
	return name, label > 0
}

// fromWire returns a name of a reply in our form; the root is ".". Escapes that the library writes for what
// canonical lets through are undone, so that the name asked for is recognised. Those of a dot, a backslash
// and of bytes by number stay.
func fromWire(name string) string {
	if name == "." {
		return name
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if strings.IndexByte(name, '\\') < 0 {
		return name
	}
	plain := make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		if name[i] == '\\' && i+1 < len(name) {
			if strings.IndexByte(` '@;()"`, name[i+1]) < 0 {
				plain = append(plain, name[i])
			}
			i++
		}
		plain = append(plain, name[i])
	}
	return string(plain)
}

// ReverseName returns the name under in-addr.arpa or ip6.arpa that holds the PTR records of ip
// (RFC 1035 section 3.5, RFC 3596 section 2.5), or "" for the zero Addr.
func ReverseName(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	name, err := wire.ReverseAddr(ip.Unmap().WithZone("").String())
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(name, ".")
}

// IsHostName tells whether name is one that may stand in a protocol: letters, digits, hyphens and
// underscores in labels (RFC 1123 section 2.1, with the underscore that practice knows).
func IsHostName(name string) bool {
	if _, ok := canonical(name); !ok {
		return false
	}
	for i := 0; i < len(name); i++ {
		c := name[i] | 0x20
		if (c < 'a' || c > 'z') && (name[i] < '0' || name[i] > '9') && strings.IndexByte("-._", name[i]) < 0 {
			return false
		}
	}
	return true
}
