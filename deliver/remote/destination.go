package remote

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"posthaste/dns"
	"posthaste/mail"
)

// A Destination is a set of hosts that take the mail of one or more domains, and how they are reached.
type Destination struct {
	// Key names the set: the sorted host names. Domains with the same Key share hosts, so they learn
	// of each other's failures. What may share deliveries is told by [Destination.Name].
	Key    string
	Domain string // that was routed; empty for a fixed route
	Hosts  []Host // best preference first, those of equal preference together

	Port   int // 0: Config.Port
	LMTP   bool
	TLS    TLSPolicy
	Login  *Login     // nil: no AUTH
	Source netip.Addr // of ours, to connect from; hosts without an address of its family are passed over. Zero: the system's choice
	Helo   string     // our name in EHLO; empty: Config.Hostname

	PerConnection int // messages over one connection; 0: as many as the host takes

	policy   policy       // what the TLS policy table or MTA-STS ask for Domain
	mx       dns.Security // of the records that named Hosts
	expanded string       // Domain at the end of its chain of CNAMEs
}

// A Host is one mail exchanger.
type Host struct {
	Name       string
	Preference uint16
	Port       int          // 0: the Destination's
	Addrs      []netip.Addr // set for address literals; else looked up when it is tried
	Socket     string       // path of a Unix socket, instead of all these
}

// A TLSPolicy is what a Destination asks of encryption.
type TLSPolicy int

// The policies.
const (
	Opportunistic TLSPolicy = iota // STARTTLS where it works, any certificate; DANE and MTA-STS where the domain has them
	Plaintext                      // never: for links that stay on this machine
	Encrypted                      // STARTTLS always, any certificate
	Verified                       // STARTTLS always, a certificate for the host's name from a known root
	Implicit                       // TLS from the first byte (RFC 8314), with a certificate as for Verified
)

// String returns the word of the configuration.
func (p TLSPolicy) String() string {
	words := [...]string{"opportunistic", "plaintext", "encrypted", "verified", "implicit"}
	if p < 0 || int(p) >= len(words) {
		return "TLSPolicy(" + strconv.Itoa(int(p)) + ")"
	}
	return words[p]
}

// ParseTLS returns the TLSPolicy of a word, as [TLSPolicy.String] prints it.
func ParseTLS(word string) (TLSPolicy, error) {
	for p := Opportunistic; p <= Implicit; p++ {
		if p.String() == word {
			return p, nil
		}
	}
	return 0, fmt.Errorf("remote: %q is no way to encrypt: use opportunistic, plaintext, encrypted, verified or implicit", word)
}

// A Login is how we authenticate to a smarthost.
type Login struct{ Username, Password string }

// Fixed returns the Destination of one host, by name or address literal, and port: a smarthost or
// an LMTP server. Set TLS, LMTP, Login, Source and Helo as needed.
func Fixed(host string, port int) Destination {
	h := fixedHost(host)
	return Destination{Key: net.JoinHostPort(h.Name, strconv.Itoa(port)), Hosts: []Host{h}, Port: port}
}

// Socket returns the Destination of an LMTP server on a Unix socket.
func Socket(path string) Destination {
	return Destination{Key: "unix:" + path, Hosts: []Host{{Name: path, Socket: path}}, LMTP: true, TLS: Plaintext}
}

func fixedHost(host string) Host {
	host = strings.ToLower(host)
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return Host{Name: "[" + ip.String() + "]", Addrs: []netip.Addr{ip}}
	}
	return Host{Name: host}
}

// Name tells destinations apart that must not share deliveries: those with other hosts, another
// login, source or name of ours, or other demands on TLS.
func (d Destination) Name() string {
	var b strings.Builder
	b.WriteString(d.Key)
	if d.Source.IsValid() {
		b.WriteString(" from " + d.Source.String())
	}
	if d.Helo != "" {
		b.WriteString(" as " + d.Helo)
	}
	if d.Login != nil {
		b.WriteString(" login " + d.Login.Username)
	}
	if d.TLS != Opportunistic {
		b.WriteString(" tls " + d.TLS.String())
	}
	if d.mx == dns.Secure {
		b.WriteString(" dnssec")
	}
	b.WriteString(d.policy.tag())
	return b.String()
}

// A Smarthost is a relay, or several, that mail is handed to whatever its domain.
type Smarthost struct {
	Hosts []string // "host", "host:port", "[192.0.2.1]:port": tried in this order; at most 20 count
	Port  int      // of hosts that name none
	MX    bool     // Hosts are domains whose mail exchangers are meant
	LMTP  bool

	TLS    TLSPolicy
	Login  *Login
	Source netip.Addr
	Helo   string
}

// Smarthost returns the Destination of a smarthost. Only with MX it asks the DNS; the errors are then
// those of [Agent.Route], as long as no host was found.
func (a *Agent) Smarthost(ctx context.Context, id mail.QueueID, r Smarthost) (Destination, error) {
	d := Destination{Port: r.Port, LMTP: r.LMTP, TLS: r.TLS, Login: r.Login, Source: r.Source, Helo: r.Helo}
	var problem error
	for rank, text := range r.Hosts {
		name, port, err := cutPort(text)
		if err != nil {
			return Destination{}, err
		}
		hosts := []Host{fixedHost(name)}
		if r.MX && len(hosts[0].Addrs) == 0 {
			routed, err := a.Route(ctx, id, name)
			if err != nil {
				problem = err
				continue
			}
			hosts = routed.Hosts
		}
		d.Hosts = append(d.Hosts, ranked(hosts, uint16(rank)*maxHosts, port)...)
	}
	if len(d.Hosts) == 0 {
		if problem == nil {
			problem = mail.NewStatus(451, "4.3.5", "a smarthost without hosts: add some to its section of the configuration")
		}
		return Destination{}, problem
	}
	d.Hosts = d.Hosts[:min(len(d.Hosts), maxHosts)]
	d.Key = keyOf(d.Hosts)
	return d, nil
}

// ranked gives hosts, which are in order, port and preferences from base on, so that the order of the
// configuration counts before that of MX records.
func ranked(hosts []Host, base uint16, port int) []Host {
	hosts = slices.Clone(hosts)
	rank, previous := base, hosts[0].Preference
	for i := range hosts {
		if hosts[i].Preference != previous {
			rank, previous = base+uint16(i), hosts[i].Preference
		}
		hosts[i].Preference, hosts[i].Port = rank, port
	}
	return hosts
}

func cutPort(text string) (host string, port int, err error) {
	h, p, err := net.SplitHostPort(text)
	if err != nil { // without a port
		return text, 0, nil
	}
	if port, err = strconv.Atoi(p); err != nil || port < 1 || port > 65535 {
		return "", 0, mail.NewStatus(451, "4.3.5", "the smarthost %q has no valid port: write host:port with a port from 1 to 65535", text)
	}
	return h, port, nil
}

func keyOf(hosts []Host) string {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = h.Name
		if h.Port != 0 {
			names[i] = net.JoinHostPort(h.Name, strconv.Itoa(h.Port))
		}
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}
