package store

import (
	"context"
	"errors"

	"posthaste/mail"
)

// A UIDRange is the UIDs from First to Last, both included.
type UIDRange struct{ First, Last mail.UID }

// A UIDSet is UIDs in ascending ranges that do not touch. UIDs without row are passed over.
type UIDSet []UIDRange

// AllUIDs is every UID.
func AllUIDs() UIDSet { return UIDSet{{1, ^mail.UID(0)}} }

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
	return FlagResult{}, errors.ErrUnsupported
}

// Expunged is what an expunge did.
type Expunged struct {
	ModSeq mail.ModSeq // version of the commit; the version as it was when nothing was removed
	UIDs   []mail.UID  // ascending: the rows removed
}

// Expunge removes those of uids that have \Deleted (RFC 9051 section 6.4.9).
func (a *Account) Expunge(ctx context.Context, box MailboxID, uids UIDSet) (Expunged, error) {
	return Expunged{}, errors.ErrUnsupported
}

// Remove removes uids from the mailbox, with \Deleted or not (POP3 DELE, JMAP).
func (a *Account) Remove(ctx context.Context, box MailboxID, uids UIDSet) (Expunged, error) {
	return Expunged{}, errors.ErrUnsupported
}

// Copied is the COPYUID of RFC 4315: From[i] became To[i].
type Copied struct {
	UIDValidity uint32 // of the destination
	From, To    []mail.UID
	ModSeq      mail.ModSeq
}

// Copy adds rows of src to dst, keywords and INTERNALDATE kept. An email that dst holds already becomes
// a second email on the same content.
func (a *Account) Copy(ctx context.Context, src MailboxID, uids UIDSet, dst MailboxID) (Copied, error) {
	return Copied{}, errors.ErrUnsupported
}

// Move is Copy, then Remove from src, in one commit (RFC 6851).
func (a *Account) Move(ctx context.Context, src MailboxID, uids UIDSet, dst MailboxID) (Copied, error) {
	return Copied{}, errors.ErrUnsupported
}
