// Package filter is what judges mail by content and reputation: the common words of its parts, and the
// care taken of those that may fail.
//
// An [Engine] looks at a [Mail] and answers with findings, an action it asks for, and edits. The parts
// below are engines or hold what engines learn: spam (rules, classifier, reputation), virus, milter,
// remote engines, dnsbl, greylist, dlp. [Guard] bounds each in time, stops asking one that does not
// answer, and says what its silence means; by default nothing: an engine that cannot be asked is no
// evidence, is recorded as such, and neither refuses nor delays mail.
//
// Who decides is package inbound for mail of others and package submit for that of our own users.
package filter

import (
	"context"
	"net/netip"

	"posthaste/mail"
	"posthaste/message"
)

// A Mail is what engines look at. It is read by several at the same time and changed by none.
type Mail struct {
	Envelope *mail.Envelope
	Content  []byte           // header and body as they came, lines ending in CRLF
	Message  *message.Message // Content, parsed

	Outgoing bool // from a user of ours
	// Results is what our Authentication-Results will say, without the field name; empty for none.
	Results string
	// Hostname is ours, Queue the ID under which the message is known.
	Hostname string
}

// Client returns the address of who handed the message over; it may be invalid.
func (m *Mail) Client() netip.Addr { return m.Envelope.Origin.IP }

// A Result is what an engine says. The zero Result is "nothing to say".
type Result struct {
	Findings []mail.Finding
	Action   mail.Action  // what the engine asks for at least; Accept asks for nothing
	Reply    *mail.Status // with Reject or Greylist: the reply in the engine's own words, or nil
	Discard  bool         // take the message and deliver it to nobody
	Reason   string       // one sentence for people: why Action
	Edits    Edits
}

// An Engine judges messages. Its methods may be called at the same time.
type Engine interface {
	// Name is the engine's for log, trace and findings: "clamd".
	Name() string
	// Scan judges m within ctx. An error means that the engine could not say.
	Scan(ctx context.Context, m *Mail) (Result, error)
}
