// Package dane decides by DNSSEC and TLSA records how a mail host must prove who it is, and checks its
// certificate accordingly: opportunistic DANE TLS for SMTP (RFC 7672, with RFC 6698 and RFC 7671).
//
// [Lookup] asks the DNS about one host and returns its [Policy]. [Policy.TLSConfig] makes a connection keep
// to it without further questions.
//
// A host is never less protected because a lookup failed: then its policy is [Skip], try another host or
// later. Only an answer that proves that there is no DANE, or that nothing there is signed, leads to [None].
package dane

import (
	"context"
	"net/netip"

	"posthaste/dns"
)

// A Mode is what a policy asks of a connection.
type Mode int

// The modes.
const (
	None         Mode = iota // no DANE here: opportunistic TLS, or MTA-STS
	Encrypt                  // TLS, with any certificate: TLSA records exist but none is usable (RFC 7672 section 2.2)
	Authenticate             // TLS, with a certificate that a TLSA record matches
	Skip                     // do not connect: we do not know what to ask for
)

// A Query is what is known of a host before its TLSA records. The answers must come from a validating
// resolver.
type Query struct {
	Domain   string                 // the next-hop domain
	Expanded string                 // its name at the end of its chain of CNAMEs, if any (dns.Answer.Name)
	MX       dns.Security           // of the MX records, or of their absence; Secure for a host we were told by name
	Host     string                 // the mail host
	Port     int                    // 25
	Addrs    dns.Answer[netip.Addr] // of the host
}

// A Resolver is the part of *dns.Resolver that Lookup needs; it must be validating.
type Resolver interface {
	TLSA(ctx context.Context, name string) (dns.Answer[dns.TLSA], error)
	CNAME(ctx context.Context, name string) (dns.Answer[string], error)
}

// A Policy is how a connection to one host is protected.
type Policy struct {
	Mode    Mode
	Base    string     // the TLSA base domain: the name for SNI and the first of Names
	Names   []string   // that a certificate below a DANE-TA anchor may have (RFC 7672 section 3.2.2)
	Records []dns.TLSA // the usable ones
	Reason  string     // for people: why this mode
	Failure *Failure   // of Skip; of Encrypt what is worth a report: its TLSA records are of no use
}

// Result types of RFC 8460 section 4.3.
const (
	TLSAInvalid         = "tlsa-invalid"
	DNSSECInvalid       = "dnssec-invalid"
	DANERequired        = "dane-required"
	StartTLSUnsupported = "starttls-not-supported"
	CertificateExpired  = "certificate-expired"
	HostMismatch        = "certificate-host-mismatch"
	NotTrusted          = "certificate-not-trusted"
	ValidationFailure   = "validation-failure"
)

// A Failure is why a host did not pass. It is temporary.
type Failure struct {
	Result string // the result type of RFC 8460
	Reason string // for people
	Err    error  // the cause, if any
}

// Error returns the reason.
func (f *Failure) Error() string { return "dane: " + f.Reason }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }
