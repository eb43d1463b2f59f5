// Package mail holds the nouns of Posthaste: addresses, envelopes, statuses and identifiers. Every
// other package speaks them. It knows no protocol, does no I/O and imports only the standard library.
//
// Grammar lives elsewhere: package smtp parses and prints addresses and commands, package message
// parses content.
package mail

import "strconv"

// An AccountID names an account for ever; it is never reused. 0 is no account.
type AccountID uint64

// String returns the decimal form that partitions and logs use.
func (id AccountID) String() string { return strconv.FormatUint(uint64(id), 10) }

// A UID names a membership of a mailbox (RFC 9051 section 2.3.1.1). 0 is no UID.
type UID uint32

// A ModSeq is the version of an account at which something last changed (RFC 7162). An account's
// version is its MODSEQ.
type ModSeq uint64
