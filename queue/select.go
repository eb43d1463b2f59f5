package queue

import (
	"context"
	"errors"
	"strings"
	"time"

	"posthaste/mail"
)

// A Filter chooses entries. Zero fields choose all. Text is compared in any case.
type Filter struct {
	State     State         // of the entry
	Sender    string        // a part of the reverse-path; "<>" is the null one
	Recipient string        // a part of any recipient's address
	Domain    string        // a glob that the domain of any recipient matches: "example.org", "*.example.org"
	Older     time.Duration // came longer ago than this
	Newer     time.Duration // came less long ago than this
	Larger    int64         // has more bytes than this
	Smaller   int64         // has fewer bytes than this
	Reason    string        // a part of any recipient's last answer, or of why the entry is corrupt
}

// ErrNoChoice means that a change of all entries was asked for without saying so.
var ErrNoChoice = errors.New("queue: no entry is chosen: name IDs, or say what to choose by, or --all")

// Chooses tells whether f chooses entry id, or returns ErrNoEntry.
func (q *Queue) Chooses(ctx context.Context, f Filter, id mail.QueueID) (bool, error) {
	e, err := q.Show(ctx, id)
	return err == nil && f.chooses(e, time.Now()), err
}

// Empty tells whether f chooses everything.
func (f Filter) Empty() bool { return f == Filter{} }

func (f Filter) chooses(e *Entry, now time.Time) bool {
	age := now.Sub(e.Created())
	switch {
	case f.Older > 0 && age <= f.Older, f.Newer > 0 && age >= f.Newer:
		return false
	case f.Larger > 0 && e.Size <= f.Larger, f.Smaller > 0 && e.Size >= f.Smaller:
		return false
	case f.State != "" && e.State() != f.State:
		return false
	case f.Sender != "" && !contains(sender(e), f.Sender):
		return false
	case f.Recipient == "" && f.Domain == "" && f.Reason == "":
		return true
	}
	if f.Recipient == "" && f.Domain == "" && e.corrupt != "" && contains(e.corrupt, f.Reason) {
		return true
	}
	for i := range e.Recipients {
		if f.choosesRecipient(&e.Recipients[i]) {
			return true
		}
	}
	return false
}

// choosesRecipient tells whether r has all that f asks of a recipient.
func (f Filter) choosesRecipient(r *Recipient) bool {
	return (f.Recipient == "" || contains(r.Address.String(), f.Recipient)) &&
		(f.Domain == "" || glob(strings.ToLower(f.Domain), r.Address.Domain)) &&
		(f.Reason == "" || r.Status != nil && contains(reason(r.Status), f.Reason))
}

// reason returns codes, host and text of an answer in one line to search in.
func reason(s *mail.Status) string { return s.Peer + " said: " + s.Error() }

func contains(s, part string) bool {
	return strings.Contains(strings.ToLower(s), strings.ToLower(part))
}

// glob tells whether s matches pattern, in which * is any text and ? any one byte.
func glob(pattern, s string) bool {
	star, mark := -1, 0 // the last * seen, and where in s what follows it was tried
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
