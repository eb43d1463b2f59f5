package store

import (
	"context"
	"errors"
	"iter"
	"time"

	"posthaste/mail"
)

// A Message is content that was parsed and packed once, ready to be stored any number of times in any
// account.
type Message struct{}

// Prepare parses and packs content, which must not change afterwards. It never refuses content for
// what it is. Large content is written as a blob first; a Message that is not stored within the grace
// time of blobs must be prepared again.
func (s *Store) Prepare(ctx context.Context, content []byte) (*Message, error) {
	return nil, errors.ErrUnsupported
}

// Size returns the bytes of the content.
func (m *Message) Size() int64 { return 0 }

// A Delivery is one message for one account.
type Delivery struct {
	ID       string    // delivery ID: a repeat within 7 days is a no-op; "" for none
	Mailbox  MailboxID // 0 for INBOX; one that is gone means INBOX
	Prefix   []byte    // header lines this system adds before the content, each ending in CRLF
	Message  *Message
	Received time.Time // INTERNALDATE
	Keywords []string  // names as IMAP flags
}

// Delivered says where a delivery went.
type Delivered struct {
	Mailbox     MailboxID
	UIDValidity uint32
	UID         mail.UID
	Email       EmailID
	ModSeq      mail.ModSeq
	Repeated    bool // the delivery ID was known: nothing was stored now
}

// Deliver stores one message in one commit. ErrQuota when it does not fit.
func (a *Account) Deliver(ctx context.Context, d Delivery) (Delivered, error) {
	return Delivered{}, errors.ErrUnsupported
}

// An Append is one message for a mailbox.
type Append struct {
	Message  *Message
	Received time.Time // INTERNALDATE; zero means now
	Keywords []string  // names as IMAP flags; \Deleted is one here
}

// Appended is the APPENDUID of RFC 4315: one UID for each message, ascending.
type Appended struct {
	UIDValidity uint32
	UIDs        []mail.UID
	ModSeq      mail.ModSeq
}

// Append stores messages in one commit: all or none (RFC 3502).
func (a *Account) Append(ctx context.Context, box MailboxID, messages []Append) (Appended, error) {
	return Appended{}, errors.ErrUnsupported
}

// Import stores messages many per commit, as fast as it can, and returns how many are durable, also
// with an error. An error of the sequence ends it.
func (a *Account) Import(ctx context.Context, box MailboxID, messages iter.Seq2[Append, error]) (int, error) {
	return 0, errors.ErrUnsupported
}
