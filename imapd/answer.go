package imapd

import (
	"context"
	"errors"
	"fmt"

	"posthaste/blob"
	"posthaste/imap"
	"posthaste/kv"
	"posthaste/store"
)

// An answer is the tagged response that ends a command: OK, NO or BAD, a response code (RFC 9051
// section 7.1) without its brackets, or none, and text. Its zero value is a plain OK. As an error
// it says how a command failed.
type answer struct {
	status string
	code   string
	text   string
}

func (a *answer) Error() string { return a.status + " [" + a.code + "] " + a.text }

func no(code, text string, args ...any) *answer {
	return &answer{"NO", code, fmt.Sprintf(text, args...)}
}

func bad(text string, args ...any) *answer {
	return &answer{"BAD", "", fmt.Sprintf(text, args...)}
}

// errEnd ends a session whose client has been told all there is to say.
var errEnd = errors.New("imapd: session ended")

// A connError is a failure of the connection, after which nobody is there to answer.
type connError struct{ err error }

func (e connError) Error() string { return "imapd: connection: " + e.err.Error() }
func (e connError) Unwrap() error { return e.err }

// answerOf turns an error of a command into what the client is told. ok is false for errors that we
// did not expect, which an operator should see.
func answerOf(err error) (a answer, ok bool) {
	var known *answer
	var syntax *imap.SyntaxError
	switch {
	case errors.As(err, &known):
		return *known, true
	case errors.As(err, &syntax):
		return answer{"BAD", "", syntax.Text}, true
	}
	for _, c := range conditions {
		if errors.Is(err, c.err) {
			return answer{"NO", c.code, c.text}, true
		}
	}
	return answer{"NO", "UNAVAILABLE", "an internal error, try again later"}, false
}

// conditions are the errors of the store and their response codes (RFC 5530).
var conditions = []struct {
	err        error
	code, text string
}{
	{store.ErrNoMailbox, "NONEXISTENT", "no such mailbox"},
	{store.ErrMailboxExists, "ALREADYEXISTS", "a mailbox of that name or use exists"},
	{store.ErrMailboxName, "CANNOT", "no mailbox can have that name"},
	{store.ErrMailboxInUse, "CANNOT", "that mailbox has to stay"},
	{store.ErrQuota, "OVERQUOTA", "the account is over its quota"},
	{store.ErrKeyword, "LIMIT", "a keyword cannot be stored: it is too long, or there are too many"},
	{store.ErrLimit, "LIMIT", "a limit of the server is reached"},
	{store.ErrNoEmail, "EXPUNGEISSUED", "a message is gone"},
	{store.ErrNoAccount, "UNAVAILABLE", "the account has no mailboxes"},
	{kv.ErrFull, "UNAVAILABLE", "the server has no space left, try again later"},
	{blob.ErrFull, "UNAVAILABLE", "the server has no space left, try again later"},
	{context.Canceled, "UNAVAILABLE", "the server is shutting down"},
	{imap.ErrCharset, "BADCHARSET", "unknown character set"},
}
