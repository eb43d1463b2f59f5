package imapd

import (
	"context"
	"strings"

	"posthaste/imap"
	"posthaste/store"
)

// specialUses are the mailbox attributes of RFC 6154 by role.
var specialUses = map[store.Role]string{
	store.RoleDrafts: `\Drafts`, store.RoleSent: `\Sent`, store.RoleJunk: `\Junk`, store.RoleTrash: `\Trash`,
	store.RoleArchive: `\Archive`, store.RoleAll: `\All`, store.RoleFlagged: `\Flagged`,
}

// create answers CREATE, with the special use of RFC 6154. A "/" at the end only says that others
// will come below (RFC 9051 section 6.3.4).
func (s *session) create(ctx context.Context, cmd imap.Command) (answer, error) {
	args := cmd.Args.(*imap.Create)
	var role store.Role
	if len(args.Use) > 0 {
		role = store.Role(strings.ToLower(strings.TrimPrefix(args.Use[0], `\`)))
		if _, ok := specialUses[role]; !ok || len(args.Use) > 1 {
			return answer{}, no("USEATTR", "a mailbox can have one use: Drafts, Sent, Junk, Trash, Archive, All or Flagged")
		}
	}
	_, err := s.account.CreateMailbox(ctx, strings.TrimSuffix(args.Mailbox, "/"), role)
	return answer{}, err
}

// delete answers DELETE.
func (s *session) delete(ctx context.Context, cmd imap.Command) (answer, error) {
	mailbox, err := s.account.MailboxByName(ctx, string(cmd.Args.(imap.Mailbox)))
	if err != nil {
		return answer{}, err
	}
	if err := s.account.DeleteMailbox(ctx, mailbox.ID); err != nil {
		return answer{}, err
	}
	if s.box != nil && s.box.id == mailbox.ID {
		s.box = nil
		s.say("* OK [CLOSED] the selected mailbox was deleted\r\n")
	}
	return answer{}, nil
}

// rename answers RENAME.
func (s *session) rename(ctx context.Context, cmd imap.Command) (answer, error) {
	args := cmd.Args.(*imap.Rename)
	mailbox, err := s.account.MailboxByName(ctx, args.From)
	if err != nil {
		return answer{}, err
	}
	return answer{}, s.account.RenameMailbox(ctx, mailbox.ID, strings.TrimSuffix(args.To, "/"))
}

// subscribe answers SUBSCRIBE and UNSUBSCRIBE.
func (s *session) subscribe(ctx context.Context, cmd imap.Command) (answer, error) {
	return answer{}, s.account.Subscribe(ctx, string(cmd.Args.(imap.Mailbox)), cmd.Name == "SUBSCRIBE")
}

// namespace answers NAMESPACE (RFC 2342): one personal namespace.
func (s *session) namespace(context.Context, imap.Command) (answer, error) {
	s.say("* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n")
	return answer{}, nil
}
