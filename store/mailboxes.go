package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"posthaste/mail"
)

// Mailboxes returns all mailboxes, INBOX first, then in order of name, parents before children.
func (a *Account) Mailboxes(ctx context.Context) ([]Mailbox, error) {
	s, err := a.at(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Mailbox, 0, len(s.boxes))
	for i := range s.boxes {
		list = append(list, s.mailbox(&s.boxes[i]))
	}
	slices.SortFunc(list, func(a, b Mailbox) int { return compareNames(a.Name, b.Name) })
	return list, nil
}

// Mailbox returns the mailbox of an ID, or ErrNoMailbox.
func (a *Account) Mailbox(ctx context.Context, id MailboxID) (Mailbox, error) {
	s, err := a.at(ctx)
	if err != nil {
		return Mailbox{}, err
	}
	box, err := s.box(id)
	if err != nil {
		return Mailbox{}, err
	}
	return s.mailbox(box), nil
}

// MailboxByName returns the mailbox of a name ("INBOX" in any case), or ErrNoMailbox. A NoSelect name
// is returned.
func (a *Account) MailboxByName(ctx context.Context, name string) (Mailbox, error) {
	clean, err := cleanName(name)
	if err != nil {
		return Mailbox{}, fmt.Errorf("store: %.100q: %w", name, ErrNoMailbox) // no mailbox can have it
	}
	s, err := a.at(ctx)
	if err != nil {
		return Mailbox{}, err
	}
	box, ok := lookup(s.boxes, clean)
	if !ok {
		return Mailbox{}, fmt.Errorf("store: %q: %w", clean, ErrNoMailbox)
	}
	return s.mailbox(box), nil
}

// MailboxByRole returns the mailbox with a role, or ErrNoMailbox.
func (a *Account) MailboxByRole(ctx context.Context, role Role) (Mailbox, error) {
	s, err := a.at(ctx)
	if err != nil {
		return Mailbox{}, err
	}
	for i := range s.boxes {
		if s.boxes[i].Role == role && role != "" {
			return s.mailbox(&s.boxes[i]), nil
		}
	}
	return Mailbox{}, fmt.Errorf("store: role %q: %w", role, ErrNoMailbox)
}

// CreateMailbox makes a mailbox and those above it that are missing. Its UIDVALIDITY is higher than
// any the account ever had. A role that another mailbox has is ErrMailboxExists.
func (a *Account) CreateMailbox(ctx context.Context, name string, role Role) (Mailbox, error) {
	name, err := cleanName(name)
	if err != nil {
		return Mailbox{}, err
	}
	_, err = a.update(ctx, func(w *writer) error {
		boxes, err := readBoxes(w.txn)
		if err != nil {
			return err
		}
		for i := range boxes {
			if boxes[i].Role == role && role != "" {
				return fmt.Errorf("%q has role %q: %w", path(boxes, &boxes[i]), role, ErrMailboxExists)
			}
		}
		if old, ok := lookup(boxes, name); ok {
			return w.revive(old, role)
		}
		parent, leaf, err := w.makeParents(boxes, name)
		if err == nil {
			w.newBox(boxRecord{Parent: parent, Name: leaf, Role: role})
		}
		return err
	})
	if err != nil {
		return Mailbox{}, err
	}
	return a.MailboxByName(ctx, name)
}

// newBox makes a mailbox of a record with parent, name and role.
func (w *writer) newBox(box boxRecord) *boxRecord {
	box.ID = w.head.nextMailbox
	w.head.nextMailbox++
	w.renewUIDs(&box)
	w.boxes = append(w.boxes, &box)
	w.touch(&box)
	box.HighestModSeq = w.version()
	w.change.boxes = append(w.change.boxes, boxChange{id: box.ID, after: encodeBox(&box)})
	return &box
}

// renewUIDs starts the UIDs of an empty mailbox afresh. UIDVALIDITY follows the clock, so that it is
// higher than any that a lost version of this account gave (RFC 9051 section 2.3.1.1).
func (w *writer) renewUIDs(box *boxRecord) {
	w.head.uidValidity = max(w.head.uidValidity+1, uint32(w.account.store.now().Unix()))
	box.UIDValidity, box.UIDNext = w.head.uidValidity, 1
}

// revive makes a name that only held others a mailbox again.
func (w *writer) revive(old *boxRecord, role Role) error {
	if !old.NoSelect {
		return fmt.Errorf("%q: %w", old.Name, ErrMailboxExists)
	}
	box := *old
	w.boxes = append(w.boxes, &box)
	w.rewrite(&box, func() {
		box.NoSelect, box.Role = false, role
		w.renewUIDs(&box)
	})
	return nil
}

// rewrite changes what a record says beside its counts.
func (w *writer) rewrite(box *boxRecord, fn func()) {
	before := encodeBox(box)
	fn()
	box.HighestModSeq = w.version()
	w.change.boxes = append(w.change.boxes, boxChange{box.ID, before, encodeBox(box)})
	w.touch(box)
}

// makeParents makes the mailboxes above name that are missing (RFC 9051 section 6.3.4) and returns the
// parent of name and its last level.
func (w *writer) makeParents(boxes []boxRecord, name string) (parent MailboxID, leaf string, err error) {
	levels := strings.Split(name, separator)
	if len(boxes)+len(levels) > maxMailboxes {
		return 0, "", fmt.Errorf("%w: an account can have %d mailboxes", ErrLimit, maxMailboxes)
	}
	leaf = levels[len(levels)-1]
	missing := false
	for _, level := range levels[:len(levels)-1] {
		if !missing {
			if box := child(boxes, parent, level); box != nil {
				parent = box.ID
				continue
			}
			missing = true
		}
		parent = w.newBox(boxRecord{Parent: parent, Name: level}).ID
	}
	return parent, leaf, nil
}

// RenameMailbox gives a mailbox a new name; those below move along, subscriptions too. Renaming INBOX
// moves its mail to a new mailbox and leaves it empty (RFC 9051 section 6.3.6).
func (a *Account) RenameMailbox(ctx context.Context, id MailboxID, newName string) error {
	name, err := cleanName(newName)
	if err != nil {
		return err
	}
	if id == Inbox {
		return a.renameInbox(ctx, name)
	}
	_, err = a.update(ctx, func(w *writer) error {
		boxes, err := readBoxes(w.txn)
		if err != nil {
			return err
		}
		i, ok := findBox(boxes, id)
		if !ok {
			return fmt.Errorf("mailbox %d: %w", id, ErrNoMailbox)
		}
		old := path(boxes, &boxes[i])
		if _, taken := lookup(boxes, name); taken {
			return fmt.Errorf("%q: %w", name, ErrMailboxExists)
		}
		if strings.HasPrefix(name, old+separator) {
			return fmt.Errorf("%q is below %q: %w", name, old, ErrMailboxName)
		}
		parent, leaf, err := w.makeParents(boxes, name)
		if err != nil {
			return err
		}
		box := &boxes[i]
		w.boxes = append(w.boxes, box)
		above := box.Parent
		w.rewrite(box, func() { box.Parent, box.Name = parent, leaf })
		if err := w.dropParents(boxes, above, id); err != nil {
			return err
		}
		return w.moveSubscriptions(old, name)
	})
	return err
}

// moveSubscriptions renames old and all below it.
func (w *writer) moveSubscriptions(old, name string) error {
	names, err := readSubscriptions(w.txn)
	if err != nil {
		return err
	}
	for _, sub := range names {
		rest, ok := strings.CutPrefix(sub, old)
		if ok && (rest == "" || strings.HasPrefix(rest, separator)) {
			w.subscribe(sub, false)
			w.subscribe(name+rest, true)
		}
	}
	return nil
}

// renameInbox makes a mailbox called name and moves all mail of INBOX there.
func (a *Account) renameInbox(ctx context.Context, name string) error {
	box, err := a.CreateMailbox(ctx, name, "")
	if err != nil {
		return err
	}
	_, err = a.Move(ctx, Inbox, AllUIDs(), box.ID)
	return err
}

// DeleteMailbox removes a mailbox and its memberships; emails that are in no other are destroyed. One
// that has others below it stays as a NoSelect name.
func (a *Account) DeleteMailbox(ctx context.Context, id MailboxID) error {
	if id == Inbox {
		return fmt.Errorf("store: INBOX: %w", ErrMailboxInUse)
	}
	for more := true; more; {
		if _, err := a.at(ctx, id); err != nil {
			return err
		}
		_, err := a.update(ctx, func(w *writer) (err error) {
			more, err = w.deleteBox(id)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// deleteBox removes memberships of a mailbox, and itself with the last of them.
func (w *writer) deleteBox(id MailboxID) (more bool, err error) {
	s, err := w.rows(id)
	if err != nil {
		return false, err
	}
	box, err := w.box(id)
	if err != nil {
		return false, err
	}
	parent := hasChildren(s.boxes, id, 0)
	if box.NoSelect && parent {
		return false, fmt.Errorf("%q has mailboxes below it: %w", box.Name, ErrMailboxInUse)
	}
	gone := removal{all: true}
	if err := w.remove(s, box, AllUIDs(), &gone); err != nil || gone.more {
		return gone.more, err
	}
	if parent {
		w.rewrite(box, func() { box.NoSelect, box.Role = true, "" })
		return false, nil
	}
	w.dropBox(box)
	return false, w.dropParents(s.boxes, box.Parent, id)
}

// dropBox removes an empty mailbox.
func (w *writer) dropBox(box *boxRecord) {
	w.change.boxes = append(w.change.boxes, boxChange{id: box.ID, before: encodeBox(box)})
	w.touch(box)
	w.boxes = slices.DeleteFunc(w.boxes, func(b *boxRecord) bool { return b.ID == box.ID })
	w.txn.Delete(mailboxKey(box.ID))
	w.txn.DeleteRange(membersPrefix(box.ID), membersPrefix(box.ID+1))
}

// dropParents removes the NoSelect names from parent upwards that have lost their last child.
func (w *writer) dropParents(boxes []boxRecord, parent, gone MailboxID) error {
	for parent != 0 {
		i, ok := findBox(boxes, parent)
		if !ok || !boxes[i].NoSelect || hasChildren(boxes, parent, gone) {
			return nil
		}
		box := boxes[i]
		w.dropBox(&box)
		parent, gone = box.Parent, box.ID
	}
	return nil
}

// hasChildren tells whether there are mailboxes right below id, other than one that goes.
func hasChildren(boxes []boxRecord, id, gone MailboxID) bool {
	return slices.ContainsFunc(boxes, func(b boxRecord) bool { return b.Parent == id && b.ID != gone })
}

// nextUID takes a UID of box.
func (box *boxRecord) nextUID() (mail.UID, error) {
	if box.UIDNext == ^mail.UID(0) {
		return 0, fmt.Errorf("%q has used all UIDs: %w", box.Name, ErrLimit)
	}
	box.UIDNext++
	return box.UIDNext - 1, nil
}
