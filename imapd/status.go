package imapd

import (
	"context"
	"strconv"

	"posthaste/imap"
	"posthaste/store"
)

// status answers STATUS (RFC 9051 section 6.3.11).
func (s *session) status(ctx context.Context, cmd imap.Command) (answer, error) {
	args := cmd.Args.(*imap.Status)
	mailbox, err := s.account.MailboxByName(ctx, args.Mailbox)
	if err != nil {
		return answer{}, err
	}
	if mailbox.NoSelect {
		return answer{}, no("NONEXISTENT", "that name only holds other mailboxes")
	}
	line, err := s.appendStatus(nil, mailbox, args.Items)
	if err != nil {
		return answer{}, err
	}
	s.conn.Write(line)
	return answer{}, nil
}

// appendStatus prints a STATUS response.
func (s *session) appendStatus(line []byte, m store.Mailbox, items []string) ([]byte, error) {
	line = append(line, "* STATUS "...)
	line = imap.AppendMailbox(line, m.Name, s.utf8)
	line = append(line, " ("...)
	for i, item := range items {
		value, ok := s.statusItem(m, item)
		if !ok {
			return nil, bad("unknown status item %s", item)
		}
		if i > 0 {
			line = append(line, ' ')
		}
		line = append(line, item...)
		line = append(line, ' ')
		line = strconv.AppendUint(line, value, 10)
	}
	return append(line, ")\r\n"...), nil
}

func (s *session) statusItem(m store.Mailbox, item string) (value uint64, ok bool) {
	switch item {
	case "MESSAGES":
		return uint64(m.Emails), true
	case "UIDNEXT":
		return uint64(m.UIDNext), true
	case "UIDVALIDITY":
		return uint64(m.UIDValidity), true
	case "UNSEEN":
		return uint64(m.Unseen), true
	case "DELETED":
		return uint64(m.Deleted), true
	case "SIZE":
		return uint64(m.Size), true
	case "RECENT":
		return 0, true
	case "HIGHESTMODSEQ":
		s.useCondstore()
		return uint64(max(m.HighestModSeq, 1)), true
	case "APPENDLIMIT":
		return uint64(s.srv.cfg.MaxMessage), true
	}
	return 0, false
}
