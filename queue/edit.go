package queue

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"posthaste/mail"
)

// An Edit changes the envelope of an entry. Zero fields change nothing. Content is never changed.
type Edit struct {
	Sender   *mail.ReversePath
	Add      []mail.Address
	Remove   []mail.Address // recipients that get nothing any more; nobody is told
	Priority *int8          // -9 to 9 (RFC 6710)
}

// Empty tells whether x changes nothing.
func (x Edit) Empty() bool {
	return x.Sender == nil && x.Priority == nil && len(x.Add) == 0 && len(x.Remove) == 0
}

// apply changes e. Recipients keep their places, since deliveries that run name them by these: who is
// removed is closed, who is added comes last.
func (x Edit) apply(e *Entry, now time.Time) error {
	if x.Empty() {
		return errors.New("nothing is to be changed")
	}
	for _, a := range x.Remove {
		if err := e.close(a); err != nil {
			return err
		}
	}
	for _, a := range x.Add {
		if e.open(a) >= 0 {
			return fmt.Errorf("%s is a recipient already", a)
		}
		e.Recipients = append(e.Recipients, Recipient{Recipient: mail.Recipient{Address: a}, State: Incoming, Next: now})
	}
	if len(e.Recipients) > MaxRecipients {
		return fmt.Errorf("more than %d recipients", MaxRecipients)
	}
	if e.finished() {
		return errors.New("no recipient would be left: use queue delete")
	}
	if x.Sender != nil {
		e.Envelope.From = *x.Sender
	}
	if x.Priority != nil {
		e.Envelope.Priority = *x.Priority
	}
	return nil
}

// open returns the place of the recipient a that waits for its outcome, or -1.
func (e *Entry) open(a mail.Address) int {
	return slices.IndexFunc(e.Recipients, func(r Recipient) bool { return r.Address == a && r.State.Open() })
}

// close ends the wait of recipient a.
func (e *Entry) close(a mail.Address) error {
	i := e.open(a)
	if i < 0 {
		return fmt.Errorf("%s is not a recipient that waits", a)
	}
	r := &e.Recipients[i]
	r.State, r.Next = Failed, time.Time{}
	r.Status = mail.NewStatus(550, "5.7.1", "removed by the operator of this mail system")
	return nil
}
