package imapd

import (
	"context"
	"errors"
	"strconv"

	"posthaste/imap"
	"posthaste/mail"
	"posthaste/store"
)

// copy answers COPY, MOVE and their UID forms (RFC 9051 sections 6.4.7 and 6.4.8).
func (s *session) copy(ctx context.Context, cmd imap.Command) (answer, error) {
	args := cmd.Args.(*imap.Copy)
	moving := cmd.Name == "MOVE" || cmd.Name == "UID MOVE"
	byUID := cmd.Name == "UID COPY" || cmd.Name == "UID MOVE"
	if moving && s.box.readOnly {
		return answer{}, errReadOnly
	}
	rows, ghosts, err := s.box.spans(args.Set, byUID)
	if err != nil {
		return answer{}, err
	}
	destination, err := s.destination(ctx, args.Mailbox)
	if err != nil {
		return answer{}, err
	}
	if len(ghosts) > 0 && !byUID {
		return answer{}, errGone
	}
	if len(rows) == 0 {
		return answer{text: "nothing to do"}, nil
	}
	transfer := s.account.Copy
	if moving {
		transfer = s.account.Move
	}
	copied, err := transfer(ctx, s.box.id, s.box.uids(rows), destination)
	if err != nil || len(copied.From) == 0 {
		return answer{}, err
	}
	code := copyUID(copied)
	if moving { // RFC 6851 section 4.3: ahead of the EXPUNGE responses
		s.say("* OK [" + code + "] moved\r\n")
		return answer{}, nil
	}
	return answer{code: code}, nil
}

// errGone is the answer to a command on message numbers some of which are expunged by others (RFC
// 2180 section 4.4.2).
var errGone = no("EXPUNGEISSUED", "some of these messages are gone")

// copyUID prints the response code of RFC 4315 section 3.
func copyUID(c store.Copied) string {
	code := append([]byte(nil), "COPYUID "...)
	code = strconv.AppendUint(code, uint64(c.UIDValidity), 10)
	code = imap.AppendUIDs(append(code, ' '), c.From)
	code = imap.AppendUIDs(append(code, ' '), c.To)
	return string(code)
}

// appendUID prints the response code of APPEND.
func appendUID(uidValidity uint32, uids []mail.UID) string {
	code := append([]byte(nil), "APPENDUID "...)
	code = strconv.AppendUint(code, uint64(uidValidity), 10)
	return string(imap.AppendUIDs(append(code, ' '), uids))
}

// destination returns the mailbox that messages are to be put in. The client may create one that is
// missing and try again.
func (s *session) destination(ctx context.Context, name string) (store.MailboxID, error) {
	mailbox, err := s.account.MailboxByName(ctx, name)
	if errors.Is(err, store.ErrNoMailbox) || err == nil && mailbox.NoSelect {
		return 0, no("TRYCREATE", "no such mailbox")
	}
	return mailbox.ID, err
}
