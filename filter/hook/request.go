package hook

import (
	"net/netip"

	"posthaste/filter"
	"posthaste/mail"
)

// A Request is what a program is told of a message.
type Request struct {
	Version  int    `json:"version"` // of this layout: 1
	Stage    string `json:"stage"`   // "data": the message is there, and not yet answered
	ID       string `json:"id"`      // the queue ID
	Hostname string `json:"hostname"`
	Outgoing bool   `json:"outgoing"` // from a user of ours

	Envelope Envelope `json:"envelope"`
	Origin   Origin   `json:"origin"`
	Header   []Field  `json:"header"`                 // in order, values unfolded and not decoded
	Results  string   `json:"authentication_results"` // without the field name
	Size     int      `json:"size"`                   // bytes of the message
	Content  []byte   `json:"content,omitempty"`      // the message in base64, when it is small enough
}

// An Envelope is who it is from and for.
type Envelope struct {
	From string   `json:"from"` // empty for the null sender
	To   []string `json:"to"`
}

// An Origin is how it came.
type Origin struct {
	IP       netip.Addr `json:"ip,omitzero"`
	Name     string     `json:"name,omitempty"` // host name, confirmed forward and back
	Helo     string     `json:"helo,omitempty"`
	Protocol string     `json:"protocol,omitempty"`
	TLS      string     `json:"tls,omitempty"`
	Login    string     `json:"login,omitempty"`
}

// A Field is a header field.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// request tells of m.
func request(m *filter.Mail, maxContent int) Request {
	env, o := m.Envelope, m.Envelope.Origin
	r := Request{Version: 1, Stage: "data", ID: string(env.ID), Hostname: m.Hostname, Outgoing: m.Outgoing,
		Envelope: Envelope{From: env.From.String(), To: []string{}}, Header: []Field{},
		Origin:  Origin{IP: o.IP, Name: o.Name, Helo: o.Helo, Protocol: o.Protocol, TLS: o.TLS, Login: o.Login},
		Results: m.Results, Size: len(m.Content)}
	for _, to := range env.Recipients {
		r.Envelope.To = append(r.Envelope.To, to.Address.String())
	}
	fields := m.Message.Header.Fields()
	for _, f := range fields[:min(len(fields), maxHeader)] {
		if len(f.Name()) > 0 {
			r.Header = append(r.Header, Field{string(f.Name()), f.Unfolded()})
		}
	}
	if len(m.Content) <= maxContent {
		r.Content = m.Content
	}
	return r
}

// A Reply is what a program answers. The empty one says nothing against the message.
type Reply struct {
	Action   mail.Action    `json:"action"`   // accept, tag, junk, quarantine, greylist or reject
	Discard  bool           `json:"discard"`  // take the message and deliver it to nobody
	Score    float64        `json:"score"`    // points of the whole; what speaks for spam is positive
	Reason   string         `json:"reason"`   // one sentence for people
	Reply    string         `json:"reply"`    // to the client, with reject or greylist: "550 5.7.1 text"
	Findings []mail.Finding `json:"findings"` // single observations with their points
	Add      []Field        `json:"add_header"`
	Remove   []string       `json:"remove_header"` // names, every field of which goes
}
