package imapd

import (
	"context"
	"fmt"

	"posthaste/imap"
	"posthaste/store"
)

// selectMailbox answers SELECT and EXAMINE (RFC 9051 sections 6.3.2 and 6.3.3).
func (s *session) selectMailbox(ctx context.Context, cmd imap.Command) (answer, error) {
	args := cmd.Args.(*imap.Select)
	if s.box != nil { // also when this command fails
		s.box = nil
		s.say("* OK [CLOSED] the mailbox selected before\r\n")
	}
	mailbox, err := s.account.MailboxByName(ctx, args.Mailbox)
	if err != nil {
		return answer{}, err
	}
	if mailbox.NoSelect {
		return answer{}, no("NONEXISTENT", "that name only holds other mailboxes")
	}
	view, err := s.account.View(ctx, mailbox.ID)
	if err != nil {
		return answer{}, err
	}
	s.condstore = s.condstore || args.Condstore
	s.box = &selected{id: mailbox.ID, view: view, readOnly: cmd.Name == "EXAMINE"}
	s.tellMailbox()
	if s.box.readOnly {
		return answer{code: "READ-ONLY"}, nil
	}
	return answer{code: "READ-WRITE"}, nil
}

// tellMailbox prints what a client must know of the mailbox that it selected.
func (s *session) tellMailbox() {
	view := s.box.view
	mailbox := view.Mailbox()
	s.tellKeywords()
	s.say(fmt.Sprintf("* %d EXISTS\r\n", view.Len()))
	if !s.rev2 {
		s.say("* 0 RECENT\r\n")
		if i := view.FirstUnseen(); i < view.Len() {
			s.say(fmt.Sprintf("* OK [UNSEEN %d] first unseen message\r\n", i+1))
		}
	}
	s.say(fmt.Sprintf("* OK [UIDVALIDITY %d] UIDs valid\r\n* OK [UIDNEXT %d] next UID\r\n* OK [HIGHESTMODSEQ %d] latest change\r\n",
		mailbox.UIDValidity, mailbox.UIDNext, max(mailbox.HighestModSeq, 1)))
	if s.rev2 {
		line := append([]byte(nil), `* LIST () "/" `...)
		line = imap.AppendMailbox(line, mailbox.Name, s.utf8)
		s.conn.Write(append(line, "\r\n"...))
	}
}

// closeMailbox answers CLOSE: expunge without telling, then unselect (RFC 9051 section 6.4.1).
func (s *session) closeMailbox(ctx context.Context, cmd imap.Command) (answer, error) {
	box := s.box
	s.box = nil
	if box.readOnly {
		return answer{}, nil
	}
	_, err := s.account.Expunge(ctx, box.id, store.AllUIDs())
	return answer{}, err
}

// unselect answers UNSELECT (RFC 9051 section 6.4.2).
func (s *session) unselect(context.Context, imap.Command) (answer, error) {
	s.box = nil
	return answer{}, nil
}

// expunge answers EXPUNGE and UID EXPUNGE. The client hears of it when the session advances.
func (s *session) expunge(ctx context.Context, cmd imap.Command) (answer, error) {
	if s.box.readOnly {
		return answer{}, errReadOnly
	}
	uids := store.AllUIDs()
	if set, ok := cmd.Args.(imap.Set); ok {
		rows, _, err := s.box.spans(set, true)
		if err != nil || len(rows) == 0 {
			return answer{}, err
		}
		uids = s.box.uids(rows)
	}
	_, err := s.account.Expunge(ctx, s.box.id, uids)
	return answer{}, err
}

var errReadOnly = no("READ-ONLY", "the mailbox was opened with EXAMINE")
