package store

import "posthaste/mail"

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
