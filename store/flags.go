package store

import (
	"context"
	"fmt"

	"posthaste/mail"
)

// FlagOp is how STORE changes flags (RFC 9051 section 6.4.6).
type FlagOp int

// The ways to change flags.
const (
	AddFlags FlagOp = iota
	RemoveFlags
	ReplaceFlags
)

// FlagChange is what SetFlags is to do.
type FlagChange struct {
	UIDs           UIDSet
	Op             FlagOp
	Flags          []string // IMAP flags: \Seen, \Deleted, $Junk, custom …; \Recent is passed over
	Conditional    bool     // UNCHANGEDSINCE was given (RFC 7162 section 3.1.3)
	UnchangedSince mail.ModSeq
}

// FlagResult is what SetFlags did.
type FlagResult struct {
	ModSeq   mail.ModSeq // version of the commit; the version as it was when nothing changed
	Changed  []mail.UID  // ascending: rows that have other flags than before
	Modified []mail.UID  // ascending: rows that failed UNCHANGEDSINCE and were not touched
}

// SetFlags changes flags on rows of a mailbox, in one commit however many they are.
func (a *Account) SetFlags(ctx context.Context, box MailboxID, change FlagChange) (FlagResult, error) {
	flags, err := parseFlags(change.Flags)
	if err != nil {
		return FlagResult{}, err
	}
	if _, err := a.at(ctx, box); err != nil { // loads rows outside of the transaction
		return FlagResult{}, err
	}
	var result FlagResult
	result.ModSeq, err = a.update(ctx, func(w *writer) error {
		result = FlagResult{}
		f := flagger{w: w, change: &change, deleted: flags.deleted, result: &result}
		return f.run(box, flags)
	})
	return result, err
}

// A flagger makes the log entry of one SetFlags.
type flagger struct {
	w        *writer
	change   *FlagChange
	box      *boxRecord
	rows     *state
	keywords Keywords
	deleted  bool // \Deleted is among the flags
	result   *FlagResult
	on, off  UIDSet // rows that get and lose \Deleted
	touched  bool
	last     int // index of the flip that the last row went to
}

func (f *flagger) run(id MailboxID, flags flagSet) (err error) {
	if f.box, err = f.w.selectable(id); err != nil {
		return err
	}
	if f.keywords, err = f.w.keywords(flags, f.change.Op != RemoveFlags); err != nil {
		return err
	}
	if f.rows, err = f.w.rows(id); err != nil {
		return err
	}
	f.rows.members[id].each(f.change.UIDs, func(row *memberRow) {
		if err == nil {
			err = f.row(row)
		}
	})
	if err != nil {
		return err
	}
	if len(f.on) > 0 {
		f.w.change.marks = append(f.w.change.marks, mark{id, true, f.on})
	}
	if len(f.off) > 0 {
		f.w.change.marks = append(f.w.change.marks, mark{id, false, f.off})
	}
	return nil
}

// row changes one row.
func (f *flagger) row(row *memberRow) error {
	email, chunk := f.rows.emails.find(row.email)
	if email == nil {
		return fmt.Errorf("uid %d has no email %d", row.uid, row.email)
	}
	if f.change.Conditional && max(row.modseq, email.modseq) > f.change.UnchangedSince {
		f.result.Modified = append(f.result.Modified, row.uid)
		return nil
	}
	after, deleted := f.after(email.keywords, row.deleted)
	if after == email.keywords && deleted == row.deleted {
		return nil
	}
	f.result.Changed = append(f.result.Changed, row.uid)
	if deleted != row.deleted {
		f.mark(row.uid, deleted)
	}
	f.box.recount(email.keywords.Seen(), after.Seen(), row.deleted, deleted)
	f.touchBox()
	if after == email.keywords {
		return nil
	}
	f.flip(email, after)
	if email.box == f.box.ID { // by far the most: in no other mailbox
		return nil
	}
	return f.others(email, chunk, after)
}

// after returns the flags that a row with these gets.
func (f *flagger) after(k Keywords, deleted bool) (Keywords, bool) {
	switch f.change.Op {
	case AddFlags:
		return k.or(f.keywords), deleted || f.deleted
	case RemoveFlags:
		return k.andNot(f.keywords), deleted && !f.deleted
	default:
		return f.keywords, f.deleted
	}
}

func (f *flagger) mark(uid mail.UID, deleted bool) {
	if deleted {
		f.on = f.on.add(uid)
	} else {
		f.off = f.off.add(uid)
	}
}

func (f *flagger) touchBox() {
	if !f.touched {
		f.w.touch(f.box)
		f.touched = true
	}
}

// flip records that email gets the keywords after. Rows that follow each other mostly change alike.
func (f *flagger) flip(email *emailRow, after Keywords) {
	flips := f.w.change.flips
	if f.last >= len(flips) || flips[f.last].before != email.keywords || flips[f.last].after != after {
		f.last = 0
		for f.last < len(flips) && (flips[f.last].before != email.keywords || flips[f.last].after != after) {
			f.last++
		}
		if f.last == len(flips) {
			f.w.change.flips = append(flips, flip{before: email.keywords, after: after})
		}
	}
	x := &f.w.change.flips[f.last]
	x.emails = x.emails.add(email.id)
}

// others counts the change of an email's keywords in the other mailboxes that hold it.
func (f *flagger) others(email *emailRow, chunk *emailChunk, after Keywords) (err error) {
	chunk.boxes(email, func(id MailboxID) {
		if err == nil && id != f.box.ID {
			err = f.other(id, email, after)
		}
	})
	return err
}

func (f *flagger) other(id MailboxID, email *emailRow, after Keywords) error {
	box, err := f.w.box(id)
	if err != nil {
		return err
	}
	f.w.touch(box)
	was, is := email.keywords.Seen(), after.Seen()
	deleted := false
	if was != is && box.Deleted > 0 {
		if deleted, err = f.isDeleted(id, email.id); err != nil {
			return err
		}
	}
	box.recount(was, is, deleted, deleted)
	return nil
}

// isDeleted tells whether an email has \Deleted in another mailbox.
func (f *flagger) isDeleted(id MailboxID, email EmailID) (bool, error) {
	s, err := advance(f.w.txn, f.rows, id)
	if err != nil {
		return false, err
	}
	f.rows = s
	for _, c := range s.members[id] {
		if n := emailChunkOf(email); n < c.low || n > c.high {
			continue
		}
		for i := range c.rows {
			if c.rows[i].email == email {
				return c.rows[i].deleted, nil
			}
		}
	}
	return false, nil
}

// recount changes the counts for a membership whose flags change.
func (box *boxRecord) recount(wasSeen, isSeen, wasDeleted, isDeleted bool) {
	box.Unseen += one(!isSeen) - one(!wasSeen)
	box.Deleted += one(isDeleted) - one(wasDeleted)
	box.DeletedUnseen += one(isDeleted && !isSeen) - one(wasDeleted && !wasSeen)
}

func one(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}
