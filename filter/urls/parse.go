package urls

import (
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// A parsed URL, as a browser understands it (WHATWG URL, as far as hosts are concerned).
type parsed struct {
	scheme  string // lower case
	user    string // before the @
	host    string // lower case, A-labels; an address as numbers
	shown   string // host as it is written, decoded
	address bool   // the host is an address
	odd     bool   // and is written in a way nobody does: 0x7f.1, 2130706433
	escaped bool   // the host has %xx
}

// parse reads what a browser would. It never fails: what has no host leads nowhere.
func parse(s string) parsed {
	s = strings.Map(func(r rune) rune { // browsers leave these out
		if r == '\t' || r == '\r' || r == '\n' {
			return -1
		}
		return r
	}, strings.TrimFunc(s, func(r rune) bool { return r <= ' ' }))
	var u parsed
	colon := strings.IndexByte(s, ':')
	if slash := strings.IndexAny(s, `/\?#`); colon >= 0 && (slash < 0 || colon < slash) {
		u.scheme, s = strings.ToLower(s[:colon]), s[colon+1:]
	}
	switch u.scheme {
	case "http", "https", "ftp", "ws", "wss": // any number of slashes, either way round
		s = strings.TrimLeft(s, `/\`)
	case "", "file":
		trimmed := strings.TrimLeft(s, `/\`)
		if len(s)-len(trimmed) < 2 {
			return u
		}
		if u.scheme == "" && s[0] == '\\' { // \\host\share
			u.scheme = "file"
		}
		s = trimmed
	default:
		return u
	}
	if end := strings.IndexAny(s, `/\?#`); end >= 0 {
		s = s[:end]
	}
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		u.user, s = s[:at], s[at+1:]
	}
	u.readHost(s)
	return u
}

// maxHost is the longest name of a host in text (RFC 1035 section 3.1).
const maxHost = 253

// readHost reads host:port.
func (u *parsed) readHost(s string) {
	if rest, ok := strings.CutPrefix(s, "["); ok {
		inner, _, _ := strings.Cut(rest, "]")
		if ip, err := netip.ParseAddr(inner); err == nil {
			u.host, u.shown, u.address = ip.WithZone("").String(), inner, true
		}
		return
	}
	if colon := strings.IndexByte(s, ':'); colon >= 0 {
		s = s[:colon]
	}
	if strings.Contains(s, "%") {
		s, u.escaped = unescape(s), true
	}
	s = strings.Trim(s, ".")
	if s == "" || len(s) > maxHost {
		return
	}
	u.shown = s
	name, err := toASCII.ToASCII(s)
	if err != nil || name == "" || len(name) > maxHost || strings.ContainsAny(name, " <>\"'%^`{|}/\\@:?#[]") {
		return
	}
	u.host = strings.ToLower(strings.Trim(name, "."))
	if ip, odd, ok := numbers(u.host); ok {
		u.host, u.address, u.odd = ip.String(), true, odd
	}
}

// toASCII maps names as browsers do, and takes what they take. It never changes.
var toASCII = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))

// unescape undoes %xx.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(v))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// numbers reads an address of IPv4 as browsers do: one to four numbers, decimal, octal or hexadecimal, the
// last filling what is left.
func numbers(s string) (ip netip.Addr, odd, ok bool) {
	fields := strings.Split(s, ".")
	if len(fields) > 4 {
		return ip, false, false
	}
	var value uint64
	for i, f := range fields {
		base, digits := 10, f
		switch {
		case strings.HasPrefix(f, "0x"):
			base, digits, odd = 16, f[2:], true
		case len(f) > 1 && f[0] == '0':
			base, digits, odd = 8, f[1:], true
		}
		if digits == "" && base == 16 {
			digits = "0"
		}
		n, err := strconv.ParseUint(digits, base, 32)
		if err != nil {
			return ip, false, false
		}
		bits := uint(8)
		if i == len(fields)-1 {
			bits = uint(8 * (5 - len(fields)))
		}
		if n >= 1<<bits {
			return ip, false, false
		}
		value = value<<bits | n
	}
	odd = odd || len(fields) < 4
	return netip.AddrFrom4([4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)}), odd, true
}
