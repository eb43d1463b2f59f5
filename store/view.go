package store

import (
	"context"
	"errors"
	"iter"

	"posthaste/mail"
)

// An EmailID names an email within its account for ever; IDs ascend in order of arrival (RFC 8474).
type EmailID uint64

// A ThreadID names a thread: it is the EmailID of its first email.
type ThreadID uint64

// View returns mailbox id at the newest durable version. It is cheap when nothing changed, and then
// returns the same *View as before.
func (a *Account) View(ctx context.Context, id MailboxID) (*View, error) {
	return nil, errors.ErrUnsupported
}

// A View is an immutable picture of one mailbox at one version. Rows are in order of UID; a row's
// index plus 1 is its sequence number.
type View struct{}

// Version is the version of the account that the view shows.
func (v *View) Version() mail.ModSeq { return 0 }

// Mailbox returns name, counts and UIDs as of the view.
func (v *View) Mailbox() Mailbox { return Mailbox{} }

// Len returns the number of rows.
func (v *View) Len() int { return 0 }

// At returns row i, 0 to Len()-1.
func (v *View) At(i int) Row { return Row{} }

// Find returns the index of uid; when there is none, ok is false and i is that of the next higher UID
// (Len() when there is none).
func (v *View) Find(uid mail.UID) (i int, ok bool) { return 0, false }

// Rows yields the rows from index from (included) to to (excluded), faster than At.
func (v *View) Rows(from, to int) iter.Seq2[int, Row] { return func(func(int, Row) bool) {} }

// FirstUnseen returns the index of the first row without \Seen, or Len().
func (v *View) FirstUnseen() int { return 0 }

// KeywordNames returns all keywords that the account knows, as IMAP flags in order of their making:
// \Seen, \Answered, \Flagged, \Draft first. More can be made while there are fewer than [MaxKeywords].
func (v *View) KeywordNames() []string { return nil }

// A Row is one membership with its email.
type Row struct {
	UID      mail.UID
	Email    EmailID
	Thread   ThreadID
	Size     int64 // RFC822.SIZE
	Received int64 // Unix seconds: INTERNALDATE
	Saved    int64 // Unix seconds: SAVEDATE (RFC 8514)
	ModSeq   mail.ModSeq
	Deleted  bool // \Deleted
	Keywords Keywords
}

// A Diff is how one view became another.
type Diff struct {
	Expunged []mail.UID // ascending: in the old view only
	Changed  []int      // index in the new view of rows whose flags changed
	Appended int        // index in the new view of the first row the old one lacks; Len() for none
}

// Diff tells what changed from old, an earlier view of the same mailbox. Parts that did not change
// are shared between views and cost nothing.
func (v *View) Diff(old *View) Diff { return Diff{} }
