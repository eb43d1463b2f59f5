package inbound

import (
	"bytes"
	"strings"

	"posthaste/deliver/local"
	"posthaste/filter"
	"posthaste/filter/spam"
	"posthaste/mail"
	"posthaste/message"
)

// A Message is what checks look at.
type Message struct {
	Envelope *mail.Envelope
	Content  []byte         // without results that claim to be ours
	Header   message.Header // of Content

	// What the checks found so far.
	Results  []Result
	Findings []mail.Finding
	Demands  []spam.Demand
	Evidence Evidence

	host       string
	messageID  string
	clientName string // confirmed by a check; goes into Origin.Name after it
	relayed    bool   // by a queue of ours (LMTP): the client is not who sent it
	early      bool   // the client spoke before it was greeted
	parsed     *message.Message

	verdicts []mail.Verdict // by recipient; nil: nobody judged
	discard  string         // why it is taken and delivered to nobody; empty: it is not
	edits    []filter.Edits // what engines want changed
}

// direct tells whether the client is a host that mail comes from, so that its address says something.
func (m *Message) direct() bool { return !m.relayed && m.Envelope.Origin.IP.IsValid() }

// parse returns Content parsed, once. It is for checks that run alone.
func (m *Message) parse() *message.Message {
	if m.parsed == nil {
		m.parsed = message.Parse(m.Content)
	}
	return m.parsed
}

var errLoop = mail.NewStatus(554, "5.4.6", "too many Received fields: the message goes in circles")

// readHeader reads the header, takes out forged results, and refuses what goes in circles.
func (m *Message) readHeader() error {
	m.Header = message.Parse(headerOf(m.Content)).Header
	m.messageID = m.Header.MessageID()
	m.Envelope.TLSOptional = !m.Envelope.RequireTLS && message.TLSOptional(m.Header)
	if message.Hops(m.Header) > local.MaxReceived {
		return errLoop
	}
	for _, f := range m.Header.Fields() {
		if m.isForged(f) {
			m.removeForged()
			break
		}
	}
	return nil
}

// headerOf returns the header section with its end, so that no body is parsed here.
func headerOf(content []byte) []byte {
	if end := bytes.Index(content, []byte("\r\n\r\n")); end >= 0 {
		return content[:end+4]
	}
	return content
}

// isForged tells whether f claims to be of this host: an Authentication-Results field, of which we have
// written none yet (RFC 8601 section 5), or a verdict of ours.
func (m *Message) isForged(f message.Field) bool {
	if f.Is(spam.VerdictField) {
		return true
	}
	if !f.Is("Authentication-Results") {
		return false
	}
	value := f.Unfolded()
	if cut := strings.IndexByte(value, ';'); cut >= 0 {
		value = value[:cut]
	}
	words := strings.Fields(withoutComments(value)) // the name, and perhaps a version
	return len(words) > 0 && strings.EqualFold(strings.Trim(words[0], `"`), m.host)
}

// withoutComments drops what stands in parentheses, which may nest (RFC 5322 section 3.2.2).
func withoutComments(s string) string {
	if !strings.Contains(s, "(") {
		return s
	}
	depth, quoted := 0, false
	return strings.Map(func(c rune) rune {
		switch {
		case depth > 0 && (quoted || c == '\\'):
			quoted = !quoted
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth == 0:
			return c
		}
		return -1
	}, s)
}

// removeForged makes Content a copy without the fields that isForged finds.
func (m *Message) removeForged() {
	kept := make([]byte, 0, len(m.Content))
	at := 0
	for _, f := range m.Header.Fields() {
		if m.isForged(f) {
			kept = append(kept, m.Content[at:f.Start]...)
			at = f.Start + len(f.Raw())
		}
	}
	m.Content = append(kept, m.Content[at:]...)
	m.Header = message.Parse(headerOf(m.Content)).Header
}

// received returns the trace field of ours. It names the recipient only where there is one: more
// would tell each of the others.
func (m *Message) received(host string) message.Received {
	env := m.Envelope
	r := message.Received{Origin: env.Origin, By: host, ID: env.ID, Time: env.Received}
	if len(env.Recipients) == 1 {
		r.For = env.Recipients[0].Address
	}
	return r
}

// peer names the client for people.
func (m *Message) peer() string {
	o := &m.Envelope.Origin
	name := o.Name
	if name == "" {
		name = o.Helo
	}
	if !o.IP.IsValid() {
		return name
	}
	return name + " [" + o.IP.String() + "]"
}
