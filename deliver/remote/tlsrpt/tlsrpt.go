// Package tlsrpt counts how TLS went between us and other domains, and tells them once a day: SMTP TLS
// Reporting (RFC 8460). It also reads and keeps what others report about us.
//
// A [Collector] takes a [Session] for each connection that was, or should have been, encrypted, adds them up
// by policy domain and UTC day, and writes the sums to the store once a minute: a crash costs the last
// minute of statistics, never mail. After the end of a day it sends a [Report] to each domain that asks for
// one by a TXT record at _smtp._tls, by mail or HTTPS, spread over some hours (section 4.1).
//
// An [Inbox] takes the messages that bring reports about our own domains.
package tlsrpt

import (
	"net/netip"
	"time"
)

// Policy types of RFC 8460 section 4.4.
const (
	TypeTLSA = "tlsa"
	TypeSTS  = "sts"
	TypeNone = "no-policy-found"
)

// Result types of RFC 8460 section 4.3.
const (
	StartTLSNotSupported = "starttls-not-supported"
	HostMismatch         = "certificate-host-mismatch"
	CertificateExpired   = "certificate-expired"
	NotTrusted           = "certificate-not-trusted"
	ValidationFailure    = "validation-failure"
)

// A Policy is what a domain asked of the session.
type Policy struct {
	Type   string   `json:"policy-type"`
	String []string `json:"policy-string,omitempty"` // its TLSA records, or the lines of its MTA-STS policy
	Domain string   `json:"policy-domain"`
	MX     []string `json:"mx-host,omitempty"` // patterns of MTA-STS
}

// A Session is one attempt at TLS with a host of a domain.
type Session struct {
	Policy Policy
	Result string // of the failure; empty for success

	SendingIP   netip.Addr
	Host        string // of the receiving MX
	Helo        string // what it called itself
	ReceivingIP netip.Addr
	Reason      string // for people
}

// A Report is the sums of one day (RFC 8460 section 4.4).
type Report struct {
	Organization string         `json:"organization-name"`
	Range        Range          `json:"date-range"`
	Contact      string         `json:"contact-info"`
	ID           string         `json:"report-id"`
	Policies     []PolicyReport `json:"policies"`
}

// A Range is the time that a Report covers.
type Range struct {
	Start time.Time `json:"start-datetime"`
	End   time.Time `json:"end-datetime"`
}

// A PolicyReport is how sessions under one policy went.
type PolicyReport struct {
	Policy  Policy    `json:"policy"`
	Summary Summary   `json:"summary"`
	Details []Failure `json:"failure-details,omitempty"`
}

// A Summary counts sessions.
type Summary struct {
	Successful int64 `json:"total-successful-session-count"`
	Failed     int64 `json:"total-failure-session-count"`
}

// A Failure counts sessions that failed in the same way.
type Failure struct {
	Result      string `json:"result-type"`
	SendingIP   string `json:"sending-mta-ip,omitempty"`
	Host        string `json:"receiving-mx-hostname,omitempty"`
	Helo        string `json:"receiving-mx-helo,omitempty"`
	ReceivingIP string `json:"receiving-ip,omitempty"`
	Sessions    int64  `json:"failed-session-count"`
	Information string `json:"additional-information,omitempty"`
	Reason      string `json:"failure-reason-code,omitempty"`
}
