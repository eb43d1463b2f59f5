// Package imap is the grammar of IMAP4rev1 (RFC 3501) and IMAP4rev2 (RFC 9051) with the extensions
// that package imapd offers: it parses commands and prints responses.
//
// [Parse] turns the bytes of one command, literals included, into a [Command] with typed arguments.
// The Append functions print onto a byte slice, so that a large response costs no allocation per
// message; [AppendEnvelope] and [AppendBodyStructure] print once, at delivery, what the store keeps.
//
// The package does no I/O and knows no mailboxes. Every parser is bounded by the length of its
// input, which the caller limits, and by the constants below.
package imap

import "errors"

// Bounds of the parser, beside the length of a command, which the caller limits.
const (
	MaxTag         = 128  // bytes of a tag
	MaxSearchDepth = 16   // nesting of search keys: parentheses, OR and NOT
	MaxSearchKeys  = 1000 // search keys in one command
	MaxFetchItems  = 200  // data items in one FETCH
	MaxSections    = 100  // part numbers in one section
	MaxPatterns    = 100  // mailbox patterns in one LIST
	MaxPattern     = 1000 // bytes of them in all, which bounds the time of matching
)

// A SyntaxError says why the bytes of a command are none. It is answered with BAD.
type SyntaxError struct {
	Tag  string // of the command, empty when even that could not be read
	Text string // for people: what was expected
}

// Error returns the text.
func (e *SyntaxError) Error() string { return "imap: " + e.Text }

// ErrCharset means that a SEARCH names a character set that is not known: NO [BADCHARSET].
var ErrCharset = errors.New("imap: unknown character set")

// A Command is one command of a client.
type Command struct {
	Tag  string
	Name string // in upper case; "UID FETCH" and the like for commands that begin with UID
	Args any    // nil, or the type that stands beside the command's name in [Parse]
}
