// Package reply tells people what the answer of a mail system means, and what to do about it.
//
// [Parse] takes an answer as it stands in a log, a report or a terminal; [Explain] puts it in words. It
// goes by the text first, where that is of a system we know (large providers, block lists, usual
// servers), then by the enhanced code (RFC 3463, RFC 5248 and the registry they began), then by the
// reply code (RFC 5321 section 4.2). What it says is for people: nothing decides by it.
package reply

// A Class is the kind of matter an answer is.
type Class string

// The classes.
const (
	Delivered  Class = "delivered"  // it was taken
	Address    Class = "address"    // wrong, unknown or moved
	Mailbox    Class = "mailbox"    // full, disabled
	Size       Class = "size"       // too large
	Content    Class = "content"    // refused for what it holds, or its form
	Reputation Class = "reputation" // of the sending host or domain: block lists, spam
	Proof      Class = "proof"      // SPF, DKIM, DMARC, reverse DNS, authentication
	Policy     Class = "policy"     // other rules of the receiving system
	Rate       Class = "rate"       // too much, too fast; greylisting
	Security   Class = "security"   // TLS, encryption, credentials
	Network    Class = "network"    // DNS, connection, routing, loops
	System     Class = "system"     // the receiving system has trouble
	Protocol   Class = "protocol"   // commands and syntax
	Unknown    Class = "unknown"
)

// A Who says whose matter it is.
type Who string

// Those who can help.
const (
	Sender     Who = "sender"      // who wrote the message
	Recipient  Who = "recipient"   // whom it is for
	OurAdmin   Who = "our admin"   // of the system that sends
	TheirAdmin Who = "their admin" // of the system that answered
	Nobody     Who = "nobody"      // time will do
)

// Advice is an answer in plain words.
type Advice struct {
	Class     Class    `json:"class"`
	Permanent bool     `json:"permanent"`      // trying again does not help; else it may
	Meaning   string   `json:"meaning"`        // a sentence
	Do        []string `json:"do"`             // what helps, most useful first
	Who       Who      `json:"who"`            // who can do it
	Rule      string   `json:"rule,omitempty"` // what in the answer it was known by
	Link      string   `json:"link,omitempty"` // where its maker explains it or lets one ask
}
