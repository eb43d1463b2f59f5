package queue

import (
	"context"
	"net/netip"
	"time"

	"posthaste/mail"
)

// A Route says how a recipient is reached.
type Route struct {
	Agent string // which of the agents given to Run delivers

	// Destination names what recipients share connections and a limit of concurrency: for remote
	// mail the normalised set of MX host names, not the domain. Recipients of one message with
	// equal Agent and Destination travel together.
	Destination string

	Limit int // deliveries at the same time, when not Limits.Destination
	Via   any // what the agent needs to know of the destination; the queue only hands it on

	Domain string        // of the recipient, for limits that name domains; empty: as in its address
	Source netip.Addr    // our address towards the hosts, for its warm-up; zero: no warm-up applies
	Expire time.Duration // how long to go on trying, when not Policy.Expire: a backup MX waits longer
}

// A Query asks for the way to one recipient of a message.
type Query struct {
	ID       mail.QueueID
	Envelope *mail.Envelope // without its recipients; not to be changed
	To       mail.Address
	Attempts int    // how often the recipient was tried
	Reroute  string // the transport that an operator chose; "" is none
}

// A Hold is the error of a Router for a recipient that waits until an operator releases it.
type Hold struct{ Reason string }

// Error says why the recipient waits.
func (h *Hold) Error() string { return heldBecause + h.Reason }

// A Router finds routes. The error of a recipient that has none is a *mail.Status, or a *Hold; any
// other error is temporary, as is a DNS that does not answer. node fills it.
type Router interface {
	Route(ctx context.Context, q Query) (Route, error)
}

// A Job is one delivery.
type Job struct {
	Envelope mail.Envelope // its Recipients are those of this job alone
	Content  mail.Content  // valid until Deliver returns
	Route    Route

	PerConnection int // messages over one connection that a shaping rule allows; 0 is the agent's default
}

// An Agent delivers. It may be called at the same time from many goroutines.
type Agent interface {
	// Deliver returns an answer for each recipient of the job, in their order. What cannot be
	// proven delivered is temporary. When ctx ends, it returns soon.
	//
	// A 2xx tells the queue what to report where the sender asked for success (RFC 3461): with
	// code 251 the recipient was expanded to others; with Peer set another host took it and
	// reports by itself, or, with enhanced code 2.1.9, does not know how to (RFC 5248: relayed);
	// any other 2xx is a delivery into a mailbox.
	Deliver(ctx context.Context, job Job) []*mail.Status
}
