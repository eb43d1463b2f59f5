package imapd

import (
	"context"

	"posthaste/imap"
	"posthaste/mail"
	"posthaste/store"
)

// store answers STORE and UID STORE (RFC 9051 section 6.4.6, RFC 7162 section 3.1.3).
func (s *session) store(ctx context.Context, cmd imap.Command) (answer, error) {
	args := cmd.Args.(*imap.Store)
	byUID := cmd.Name == "UID STORE"
	if s.box.readOnly {
		return answer{}, errReadOnly
	}
	rows, ghosts, err := s.box.spans(args.Set, byUID)
	if err != nil {
		return answer{}, err
	}
	if args.Conditional {
		s.useCondstore()
	}
	result := store.FlagResult{}
	uids := s.box.uids(rows)
	if len(rows) > 0 {
		result, err = s.account.SetFlags(ctx, s.box.id, store.FlagChange{UIDs: uids, Op: flagOp(args.Op), Flags: args.Flags,
			Conditional: args.Conditional, UnchangedSince: mail.ModSeq(args.UnchangedSince)})
		if err != nil {
			return answer{}, err
		}
	}
	own := mail.ModSeq(0)
	if len(result.Changed) > 0 {
		own = result.ModSeq
	}
	if err := s.advance(ctx, false, own); err != nil {
		return answer{}, err
	}
	switch {
	case !args.Silent:
		s.tellStored(uids)
	case s.condstore: // RFC 7162 section 3.1.3: also .SILENT tells the new MODSEQ
		s.tellChanged(result.Changed)
	}
	switch {
	case len(result.Modified) > 0:
		return answer{code: "MODIFIED " + s.modified(result.Modified, byUID), text: "some messages have changed since"}, nil
	case len(ghosts) > 0 && !byUID:
		return answer{}, errGone
	}
	return answer{}, nil
}

func flagOp(op byte) store.FlagOp {
	switch op {
	case '+':
		return store.AddFlags
	case '-':
		return store.RemoveFlags
	}
	return store.ReplaceFlags
}

// tellStored prints the flags of all of uids.
func (s *session) tellStored(uids store.UIDSet) {
	var line []byte
	for _, r := range uids {
		from, _ := s.box.view.Find(r.First)
		for i, row := range s.box.view.Rows(from, s.box.view.Len()) {
			if row.UID > r.Last {
				break
			}
			line = s.appendFlagsLine(line[:0], i, row)
			s.conn.Write(line)
		}
	}
}

// tellChanged prints UID and MODSEQ of uids.
func (s *session) tellChanged(uids []mail.UID) {
	var line []byte
	for _, uid := range uids {
		i, ok := s.box.view.Find(uid)
		if !ok {
			continue
		}
		row := s.box.view.At(i)
		line = s.appendFetchHead(line[:0], s.box.number(i, uid))
		line = appendUIDItem(line, uid)
		line = appendModSeq(append(line, ' '), row.ModSeq)
		s.conn.Write(append(line, ")\r\n"...))
	}
}

// modified prints the messages that a conditional STORE left alone, in the client's kind of number.
func (s *session) modified(uids []mail.UID, byUID bool) string {
	var set imap.Set
	for _, uid := range uids {
		n := uint32(uid)
		if !byUID {
			i, ok := s.box.view.Find(uid)
			if !ok {
				continue
			}
			n = uint32(s.box.number(i, uid))
		}
		set.Add(n)
	}
	return string(imap.AppendSet(nil, set))
}
