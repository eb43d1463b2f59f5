package dns

import (
	"fmt"
	"strconv"
)

// Security is what DNSSEC says about an answer (RFC 4035 section 4.3), the worse the lower.
type Security int8

// The states of security.
const (
	Bogus    Security = -1 // should be proven and is not: an error, never an answer
	Insecure Security = 0  // nothing proves it: its zone is not signed, or nobody validated
	Secure   Security = 1  // proven
)

// String returns "secure", "insecure" or "bogus".
func (s Security) String() string {
	switch s {
	case Bogus:
		return "bogus"
	case Insecure:
		return "insecure"
	case Secure:
		return "secure"
	}
	return "Security(" + strconv.Itoa(int(s)) + ")"
}

// A BogusError says that an answer should be proven by DNSSEC and is not: a mistake of the zone's
// operators, or a forgery. It is temporary by nature and must never be taken for absence.
type BogusError struct {
	Zone   string // whose proof fails, "." for the root
	Reason string // "the signature of its MX record expired on …", for people
}

// Error returns "DNSSEC does not prove the answer: zone north.test: …".
func (e *BogusError) Error() string {
	return fmt.Sprintf("DNSSEC does not prove the answer: zone %s: %s", e.Zone, e.Reason)
}

// A TLSA binds a certificate or key to a service (RFC 6698 section 2.1).
type TLSA struct {
	Usage    uint8 // 0 PKIX-TA, 1 PKIX-EE, 2 DANE-TA, 3 DANE-EE
	Selector uint8 // 0 the whole certificate, 1 its public key
	Matching uint8 // 0 as it is, 1 SHA-256, 2 SHA-512
	Data     []byte
}

func adBit(set bool) Security {
	if set {
		return Secure
	}
	return Insecure
}
