package store

import (
	"context"
	"fmt"
	"slices"

	"posthaste/mail"
)

// Expunged is what an expunge did.
type Expunged struct {
	ModSeq mail.ModSeq // version of the last commit; the version as it was when nothing was removed
	UIDs   []mail.UID  // ascending: the rows removed
}

// Expunge removes those of uids that have \Deleted (RFC 9051 section 6.4.9).
func (a *Account) Expunge(ctx context.Context, box MailboxID, uids UIDSet) (Expunged, error) {
	return a.remove(ctx, box, uids, false)
}

// Remove removes uids from the mailbox, with \Deleted or not (POP3 DELE, JMAP).
func (a *Account) Remove(ctx context.Context, box MailboxID, uids UIDSet) (Expunged, error) {
	return a.remove(ctx, box, uids, true)
}

func (a *Account) remove(ctx context.Context, id MailboxID, uids UIDSet, all bool) (Expunged, error) {
	var done Expunged
	for more := true; more; {
		if _, err := a.at(ctx, id); err != nil { // loads rows outside of the transaction
			return done, err
		}
		var gone removal
		version, err := a.update(ctx, func(w *writer) error {
			gone = removal{all: all}
			box, err := w.selectable(id)
			if err != nil {
				return err
			}
			rows, err := w.rows(id)
			if err != nil {
				return err
			}
			return w.remove(rows, box, uids, &gone)
		})
		if err != nil {
			return done, err
		}
		done.ModSeq = version
		done.UIDs = append(done.UIDs, gone.uids...)
		more = gone.more
	}
	return done, nil
}

// removeBatch is how many memberships one commit removes, so that its log entry fits a value.
const removeBatch = 200_000

// A removal is what writer.remove is to do, and did.
type removal struct {
	all  bool                              // also rows without \Deleted
	keep func(*emailChunk, *emailRow) bool // emails that this commit puts elsewhere; nil for none
	uids []mail.UID
	more bool // the batch was full
}

// remove takes memberships out of box and destroys the emails that then are in no mailbox.
func (w *writer) remove(s *state, box *boxRecord, uids UIDSet, x *removal) error {
	gone := members{box: box.ID}
	var err error
	s.members[box.ID].each(uids, func(row *memberRow) {
		if err != nil || x.more || !x.all && !row.deleted {
			return
		}
		if len(gone.rows) == removeBatch {
			x.more = true
			return
		}
		email, chunk := s.emails.find(row.email)
		if email == nil {
			err = fmt.Errorf("uid %d has no email %d", row.uid, row.email)
			return
		}
		box.count(-1, email, row.deleted)
		gone.rows = append(gone.rows, *row)
		x.uids = append(x.uids, row.uid)
		if email.box == box.ID && (x.keep == nil || !x.keep(chunk, email)) {
			w.destroy(email)
		}
	})
	if err != nil || len(gone.rows) == 0 {
		return err
	}
	w.change.removed = append(w.change.removed, gone)
	w.touch(box)
	w.bury()
	return nil
}

// destroy removes an email; bury must follow.
func (w *writer) destroy(email *emailRow) {
	w.change.destroyed = append(w.change.destroyed, *email)
	w.head.usage.Used -= int64(email.size)
	w.head.usage.Emails--
}

// bury lists the destroyed emails for the sweep, which removes their content once no view can show
// them any more.
func (w *writer) bury() {
	if len(w.change.destroyed) == 0 {
		return
	}
	slices.SortFunc(w.change.destroyed, func(a, b emailRow) int { return int(int64(a.id) - int64(b.id)) })
	var ids emailSet
	for i := range w.change.destroyed {
		ids = ids.add(w.change.destroyed[i].id)
	}
	w.txn.Put(destroyedKey(w.account.store.now().Unix(), w.version()), appendEmailSet([]byte{1}, ids))
}

// Copied is the COPYUID of RFC 4315: From[i] became To[i].
type Copied struct {
	UIDValidity uint32 // of the destination
	From, To    []mail.UID
	ModSeq      mail.ModSeq
}

// Copy adds rows of src to dst, flags and INTERNALDATE kept. An email that dst holds already becomes a
// second email on the same content.
func (a *Account) Copy(ctx context.Context, src MailboxID, uids UIDSet, dst MailboxID) (Copied, error) {
	return a.transfer(ctx, src, uids, dst, false)
}

// Move is Copy, then Remove from src, in one commit (RFC 6851).
func (a *Account) Move(ctx context.Context, src MailboxID, uids UIDSet, dst MailboxID) (Copied, error) {
	return a.transfer(ctx, src, uids, dst, true)
}

// Bounds of one commit, so that its log entry fits a value. A Copy is atomic (RFC 9051 section 6.4.7)
// and refuses more; a Move goes on with the next commit.
const (
	maxCopy   = 500_000
	moveBatch = 200_000
)

func (a *Account) transfer(ctx context.Context, src MailboxID, uids UIDSet, dst MailboxID, move bool) (Copied, error) {
	var done Copied
	for more := true; more; {
		if _, err := a.at(ctx, src); err != nil { // loads rows outside of the transaction
			return done, err
		}
		var part Copied
		var told Refiled
		version, err := a.update(ctx, func(w *writer) (err error) {
			told = Refiled{Account: a.id}
			if part, more, err = w.copy(src, uids, dst, move, &told); err != nil || !move {
				return err
			}
			return w.moveOut(src, part.From, dst)
		})
		if err != nil {
			return done, err
		}
		a.store.tell(told)
		done = Copied{part.UIDValidity, append(done.From, part.From...), append(done.To, part.To...), version}
		if more {
			uids = uids.above(part.From[len(part.From)-1])
		}
	}
	return done, nil
}

// copy adds rows of src to dst: all of them, or the first of them to be moved.
func (w *writer) copy(src MailboxID, uids UIDSet, dst MailboxID, move bool, told *Refiled) (done Copied, more bool, err error) {
	from, err := w.selectable(src)
	if err != nil {
		return done, false, err
	}
	to, err := w.selectable(dst)
	if err != nil {
		return done, false, err
	}
	s, err := w.rows(src)
	if err != nil {
		return done, false, err
	}
	done.UIDValidity = to.UIDValidity
	told.From, told.To = from.Role, to.Role
	s.members[src].each(uids, func(row *memberRow) {
		switch {
		case err != nil || more:
			return
		case move && len(done.From) == moveBatch:
			more = true
			return
		case len(done.From) == maxCopy:
			err = fmt.Errorf("copy of more than %d messages at once: %w", maxCopy, ErrLimit)
			return
		}
		var uid mail.UID
		if uid, err = w.copyRow(s, row, to); err == nil {
			done.From, done.To = append(done.From, row.uid), append(done.To, uid)
			told.add(row.email)
		}
	})
	return done, more, err
}

func (w *writer) copyRow(s *state, row *memberRow, to *boxRecord) (mail.UID, error) {
	email, chunk := s.emails.find(row.email)
	if email == nil {
		return 0, fmt.Errorf("uid %d has no email %d", row.uid, row.email)
	}
	if chunk.in(email, to.ID) {
		second, err := w.secondEmail(email)
		if err != nil {
			return 0, err
		}
		email = second
	}
	member, err := w.join(to, email, row.deleted)
	return member.uid, err
}

// secondEmail makes another email on the content of one.
func (w *writer) secondEmail(first *emailRow) (*emailRow, error) {
	value, err := w.txn.Get(factsKey(first.id))
	if err != nil {
		return nil, fmt.Errorf("facts of email %d: %w", first.id, err)
	}
	value = slices.Clone(value)
	f, err := decodeFacts(first.id, value)
	if err != nil {
		return nil, err
	}
	if err := w.head.take(int64(first.size)); err != nil {
		return nil, err
	}
	row := *first
	row.id, row.box = w.newEmail(), 0
	if row.thread, err = joinThread(w.txn, row.id, f.threads); err != nil {
		return nil, err
	}
	w.txn.Put(factsKey(row.id), value)
	w.change.created = append(w.change.created, row)
	return &row, f.content.share(w.txn)
}

// moveOut takes what copy has put into dst out of src.
func (w *writer) moveOut(src MailboxID, uids []mail.UID, dst MailboxID) error {
	s, err := w.rows(src)
	if err != nil {
		return err
	}
	box, err := w.box(src)
	if err != nil {
		return err
	}
	var set UIDSet
	for _, uid := range uids {
		set = set.add(uid)
	}
	return w.remove(s, box, set, &removal{all: true, keep: func(c *emailChunk, row *emailRow) bool { return !c.in(row, dst) }})
}
