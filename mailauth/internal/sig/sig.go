// Package sig is what all signatures of mail by domains have in common: tag lists, canonical forms,
// hashes of header and body, key records and their look-up (RFC 6376, RFC 8301, RFC 8463). Packages
// dkim and arc say what a signature means.
//
// Everything works on content in memory. However many signatures a message has, its body is read once
// ([HashBodies]), each name is asked for once ([Keys.Fetch]), and each bound below holds.
//
// Lines may end in LF alone: both canonical forms take that for the CRLF that it was on the wire.
package sig

import (
	"crypto"
	"errors"
)

// Bounds on what strangers send.
const (
	MaxTags    = 64      // of one tag list
	MaxValue   = 1 << 16 // bytes of a field that is a tag list, and of a key record
	MaxNames   = 512     // in one h= tag
	MinRSABits = 1024    // RFC 8301 section 3.2
	MaxRSABits = 8192    // what is longer costs more than any sender needs
)

// The algorithms of RFC 8301 and RFC 8463. rsa-sha1 is not one any more.
const (
	RSA     = "rsa-sha256"
	Ed25519 = "ed25519-sha256"
)

// ErrMismatch tells that a signature was not made with that key over that hash.
var ErrMismatch = errors.New("the signature does not fit")

// Algorithm returns the name of what key signs with, or "".
func Algorithm(key crypto.PublicKey) string {
	switch keyType(key) {
	case "rsa":
		return RSA
	case "ed25519":
		return Ed25519
	}
	return ""
}
