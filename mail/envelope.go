package mail

import (
	"net/netip"
	"time"
)

// An Envelope is what travels beside content (RFC 5321 section 2.3.1): who it is from and for, what
// the sender asked for, and how it came to us.
type Envelope struct {
	ID         QueueID     `json:"id"`
	From       ReversePath `json:"from"`
	Recipients []Recipient `json:"recipients"`

	Body     BodyType  `json:"body,omitempty"`
	SMTPUTF8 bool      `json:"smtputf8,omitempty"` // RFC 6531
	Ret      Ret       `json:"ret,omitempty"`      // RFC 3461 section 4.3
	EnvID    string    `json:"envid,omitempty"`    // RFC 3461 section 4.4, decoded from xtext
	Received time.Time `json:"received"`           // when we took it
	Origin   Origin    `json:"origin"`

	Priority  int8      `json:"priority,omitempty"` // MT-PRIORITY, -9 to 9; 0 is that of ordinary mail (RFC 6710)
	HoldUntil time.Time `json:"holduntil,omitzero"` // FUTURERELEASE: not sent before; zero is at once (RFC 4865)
	DeliverBy time.Time `json:"deliverby,omitzero"` // the deadline; zero is none (RFC 2852)
	ByMode    ByMode    `json:"bymode,omitempty"`   // what happens at the deadline
	ByTrace   bool      `json:"bytrace,omitempty"`  // each hop on the way is to be reported (RFC 2852 section 4)

	RequireTLS  bool `json:"requiretls,omitempty"`  // never over a link without verified TLS (RFC 8689 section 2)
	TLSOptional bool `json:"tlsoptional,omitempty"` // "TLS-Required: no": arriving matters more than TLS policies (RFC 8689 section 5)
}

// A ByMode says what is to be done with a message that is not delivered at its deadline.
type ByMode string

// The modes of BY (RFC 2852 section 4).
const (
	ByNotify ByMode = "N" // tell the sender, go on trying
	ByReturn ByMode = "R" // give up and return it
)

// An Origin says how a message came to us. It is written into Received (RFC 5321 section 4.4) and
// the trace.
type Origin struct {
	Account  AccountID  `json:"account,omitempty"`  // the authenticated submitter, or 0
	Login    string     `json:"login,omitempty"`    // the name it logged in with
	IP       netip.Addr `json:"ip,omitzero"`        // of the client; zero for local submission
	Name     string     `json:"name,omitempty"`     // host name of IP confirmed forward and back (RFC 8601 iprev)
	Helo     string     `json:"helo,omitempty"`     // what the client called itself
	Protocol string     `json:"protocol,omitempty"` // "with" of Received: ESMTPSA, LMTP … (RFC 3848, RFC 6531)
	TLS      string     `json:"tls,omitempty"`      // version and cipher suite, for people
}

// A Recipient is one forward-path with what the sender wants to hear about it (RFC 3461 section 4).
type Recipient struct {
	Address Address `json:"address"`
	Notify  Notify  `json:"notify,omitempty"`
	ORcpt   string  `json:"orcpt,omitempty"` // "rfc822;user@example.org", address part decoded from xtext
	Junk    bool    `json:"junk,omitempty"`  // the filter took the message for junk: it goes where this recipient keeps that
}

// A BodyType is the BODY parameter of MAIL (RFC 6152, RFC 3030).
type BodyType string

// The body types. Unset means 7BIT was not promised: look at the content.
const (
	Body7Bit   BodyType = "7BIT"
	Body8Bit   BodyType = "8BITMIME"
	BodyBinary BodyType = "BINARYMIME"
)

// Ret is how much of the message a report returns: "FULL", "HDRS" or unset.
type Ret string

// The values of RET.
const (
	RetFull Ret = "FULL"
	RetHdrs Ret = "HDRS"
)

// Notify is a set of conditions to report on. Zero is the default of RFC 3461 section 4.1:
// failure, and delay where the system does.
type Notify uint8

// The conditions of NOTIFY. NotifyNever excludes the others.
const (
	NotifyNever Notify = 1 << iota
	NotifySuccess
	NotifyFailure
	NotifyDelay
)

// Wants tells whether n asks for a report on condition c.
func (n Notify) Wants(c Notify) bool {
	if n == 0 {
		return c == NotifyFailure || c == NotifyDelay
	}
	return n&NotifyNever == 0 && n&c != 0
}
