package store

import (
	"context"
	"errors"

	"posthaste/mail"
)

// A MailboxID names a mailbox within its account for ever. 0 is none, Inbox is INBOX.
type MailboxID uint32

// Inbox is the ID of every account's INBOX.
const Inbox MailboxID = 1

// A Role is a special use of a mailbox (RFC 6154, RFC 8621 section 2), without backslash, lower case:
// at most one mailbox of an account has a given role.
type Role string

// The roles.
const (
	RoleInbox   Role = "inbox"
	RoleDrafts  Role = "drafts"
	RoleSent    Role = "sent"
	RoleJunk    Role = "junk"
	RoleTrash   Role = "trash"
	RoleArchive Role = "archive"
	RoleAll     Role = "all"
	RoleFlagged Role = "flagged"
)

// A Mailbox is what IMAP lists (RFC 9051 section 5.1), as of one version.
type Mailbox struct {
	ID            MailboxID
	Parent        MailboxID // 0 at the top
	Name          string    // the whole path in NFC, "/" between levels; the first is "INBOX" for INBOX and below
	Role          Role      // "" for none
	Subscribed    bool
	NoSelect      bool // only a name that holds others (RFC 9051 section 6.3.5): nothing can be stored or selected
	UIDValidity   uint32
	UIDNext       mail.UID
	HighestModSeq mail.ModSeq // of the last change to it, expunges included (RFC 7162)
	Emails        uint32      // memberships, \Deleted ones included
	Unseen        uint32      // of Emails
	Deleted       uint32      // of Emails
	DeletedUnseen uint32      // of Emails: both \Deleted and not \Seen
	Size          int64       // bytes of Emails
}

// Mailboxes returns all mailboxes, INBOX first, then in order of name, parents before children.
func (a *Account) Mailboxes(ctx context.Context) ([]Mailbox, error) {
	return nil, errors.ErrUnsupported
}

// MailboxByName returns the mailbox of a name ("INBOX" in any case), or ErrNoMailbox. A NoSelect name
// is returned.
func (a *Account) MailboxByName(ctx context.Context, name string) (Mailbox, error) {
	return Mailbox{}, errors.ErrUnsupported
}

// MailboxByRole returns the mailbox with a role, or ErrNoMailbox.
func (a *Account) MailboxByRole(ctx context.Context, role Role) (Mailbox, error) {
	return Mailbox{}, errors.ErrUnsupported
}

// CreateMailbox makes a mailbox and those above it that are missing. Its UIDVALIDITY is higher than
// any the account ever had. A role that another mailbox has is ErrMailboxExists.
func (a *Account) CreateMailbox(ctx context.Context, name string, role Role) (Mailbox, error) {
	return Mailbox{}, errors.ErrUnsupported
}

// RenameMailbox gives a mailbox a new name; those below move along, subscriptions too. Renaming INBOX
// moves its mail to a new mailbox and leaves it empty (RFC 9051 section 6.3.6).
func (a *Account) RenameMailbox(ctx context.Context, id MailboxID, newName string) error {
	return errors.ErrUnsupported
}

// DeleteMailbox removes a mailbox and its memberships; emails that are in no other are destroyed. One
// that has others below it stays as a NoSelect name.
func (a *Account) DeleteMailbox(ctx context.Context, id MailboxID) error {
	return errors.ErrUnsupported
}

// Subscribe adds name to, or removes it from, the names the user wants to see. The name need not exist
// (RFC 9051 section 6.3.7).
func (a *Account) Subscribe(ctx context.Context, name string, on bool) error {
	return errors.ErrUnsupported
}

// Subscriptions returns the subscribed names in order, existing or not.
func (a *Account) Subscriptions(ctx context.Context) ([]string, error) {
	return nil, errors.ErrUnsupported
}
