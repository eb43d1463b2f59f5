package table

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// A cidrMap is a list of networks as cidr_table(5) has it: the first line that the key, an IP address,
// matches gives the value. A key that is no address is not found.
//
// A list without blocks and "!", which nearly all are, is searched by network, whatever its length.
type cidrMap struct {
	steps  []step[network]
	first  map[netip.Prefix]int // the first step with that network; nil: walk
	widths []netip.Prefix       // of first, as the network of that width at the zero address of its family
}

// A network is a condition: to be in it, or not.
type network struct {
	prefix netip.Prefix
	not    bool
}

func (n network) holds(ip netip.Addr) bool { return n.prefix.Contains(ip) != n.not }

func parseCIDRMap(name, text string) (*cidrMap, error) {
	anyResult := func(network, string) error { return nil }
	steps, err := parseSteps(name, text, parseNetwork, anyResult)
	if err != nil {
		return nil, err
	}
	m := &cidrMap{steps: steps}
	m.index()
	return m, nil
}

func (m *cidrMap) index() {
	first := make(map[netip.Prefix]int, len(m.steps))
	seen := make(map[netip.Prefix]bool)
	for i, s := range m.steps {
		if s.end != 0 || s.pattern.not {
			return
		}
		p := s.pattern.prefix
		if _, known := first[p]; !known {
			first[p] = i
		}
		if w := netip.PrefixFrom(zeroLike(p.Addr()), p.Bits()); !seen[w] {
			seen[w] = true
			m.widths = append(m.widths, w)
		}
	}
	m.first = first
}

func zeroLike(ip netip.Addr) netip.Addr {
	if ip.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func (m *cidrMap) find(key string) (string, bool) {
	ip, err := netip.ParseAddr(key)
	if err != nil {
		return "", false
	}
	ip = ip.Unmap().WithZone("")
	if m.first == nil {
		if s := walk(m.steps, func(n network) bool { return n.holds(ip) }); s != nil {
			return s.result, true
		}
		return "", false
	}
	best := len(m.steps)
	for _, w := range m.widths {
		if w.Addr().BitLen() != ip.BitLen() {
			continue
		}
		p, _ := ip.Prefix(w.Bits())
		if i, ok := m.first[p]; ok {
			best = min(best, i)
		}
	}
	if best == len(m.steps) {
		return "", false
	}
	return m.steps[best].result, true
}

// parseNetwork reads [!]address[/bits] from the start of text. Brackets around an IPv6 address or the
// whole are allowed.
func parseNetwork(text string) (n network, rest string, err error) {
	if after, ok := strings.CutPrefix(text, "!"); ok {
		n.not, text = true, strings.TrimLeft(after, " \t")
	}
	end := strings.IndexAny(text, " \t")
	if end < 0 {
		end = len(text)
	}
	word, rest := text[:end], text[end:]
	bare := strings.NewReplacer("[", "", "]", "").Replace(word)
	if !strings.Contains(bare, "/") {
		ip, err := netip.ParseAddr(bare)
		if err != nil || ip.Zone() != "" {
			return n, "", fmt.Errorf("begins with %q, which is no IP address or network", word)
		}
		bare = ip.Unmap().String() + "/" + fmt.Sprint(ip.Unmap().BitLen())
	}
	if n.prefix, err = netip.ParsePrefix(bare); err != nil {
		return n, "", fmt.Errorf("begins with %q, which is no IP network", word)
	}
	if n.prefix != n.prefix.Masked() {
		return n, "", fmt.Errorf("names the network %s, which has address bits after its first %d: write %s", word, n.prefix.Bits(), n.prefix.Masked())
	}
	if n.prefix.Addr().Is4In6() {
		return n, "", errors.New("names an IPv4 network in IPv6 form: write it as IPv4")
	}
	return n, rest, nil
}
