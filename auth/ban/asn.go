package ban

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Bounds of a table of systems.
const (
	maxASNLines = 4 << 20
	maxASNLine  = 1 << 10
)

// An ASNTable tells which autonomous system a network belongs to. It keeps ranges of addresses that do
// not overlap, sorted: 12 bytes for one of IPv4, 40 for one of IPv6, and never more than twice as many
// as there are prefixes. It does not change.
type ASNTable struct {
	four []range4
	six  []range6
}

type range4 struct {
	first, last uint32
	asn         uint32 // 0: none
}

type range6 struct {
	first, last [16]byte
	asn         uint32
}

// OpenASNTable reads a file for ReadASNTable.
func OpenASNTable(file string) (*ASNTable, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("ban: table of systems: %w", err)
	}
	defer f.Close()
	t, err := ReadASNTable(f)
	if err != nil {
		return nil, fmt.Errorf("ban: %s: %w", file, err)
	}
	return t, nil
}

// ReadASNTable reads lines "prefix number", the number with or without AS; blank lines and those that
// begin with # are left out. What stands after the number is for people. A longer prefix wins.
func ReadASNTable(r io.Reader) (*ASNTable, error) {
	var all []asnPrefix
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4<<10), maxASNLine)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		p, err := parseASNLine(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if all = append(all, p); len(all) > maxASNLines {
			return nil, fmt.Errorf("line %d: more than %d prefixes", n, maxASNLines)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	return newASNTable(all), nil
}

type asnPrefix struct {
	prefix netip.Prefix
	asn    uint32
}

func parseASNLine(text string) (asnPrefix, error) {
	f := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' })
	if len(f) < 2 {
		return asnPrefix{}, fmt.Errorf("%q is not prefix and number", text)
	}
	prefix, err := netip.ParsePrefix(f[0])
	if err != nil || prefix.Addr().Is4In6() {
		return asnPrefix{}, fmt.Errorf("%q is no prefix", f[0])
	}
	digits := f[1]
	if len(digits) > 2 && strings.EqualFold(digits[:2], "AS") {
		digits = digits[2:]
	}
	asn, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return asnPrefix{}, fmt.Errorf("%q is no number of a system", f[1])
	}
	return asnPrefix{prefix.Masked(), uint32(asn)}, nil
}

// newASNTable makes ranges of prefixes, which lie in each other or do not meet. Going through them in
// order, with those that are open on a stack, each piece gets the number of the innermost.
func newASNTable(all []asnPrefix) *ASNTable {
	slices.SortStableFunc(all, func(x, y asnPrefix) int {
		return cmp.Or(x.prefix.Addr().Compare(y.prefix.Addr()), cmp.Compare(x.prefix.Bits(), y.prefix.Bits()))
	})
	t := &ASNTable{}
	var open []asnPrefix
	var next netip.Addr // the first address not told of yet, of the innermost that is open
	closeBefore := func(addr netip.Addr) {
		for len(open) > 0 {
			top := open[len(open)-1]
			last := lastOf(top.prefix)
			if addr.IsValid() && addr.BitLen() == last.BitLen() && addr.Compare(last) <= 0 {
				return
			}
			if next.IsValid() && next.BitLen() == last.BitLen() && next.Compare(last) <= 0 {
				t.add(next, last, top.asn)
			}
			next = last.Next() // invalid after the very last address: then all that is open ends there
			open = open[:len(open)-1]
		}
	}
	for _, p := range all {
		first := p.prefix.Addr()
		closeBefore(first)
		if len(open) > 0 && next.IsValid() && next.Less(first) {
			t.add(next, first.Prev(), open[len(open)-1].asn)
		}
		open, next = append(open, p), first
	}
	closeBefore(netip.Addr{})
	return t
}

// add appends a range, to the one before where they touch and agree.
func (t *ASNTable) add(first, last netip.Addr, asn uint32) {
	if first.Is4() {
		r := range4{be32(first), be32(last), asn}
		if n := len(t.four); n > 0 && t.four[n-1].asn == asn && t.four[n-1].last+1 == r.first {
			t.four[n-1].last = r.last
			return
		}
		t.four = append(t.four, r)
		return
	}
	t.six = append(t.six, range6{first.As16(), last.As16(), asn})
}

func be32(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// lastOf returns the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	if p.Addr().Is4() {
		b := p.Addr().As4()
		fill(b[:], p.Bits())
		return netip.AddrFrom4(b)
	}
	b := p.Addr().As16()
	fill(b[:], p.Bits())
	return netip.AddrFrom16(b)
}

// fill sets all bits from the given one on.
func fill(b []byte, from int) {
	for i := range b {
		switch low := from - 8*i; {
		case low <= 0:
			b[i] = 0xff
		case low < 8:
			b[i] |= 0xff >> low
		}
	}
}

// Lookup returns the system of addr, or 0.
func (t *ASNTable) Lookup(addr netip.Addr) uint32 {
	addr = addr.Unmap()
	switch {
	case addr.Is4():
		want := be32(addr)
		i, _ := slices.BinarySearchFunc(t.four, want, func(r range4, a uint32) int { return cmp.Compare(r.last, a) })
		if i < len(t.four) && t.four[i].first <= want {
			return t.four[i].asn
		}
	case addr.Is6():
		want := addr.As16()
		i, _ := slices.BinarySearchFunc(t.six, want, func(r range6, a [16]byte) int { return slices.Compare(r.last[:], a[:]) })
		if i < len(t.six) && slices.Compare(t.six[i].first[:], want[:]) <= 0 {
			return t.six[i].asn
		}
	}
	return 0
}

// Len returns how many ranges t holds.
func (t *ASNTable) Len() int { return len(t.four) + len(t.six) }
