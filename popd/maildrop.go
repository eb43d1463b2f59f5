package popd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"posthaste/mail"
	"posthaste/pop3"
	"posthaste/store"
)

// A maildrop is the INBOX as it was at login, and what the session will have done with it. Message n
// is row n-1 of the view, all session long (RFC 1939 section 4).
type maildrop struct {
	account *store.Account
	view    *store.View
	deleted map[int]struct{} // rows marked by DELE
	seen    map[int]struct{} // rows that RETR sent
}

// size and uidl are what LIST and UIDL show of a message.
func (*maildrop) size(row store.Row) uint64 { return uint64(row.Size) }
func (*maildrop) uidl(row store.Row) uint64 { return uint64(row.Email) }

// row returns the row of message n, if there is one that is not deleted.
func (d *maildrop) row(n int) (store.Row, bool) {
	if n < 1 || n > d.view.Len() {
		return store.Row{}, false
	}
	if _, deleted := d.deleted[n-1]; deleted {
		return store.Row{}, false
	}
	return d.view.At(n - 1), true
}

// uids returns the UIDs of rows, but for those of without.
func (d *maildrop) uids(rows, without map[int]struct{}) store.UIDSet {
	uids := make([]mail.UID, 0, len(rows))
	for i := range rows {
		if _, ok := without[i]; !ok {
			uids = append(uids, d.view.At(i).UID)
		}
	}
	slices.Sort(uids)
	var set store.UIDSet
	for _, uid := range uids {
		if n := len(set); n > 0 && set[n-1].Last+1 == uid {
			set[n-1].Last = uid
			continue
		}
		set = append(set, store.UIDRange{First: uid, Last: uid})
	}
	return set
}

// message returns the row that the first argument of a command names, or answers that there is none.
func (se *session) message(n int) (store.Row, bool) {
	row, ok := se.drop.row(n)
	if !ok {
		se.err("", "no message %d", n)
	}
	return row, ok
}

// numbers returns the arguments of a command, or answers that they are wrong.
func (se *session) numbers(cmd pop3.Command, least, most int) ([]int, bool) {
	numbers, err := cmd.Numbers(least, most)
	if err != nil {
		se.err("", "%s", err)
	}
	return numbers, err == nil
}

func (se *session) stat() {
	count, size := se.drop.view.Len(), se.drop.view.Mailbox().Size
	for i := range se.drop.deleted {
		count--
		size -= se.drop.view.At(i).Size
	}
	se.ok("%d %d", count, size)
}

// list answers LIST or UIDL: one message, or all.
func (se *session) list(cmd pop3.Command, show func(*maildrop, store.Row) uint64) {
	numbers, ok := se.numbers(cmd, 0, 1)
	if !ok {
		return
	}
	if len(numbers) == 1 {
		if row, ok := se.message(numbers[0]); ok {
			se.ok("%d %d", numbers[0], show(se.drop, row))
		}
		return
	}
	se.ok("%d messages", se.drop.view.Len()-len(se.drop.deleted))
	var line []byte
	for i, row := range se.drop.view.Rows(0, se.drop.view.Len()) {
		if _, deleted := se.drop.deleted[i]; deleted {
			continue
		}
		line = strconv.AppendInt(line[:0], int64(i+1), 10)
		line = append(line, ' ')
		line = strconv.AppendUint(line, show(se.drop, row), 10)
		se.conn.Write(append(line, '\r', '\n'))
	}
	se.conn.WriteString(".\r\n")
}

func (se *session) retr(ctx context.Context, cmd pop3.Command) {
	numbers, ok := se.numbers(cmd, 1, 1)
	if !ok {
		return
	}
	if content, ok := se.content(ctx, cmd, numbers[0]); ok {
		se.drop.seen[numbers[0]-1] = struct{}{}
		se.ok("%d octets", len(content))
		pop3.WriteContent(se.conn, content) // an error shows again in the next flush
	}
}

func (se *session) top(ctx context.Context, cmd pop3.Command) {
	numbers, ok := se.numbers(cmd, 2, 2)
	if !ok {
		return
	}
	if content, ok := se.content(ctx, cmd, numbers[0]); ok {
		se.ok("top of message follows")
		pop3.WriteContent(se.conn, pop3.Top(content, numbers[1]))
	}
}

// content returns the bytes of message n, or answers why there are none.
func (se *session) content(ctx context.Context, cmd pop3.Command, n int) ([]byte, bool) {
	row, ok := se.message(n)
	if !ok {
		return nil, false
	}
	content, err := se.drop.account.Content(ctx, row.Email)
	switch {
	case errors.Is(err, store.ErrNoEmail):
		se.err("", "message %d was removed by another client", n)
	case err != nil:
		se.fault(cmd.Name, err)
	}
	return content, err == nil
}

func (se *session) dele(cmd pop3.Command) {
	numbers, ok := se.numbers(cmd, 1, 1)
	if !ok {
		return
	}
	if _, ok := se.message(numbers[0]); ok {
		se.drop.deleted[numbers[0]-1] = struct{}{}
		se.ok("message %d will be deleted", numbers[0])
	}
}

// quit ends the session; after login it does what the session was to do (the UPDATE state of RFC 1939
// section 6).
func (se *session) quit(ctx context.Context) {
	se.over = true
	if se.drop == nil {
		se.ok("goodbye")
		return
	}
	deleted, seen := len(se.drop.deleted), len(se.drop.seen)
	err := se.update(ctx)
	se.unlock()
	text := fmt.Sprintf("%s read %d and deleted %d messages by POP3", se.identity.Address, seen, deleted)
	se.record(err == nil, "QUIT", text)
	if err != nil {
		se.log.Error("command failed", "command", "QUIT", "account", se.identity.Account, "err", err)
		se.err(pop3.CodeSysTemp, "some deleted messages were not removed")
		return
	}
	se.log.Info("logout", "account", se.identity.Account, "read", seen, "deleted", deleted)
	se.ok("goodbye, %d messages deleted", deleted)
}

// update removes what DELE marked, then sets \Seen on what was read and stays.
func (se *session) update(ctx context.Context) error {
	d := se.drop
	if gone := d.uids(d.deleted, nil); len(gone) > 0 {
		if _, err := d.account.Remove(ctx, store.Inbox, gone); err != nil {
			return err
		}
	}
	read := d.uids(d.seen, d.deleted)
	if len(read) == 0 {
		return nil
	}
	_, err := d.account.SetFlags(ctx, store.Inbox, store.FlagChange{UIDs: read, Op: store.AddFlags, Flags: []string{`\Seen`}})
	return err
}
