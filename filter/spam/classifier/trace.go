package classifier

import (
	"net/netip"
	"strings"

	"golang.org/x/net/publicsuffix"

	"posthaste/mail"
	"posthaste/message"
)

// Bounds on what is read of the way that a message took.
const (
	maxHops      = 5    // that are read, the client's among them
	maxReceived  = 30   // fields that are looked at for them
	maxHopText   = 1024 // bytes of one field
	maxHopWords  = 12   // of the programs that wrote it
	maxHopTokens = 40   // in all
)

// A hop is one step of the way as the host wrote it that a message came to.
type hop struct {
	helo, name string // lower case; name is empty where it is unknown
	ip         netip.Addr
	forged     bool   // the host doubted the name
	rest       string // what follows the client: who took the message, how, when
}

// trace adds what the way of a message tells: who handed it over to the host that took it in from
// outside, and what the hosts before wrote. What the receiver's own hosts wrote above that, fetching
// and handing on, is left out, and so is all that such a host says of itself. origin is the last step
// where the message does not tell it yet, else zero.
func (t *tokenizer) trace(h message.Header, origin mail.Origin) {
	hops := 0
	if origin.Account == 0 {
		line := message.Received{Origin: origin}.Append(nil) // read as it will be from the stored message
		if p := parseHop(string(line[len("Received: "):])); p.outside() {
			t.peer(originClient, p)
			hops++
		}
	}
	looked := 0
	for _, f := range h.Fields() {
		if !f.Is("Received") {
			continue
		}
		if looked++; looked > maxReceived || hops > maxHops {
			break
		}
		p := parseHop(f.Unfolded())
		switch {
		case hops > 0:
			t.hop(p)
		case p.outside():
			t.peer(originClient, p)
		default:
			continue
		}
		hops++
	}
	t.add(originHop, kindCount, step(hops))
}

// outside tells whether a hop came from a host that is none of the receiver's own.
func (p hop) outside() bool {
	return public(p.ip) && !strings.HasPrefix(p.rest, "localhost ") && !strings.Contains(p.rest, "fetchmail")
}

func public(ip netip.Addr) bool {
	return ip.IsValid() && !ip.IsLoopback() && !ip.IsPrivate() && !ip.IsLinkLocalUnicast() && !ip.IsUnspecified()
}

// parseHop reads the value of a Received field of any of the usual programs: "from HELO (NAME [IP]) by …",
// "from NAME ([IP] helo=HELO) by …", "from NAME (HELO HELO) (IP) by …".
func parseHop(s string) (p hop) {
	s = strings.ToLower(strings.TrimLeft(clip(s, maxHopText), " \t\r\n"))
	s, ok := strings.CutPrefix(s, "from ")
	if !ok {
		p.rest = s
		return p
	}
	s, p.rest = cutBy(s)
	p.forged = strings.Contains(s, "forged")
	first, n, apart, next := "", 0, false, false // apart: HELO stands apart; next: in the next word
	for token := range strings.FieldsFuncSeq(s, partsHop) {
		if n++; n > maxHopTokens {
			break
		}
		helo, isHelo := strings.CutPrefix(token, "helo=")
		ip, err := parseIP(token)
		if err == nil && !next {
			p.ip = ip
		}
		switch {
		case n == 1:
			first = token
		case isHelo || next:
			p.helo, apart, next = helo, true, false
		case token == "helo":
			next = true
		case err != nil && p.name == "" && strings.Contains(token, "."):
			p.name = token[strings.LastIndexByte(token, '@')+1:]
		}
	}
	if !apart {
		p.helo = first
	} else if _, err := parseIP(first); err != nil && p.name == "" && strings.Contains(first, ".") {
		p.name = first
	}
	return p
}

// parseIP reads an address as it stands in literals.
func parseIP(s string) (netip.Addr, error) {
	ip, err := netip.ParseAddr(strings.TrimPrefix(s, "ipv6:"))
	return ip.Unmap().WithZone(""), err
}

// partsHop tells of what parts the words of a hop.
func partsHop(r rune) bool { return strings.ContainsRune(" \t\r\n()[],", r) }

// cutBy cuts s before the host that wrote it.
func cutBy(s string) (from, rest string) {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '(':
			depth++
		case ')':
			depth--
		case 'b':
			if depth <= 0 && i > 0 && isSpace(s[i-1]) && i+2 < len(s) && s[i+1] == 'y' && isSpace(s[i+2]) {
				return s[:i], strings.TrimLeft(s[i+3:], " \t\r\n")
			}
		}
	}
	return s, ""
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\r' || b == '\n' }

// peer adds what a host is that a message came from.
func (t *tokenizer) peer(o origin, p hop) {
	t.network(o, p.ip)
	if p.name == "" {
		t.add(o, kindName, "none")
	} else {
		t.domain(o, p.name)
		if dynamic(p.name) {
			t.add(o, kindName, "of a line")
		}
	}
	if p.forged {
		t.add(o, kindName, "doubted")
	}
	name, helo := organization(p.name), organization(p.helo)
	t.add(o, kindHelo, heloLike(p, helo, name))
	if helo != "" && helo == t.author && helo != name {
		t.add(o, kindHelo, "author's domain, not its own")
	}
	if i := strings.LastIndexByte(p.helo, '.'); i >= 0 {
		t.add(o, kindHelo, clip(p.helo[i:], 24))
	}
}

// network adds the networks of an address.
func (t *tokenizer) network(o origin, ip netip.Addr) {
	sizes := [...]int{8, 16}
	if !ip.IsValid() {
		t.add(o, kindNet, "none")
		return
	}
	if ip.Is6() {
		sizes = [...]int{32, 48}
	}
	for _, bits := range sizes {
		net, _ := ip.Prefix(bits)
		t.begin()
		t.arena = net.AppendTo(t.arena)
		t.end(o, kindNet)
	}
}

// heloLike says how what a client calls itself goes with its name.
func heloLike(p hop, helo, name string) string {
	if p.helo == "" {
		return "none"
	}
	if _, err := parseIP(p.helo); err == nil {
		return "number"
	}
	switch {
	case !strings.Contains(p.helo, "."):
		return "word"
	case p.name == "":
		return "name unknown"
	case p.helo == p.name:
		return "own name"
	case helo == name:
		return "own domain"
	}
	return "another"
}

// lineWords are what providers call the lines of their customers.
var lineWords = [...]string{"dsl", "dial", "ppp", "cable", "dyn", "pool", "dhcp", "client", "cust", "user", "catv", "modem", "broadband"}

// dynamic tells whether a host name looks like one that a provider gave to a line of a customer.
func dynamic(name string) bool {
	digits := 0
	for i := range len(name) {
		if class[name[i]] == digit && (i == 0 || class[name[i-1]] != digit) {
			digits++
		}
	}
	if digits >= 3 {
		return true
	}
	for _, w := range lineWords {
		if strings.Contains(name, w) {
			return true
		}
	}
	return false
}

// hop adds what a host before the client wrote.
func (t *tokenizer) hop(p hop) {
	if public(p.ip) {
		t.peer(originHop, p)
	}
	rest, date := p.rest, ""
	if i := strings.LastIndexByte(rest, ';'); i >= 0 {
		rest, date = rest[:i], strings.TrimSpace(rest[i+1:])
	}
	if _, ok := message.ParseDate(date); !ok {
		t.add(originHop, kindOdd, "date")
	}
	t.breakPairs()
	n := 0
	for token := range strings.FieldsFuncSeq(rest, partsHop) {
		if n++; n > maxHopWords {
			break
		}
		if len(token) > longWord || strings.Trim(token, "abcdefghijklmnopqrstuvwxyz+-") != "" {
			continue // names, numbers, versions
		}
		t.begin()
		t.arena = append(t.arena, token...)
		t.endWord(originHop)
	}
	t.breakPairs()
}

// organization returns the registered domain of a host name, or the name where it has none.
func organization(host string) string {
	host = strings.ToLower(strings.Trim(clip(host, 255), "."))
	if org, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
		return org
	}
	return host
}
