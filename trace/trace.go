// Package trace is the flight recorder: what happened to each message, step by step, searchable.
//
// Every step of a message's life leaves one compact [Event]: time, node, step, peer, what was asked,
// what was answered, and why. Never content, never secrets. Events gather in memory and are appended
// a few times a second, unsynced: a power cut may cost the last moment of trace, never mail.
package trace

import (
	"time"

	"posthaste/mail"
)

// A Step names a kind of event. The words are fixed: scripts rely on them.
type Step string

// The steps in the life of a message.
const (
	Connect Step = "connect" // a session with a peer began or ended, in or out
	Submit  Step = "submit"  // a user's message was taken
	Receive Step = "receive" // a message from another host was taken or refused
	Check   Step = "check"   // a check on an incoming message gave a verdict
	Queue   Step = "queue"   // an entry was made, deferred, finished
	DNS     Step = "dns"     // names were looked up to route the message
	Deliver Step = "deliver" // a recipient got an outcome
	Report  Step = "report"  // a report (DSN) was made
	Access  Step = "access"  // an owner logged in or read mail

	Quarantine Step = "quarantine" // a message was put apart, released, deleted, or expired
)

// An Event is one step. Zero fields are left out.
type Event struct {
	Time      time.Time      `json:"t"`
	Node      string         `json:"node"` // host name of the node
	ID        mail.QueueID   `json:"id,omitempty"`
	Session   string         `json:"session,omitempty"`
	Step      Step           `json:"step"`
	OK        bool           `json:"ok"`
	Peer      string         `json:"peer"`               // host name and address of the other side
	Asked     string         `json:"asked,omitempty"`    // the command or question
	Answered  string         `json:"answered,omitempty"` // the reply or answer
	Reason    string         `json:"reason,omitempty"`   // why, where the answer does not say
	Text      string         `json:"text"`               // one sentence for people
	From      string         `json:"from,omitempty"`     // reverse-path; "<>" for null
	To        []mail.Address `json:"to,omitempty"`
	MessageID string         `json:"messageid,omitempty"` // the Message-ID field
	Took      time.Duration  `json:"took,omitempty"`
	Verdict   *mail.Verdict  `json:"verdict,omitempty"` // of the filter, with all that led to it
}

// A Recorder takes events. Record never blocks and fills Time and Node when they are unset; past its
// bound it drops events and counts them.
type Recorder interface {
	Record(Event)
}

// Discard is a Recorder that forgets.
var Discard Recorder = discard{}

type discard struct{}

func (discard) Record(Event) {}
