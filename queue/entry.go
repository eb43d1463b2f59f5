package queue

import (
	"time"

	"posthaste/blob"
	"posthaste/kv"
	"posthaste/mail"
)

// A State says where a recipient stands. The words are Postfix's; scripts rely on them.
type State string

// The states of a recipient. Active exists in memory only: after a crash such a recipient is tried
// again.
const (
	Incoming  State = "incoming"  // not tried yet
	Active    State = "active"    // being delivered now
	Deferred  State = "deferred"  // tried, to be tried again at Next
	Held      State = "hold"      // not tried until an operator releases it
	Corrupt   State = "corrupt"   // entry or content cannot be read; kept aside for an operator
	Delivered State = "delivered" // outcome: in a mailbox, or another host took it
	Failed    State = "failed"    // outcome: reported to the sender, if there is one
)

// Open tells whether a recipient in state s still waits for its outcome.
func (s State) Open() bool { return s != Delivered && s != Failed }

// schedulable tells whether a recipient in state s is tried when it is due.
func (s State) schedulable() bool { return s == Incoming || s == Deferred }

// An Entry is one message in the queue. Envelope.Recipients is empty: Recipients has them.
type Entry struct {
	ID         mail.QueueID
	Envelope   mail.Envelope
	Size       int64 // bytes of content
	Recipients []Recipient

	content contentRef
	origin  string // of derived mail: originSize bytes, else ""
	corrupt string // why the entry cannot be read
}

// A Recipient is one recipient of an entry.
type Recipient struct {
	mail.Recipient
	State    State
	Status   *mail.Status // the last answer, or nil
	Attempts int          // how often it was tried
	Next     time.Time    // when it is due
	Reroute  string       // the transport that an operator chose; "" is none

	warned   bool          // the sender knows of the delay
	overdue  bool          // the sender knows that it missed its deadline (RFC 2852, mode N)
	lifetime time.Duration // Route.Expire of its last route; 0 is Policy.Expire
}

// A contentRef says where the content of an entry lies: in a body of the shard, or in a blob.
type contentRef struct {
	body kv.BodyID
	blob blob.Name
}

func newEntry(env mail.Envelope, now time.Time) *Entry {
	if env.Received.IsZero() {
		env.Received = now
	}
	e := &Entry{ID: env.ID, Recipients: make([]Recipient, len(env.Recipients))}
	next := now
	if env.HoldUntil.After(now) {
		next = env.HoldUntil
	}
	for i, r := range env.Recipients {
		e.Recipients[i] = Recipient{Recipient: r, State: Incoming, Next: next}
	}
	env.Recipients = nil
	e.Envelope = env
	return e
}

// Created returns when we took the message.
func (e *Entry) Created() time.Time { return e.Envelope.Received }

// State sums the entry up: corrupt, active, hold (when nothing else is to be done), deferred or
// incoming.
func (e *Entry) State() State {
	if e.corrupt != "" {
		return Corrupt
	}
	count := map[State]int{}
	for i := range e.Recipients {
		count[e.Recipients[i].State]++
	}
	for _, s := range []State{Corrupt, Active, Deferred, Incoming, Held} {
		if count[s] > 0 {
			return s
		}
	}
	return Delivered
}

// Next returns when the first recipient is due, or zero when none is.
func (e *Entry) Next() time.Time {
	var next time.Time
	for i := range e.Recipients {
		r := &e.Recipients[i]
		if r.State.schedulable() && (next.IsZero() || r.Next.Before(next)) {
			next = r.Next
		}
	}
	return next
}

// due returns Next in Unix milliseconds, or 0 when nothing is due.
func (e *Entry) due() int64 {
	next := e.Next()
	if next.IsZero() {
		return 0
	}
	return max(next.UnixMilli(), 1)
}

// finished tells whether every recipient has its outcome.
func (e *Entry) finished() bool {
	for i := range e.Recipients {
		if e.Recipients[i].State.Open() {
			return false
		}
	}
	return e.corrupt == ""
}

func (e *Entry) addresses() []mail.Address {
	a := make([]mail.Address, len(e.Recipients))
	for i := range e.Recipients {
		a[i] = e.Recipients[i].Address
	}
	return a
}
