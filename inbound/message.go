package inbound

import (
	"bytes"

	"posthaste/deliver/local"
	"posthaste/filter"
	"posthaste/filter/spam"
	"posthaste/mail"
	"posthaste/mailauth/results"
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
	shown    mail.Verdict   // that the header tells of
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

var (
	errLoop   = mail.NewStatus(554, "5.4.6", "too many Received fields: the message goes in circles")
	errFields = mail.NewStatus(552, "5.3.4", "the header has more than %d fields", message.MaxFields-1)
)

// readHeader reads the header, takes out forged results, and refuses what goes in circles, or has so many
// fields that not all are looked at.
func (m *Message) readHeader() error {
	m.endHeader()
	m.Header = message.Parse(headerOf(m.Content)).Header
	m.messageID = m.Header.MessageID()
	m.Envelope.TLSOptional = !m.Envelope.RequireTLS && message.TLSOptional(m.Header)
	if len(m.Header.Fields()) >= message.MaxFields {
		return errFields
	}
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

// endHeader puts an empty line before content that begins with none and with no field either. Such content
// is a body without a header, but after the fields that we put before it a first line that begins with a
// space would go on with the last of them, and what looks like fields further down would be some.
func (m *Message) endHeader() {
	line, _, _ := bytes.Cut(m.Content, []byte("\n"))
	if len(m.Content) > 0 && len(message.ParseHeader(m.Content[:min(len(line)+1, len(m.Content))]).Raw()) == 0 {
		m.Content = append([]byte("\r\n"), m.Content...)
	}
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
	return f.Is("Authentication-Results") && results.Claims(string(f.Value()), m.host)
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
