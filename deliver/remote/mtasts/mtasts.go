// Package mtasts knows the policies by which domains say that their mail hosts do TLS with a proper
// certificate: SMTP MTA Strict Transport Security (RFC 8461).
//
// [Cache.Lookup] returns what holds for a domain now. It asks for the TXT record at _mta-sts, fetches the
// policy over HTTPS when its id is new, and keeps it durably for its max_age. A policy once seen stays in
// force until it expires, whatever fails meanwhile: who can suppress DNS answers or block the web server
// must not be able to take the protection away (RFC 8461 section 10). A domain whose first policy cannot
// be fetched counts as having none (section 3.3).
//
// What a policy means for a connection is decided by package remote.
package mtasts

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"posthaste/dns"
	"posthaste/kv"
)

// A Mode is what is to be done when a host does not meet the policy (RFC 8461 section 5).
type Mode string

// The modes.
const (
	Enforce Mode = "enforce" // do not deliver to it
	Testing Mode = "testing" // deliver, and report it (RFC 8460)
	None    Mode = "none"    // the domain takes its policy back
)

// A Policy is one policy file, as it was fetched.
type Policy struct {
	Domain  string        `json:"domain"`
	ID      string        `json:"id"` // of the TXT record that announced it
	Mode    Mode          `json:"mode"`
	MX      []string      `json:"mx"` // patterns of host names, lower case
	MaxAge  time.Duration `json:"max_age"`
	Fetched time.Time     `json:"fetched"`
	Text    []string      `json:"text"` // its lines, for reports
}

// Matches tells whether the policy lists host (RFC 8461 section 4.1): by name, or by "*." and the name
// above, which stands for exactly one label.
func (p Policy) Matches(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	_, above, _ := strings.Cut(host, ".")
	for _, pattern := range p.MX {
		if below, wildcard := strings.CutPrefix(pattern, "*."); wildcard && above != "" && below == above || pattern == host {
			return true
		}
	}
	return false
}

// Expires returns when p is no longer to be followed.
func (p Policy) Expires() time.Time { return p.Fetched.Add(p.MaxAge) }

// A Result is what is known about a domain. Policy is nil when there is none, or when its mode is None.
// Failure says that the policy, or its renewal, could not be had; an older Policy may still hold.
type Result struct {
	Policy  *Policy
	Failure *Failure
}

// A Failure is why a policy could not be had.
type Failure struct {
	Type   string // of RFC 8460 section 4.3: sts-policy-fetch-error, sts-policy-invalid, sts-webpki-invalid
	Reason string // for people
}

// Error returns the reason.
func (f *Failure) Error() string { return "mtasts: " + f.Reason }

// A Resolver is the part of *dns.Resolver that finds records.
type Resolver interface {
	TXT(ctx context.Context, name string) (dns.Answer[string], error)
	Host(ctx context.Context, host string) (dns.Answer[netip.Addr], error)
}

// Config is what a Cache needs. Store and Resolver must be set.
type Config struct {
	Store    kv.Store
	Resolver Resolver
	Roots    *x509.CertPool                                                       // of policy hosts. Default: the system's
	Dial     func(ctx context.Context, network, address string) (net.Conn, error) // to IP address and port 443. Default: the network
	Log      *slog.Logger
}
