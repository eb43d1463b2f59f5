package queue

import (
	"container/list"
	"time"

	"posthaste/mail"
)

// A task is some recipients of one entry that go the same way at the same time.
type task struct {
	record     *record
	recipients []int // indexes into the entry's
	route      Route // without Agent while the way is sought
	limit      int   // deliveries at the same time at its destination, 0: the default
	sender     string
	from       mail.ReversePath
	priority   int8
	size       int64
	urgent     bool // an operator wants it now: a suspension does not hold it

	// Of the scheduler:
	large   bool
	to      *destination
	account *account
	source  *meter
	started time.Time
	running *list.Element // of trials; nil when it does not run, or is stalled
	trials  *trials
	stalled bool // it runs for so long that it no longer counts as a job
}

func (t *task) finding() bool { return t.route.Agent == "" }

// doubted tells whether the last attempt failed for the host or the way to it.
func (t *task) doubted() bool {
	if t.record.entry == nil {
		return false
	}
	last := t.record.entry.Recipients[t.recipients[0]].Status
	return last != nil && hostFailed([]*mail.Status{last})
}

// A refusal is why a task cannot wait in memory, and until when.
type refusal struct {
	answer *mail.Status
	until  time.Time // zero: as after an attempt
}

// An account is what the scheduler knows of a sender.
type account struct {
	from  mail.ReversePath // of its first task
	gate  gate
	meter meter
	tasks int // that wait or run
	used  time.Time
}
