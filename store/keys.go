package store

import (
	"encoding/binary"

	"posthaste/blob"
	"posthaste/kv"
	"posthaste/mail"
)

// The first byte of every key of an account's partition. docs/formats/store.md describes the values.
const (
	keyHead         = 'A' // the account: quota, use, next IDs
	keyMailbox      = 'B' // mailbox(4)
	keyEmails       = 'C' // chunk(8): rows of emails
	keyDestroyed    = 'D' // Unix seconds(8) version(8): emails whose content goes when retention ends
	keyDelivery     = 'I' // delivery ID
	keyKeywords     = 'K' // names of custom keywords
	keyLog          = 'L' // version(8)
	keyFacts        = 'M' // email(8)
	keySubscription = 'N' // mailbox name
	keyProgress     = 'P' // how far the background work is
	keyReference    = 'R' // 'b' body(8), or 's' blob name: emails that share it
	keyThread       = 'T' // hash of Message-ID and subject(8)
	keyMembers      = 'U' // mailbox(4) chunk(4): rows of memberships
)

const partitionPrefix = "account/"

// queuePrefix begins the partitions of the queue, which refers to blobs too, by 'R' and their name.
const queuePrefix = "queue/"

// quarantinePrefix begins those of the quarantine, which does as the queue.
const quarantinePrefix = "quarantine/"

func partitionOf(id mail.AccountID) kv.Partition { return kv.Partition(partitionPrefix + id.String()) }

func key64(first byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{first}, n)
}

func mailboxKey(id MailboxID) []byte {
	return binary.BigEndian.AppendUint32([]byte{keyMailbox}, uint32(id))
}

func membersPrefix(box MailboxID) []byte {
	return binary.BigEndian.AppendUint32([]byte{keyMembers}, uint32(box))
}

func membersKey(box MailboxID, chunk uint64) []byte {
	return binary.BigEndian.AppendUint32(membersPrefix(box), uint32(chunk))
}

func memberChunkNumber(key []byte) uint64 { return uint64(binary.BigEndian.Uint32(key[5:])) }
func emailChunkNumber(key []byte) uint64  { return binary.BigEndian.Uint64(key[1:]) }

func emailsKey(chunk uint64) []byte { return key64(keyEmails, chunk) }
func logKey(v mail.ModSeq) []byte   { return key64(keyLog, uint64(v)) }
func factsKey(id EmailID) []byte    { return key64(keyFacts, uint64(id)) }
func threadKey(hash uint64) []byte  { return key64(keyThread, hash) }
func bodyReferenceKey(id kv.BodyID) []byte {
	return append([]byte{keyReference}, key64('b', uint64(id))...)
}

func blobReferenceKey(name blob.Name) []byte {
	return append([]byte{keyReference, 's'}, name...)
}

func destroyedKey(unix int64, v mail.ModSeq) []byte {
	return binary.BigEndian.AppendUint64(key64(keyDestroyed, uint64(unix)), uint64(v))
}

func subscriptionKey(name string) []byte { return append([]byte{keySubscription}, name...) }
