package imapd

import (
	"context"
	"slices"
	"sort"
	"strconv"

	"posthaste/imap"
	"posthaste/mail"
	"posthaste/store"
)

// selected is the mailbox of a session as its client knows it: the rows of view, which are all there
// is now, and the ghosts, which are gone but whose EXPUNGE response has had to wait. A message number
// is the rank of its row among both, by UID.
type selected struct {
	id       store.MailboxID
	view     *store.View
	readOnly bool
	ghosts   []store.Row // by UID
	keywords int         // how many the client was told of in FLAGS
	saved    imap.Set    // UIDs of "$", the saved result of a search (RFC 5182)
	read     bool        // the trace knows that messages were read
}

// A span is the rows of a view from index from (included) to to (excluded).
type span struct{ from, to int }

// count returns how many messages the client knows of.
func (b *selected) count() int { return b.view.Len() + len(b.ghosts) }

// number returns the message number of row i, whose UID is uid.
func (b *selected) number(i int, uid mail.UID) int {
	if len(b.ghosts) == 0 {
		return i + 1
	}
	return i + 1 + b.ghostsBelow(uid)
}

func (b *selected) ghostsBelow(uid mail.UID) int {
	return sort.Search(len(b.ghosts), func(k int) bool { return b.ghosts[k].UID >= uid })
}

// ghostNumber returns the message number of ghost k.
func (b *selected) ghostNumber(k int) int {
	below, _ := b.view.Find(b.ghosts[k].UID)
	return below + k + 1
}

// maxUID returns the UID that "*" stands for, 0 when the mailbox is empty.
func (b *selected) maxUID() mail.UID {
	var uid mail.UID
	if n := b.view.Len(); n > 0 {
		uid = b.view.At(n - 1).UID
	}
	if n := len(b.ghosts); n > 0 {
		uid = max(uid, b.ghosts[n-1].UID)
	}
	return uid
}

// resolve returns set as numbers: of messages, or UIDs when byUID. "$" is always UIDs. It fails for
// a message number that the client was never told of.
func (b *selected) resolve(set imap.Set, byUID bool) (imap.Set, bool, error) {
	switch {
	case set.Saved:
		return b.saved, true, nil
	case byUID:
		return set.Resolve(uint32(b.maxUID())), true, nil
	}
	set = set.Resolve(uint32(b.count()))
	if set.Last() > uint32(b.count()) {
		return set, false, bad("there is no message %d", set.Last())
	}
	return set, false, nil
}

// spans returns the rows that set names, ascending, and the ghosts.
func (b *selected) spans(set imap.Set, byUID bool) (rows []span, ghosts []int, err error) {
	set, byUID, err = b.resolve(set, byUID)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range set.Ranges {
		var s span
		if byUID {
			s.from, _ = b.view.Find(mail.UID(r.First))
			s.to = b.view.Len()
			if r.Last != imap.Star {
				s.to, _ = b.view.Find(mail.UID(r.Last) + 1)
			}
		} else {
			s.from, s.to = b.firstFrom(int(r.First)), b.firstFrom(int(r.Last)+1)
		}
		if s.from < s.to {
			rows = append(rows, s)
		}
	}
	for k, row := range b.ghosts {
		n := uint32(row.UID)
		if !byUID {
			n = uint32(b.ghostNumber(k))
		}
		if set.Contains(n) {
			ghosts = append(ghosts, k)
		}
	}
	return rows, ghosts, nil
}

// firstFrom returns the index of the first row with message number n or above.
func (b *selected) firstFrom(n int) int {
	if len(b.ghosts) == 0 {
		return min(n-1, b.view.Len())
	}
	return sort.Search(b.view.Len(), func(i int) bool { return b.number(i, b.view.At(i).UID) >= n })
}

// uids returns the UIDs of rows.
func (b *selected) uids(rows []span) store.UIDSet {
	set := make(store.UIDSet, 0, len(rows))
	for _, s := range rows {
		set = append(set, store.UIDRange{First: b.view.At(s.from).UID, Last: b.view.At(s.to - 1).UID})
	}
	return set
}

// advance moves the session to the newest view and tells the client what changed, except the flags
// of rows that the session itself changed at version own. Expunges wait unless expunge.
func (s *session) advance(ctx context.Context, expunge bool, own mail.ModSeq) error {
	b := s.box
	view, err := s.account.View(ctx, b.id)
	if err != nil {
		s.say("* BYE the selected mailbox is gone or cannot be read\r\n")
		s.log.Warn("imapd: the selected mailbox cannot be read", "mailbox", b.id, "err", err)
		return errEnd
	}
	before := b.count()
	var diff store.Diff
	if view != b.view {
		diff = view.Diff(b.view)
		b.haunt(diff.Expunged)
		b.view = view
	}
	if expunge && len(b.ghosts) > 0 {
		before -= len(b.ghosts)
		s.tellExpunges()
	}
	if b.count() != before {
		s.say("* " + strconv.Itoa(b.count()) + " EXISTS\r\n")
	}
	if len(view.KeywordNames()) != b.keywords {
		s.tellKeywords()
	}
	s.tellFlags(diff.Changed, own)
	return nil
}

// haunt makes ghosts of the rows of the present view that will be gone in the next.
func (b *selected) haunt(expunged []mail.UID) {
	for _, uid := range expunged {
		if i, ok := b.view.Find(uid); ok {
			b.ghosts = append(b.ghosts, b.view.At(i))
		}
	}
	slices.SortFunc(b.ghosts, func(x, y store.Row) int { return int(x.UID) - int(y.UID) })
}

// tellExpunges tells the client of all ghosts, which then are no more. Each number counts the
// messages that are left when its line is read.
func (s *session) tellExpunges() {
	for _, ghost := range s.box.ghosts {
		below, _ := s.box.view.Find(ghost.UID)
		s.say("* " + strconv.Itoa(below+1) + " EXPUNGE\r\n")
	}
	s.box.ghosts = nil
}

// tellFlags prints FETCH responses with the flags of rows.
func (s *session) tellFlags(rows []int, own mail.ModSeq) {
	var line []byte
	for _, i := range rows {
		row := s.box.view.At(i)
		if own != 0 && row.ModSeq == own {
			continue
		}
		line = s.appendFlagsLine(line[:0], i, row)
		s.conn.Write(line)
	}
}

func (s *session) appendFlagsLine(line []byte, i int, row store.Row) []byte {
	line = s.appendFetchHead(line, s.box.number(i, row.UID))
	line = append(line, "UID "...)
	line = strconv.AppendUint(line, uint64(row.UID), 10)
	line = append(line, " FLAGS "...)
	line = appendRowFlags(line, s.box.view, row)
	if s.condstore {
		line = appendModSeq(append(line, ' '), row.ModSeq)
	}
	return append(line, ")\r\n"...)
}

func (s *session) appendFetchHead(line []byte, number int) []byte {
	line = append(line, "* "...)
	line = strconv.AppendInt(line, int64(number), 10)
	return append(line, " FETCH ("...)
}

func appendModSeq(line []byte, modSeq mail.ModSeq) []byte {
	line = append(line, "MODSEQ ("...)
	line = strconv.AppendUint(line, uint64(modSeq), 10)
	return append(line, ')')
}

func appendRowFlags(line []byte, view *store.View, row store.Row) []byte {
	line = append(line, '(')
	start := len(line)
	if row.Deleted {
		line = append(line, `\Deleted `...)
	}
	for name := range view.Names(row.Keywords) {
		line = append(line, name...)
		line = append(line, ' ')
	}
	if len(line) > start {
		line = line[:len(line)-1]
	}
	return append(line, ')')
}

// useCondstore has FETCH responses carry MODSEQ from now on (RFC 7162 section 3.1.2).
func (s *session) useCondstore() {
	if s.condstore {
		return
	}
	s.condstore = true
	if s.box != nil {
		s.say("* OK [HIGHESTMODSEQ " + strconv.FormatUint(uint64(max(s.box.view.Mailbox().HighestModSeq, 1)), 10) + "] CONDSTORE is on\r\n")
	}
}

// tellKeywords prints FLAGS and PERMANENTFLAGS.
func (s *session) tellKeywords() {
	names := s.box.view.KeywordNames()
	s.box.keywords = len(names)
	flags := append([]string{`\Deleted`}, names...)
	line := append([]byte(nil), "* FLAGS "...)
	line = imap.AppendFlags(line, flags)
	line = append(line, "\r\n* OK [PERMANENTFLAGS "...)
	switch {
	case s.box.readOnly:
		flags = nil
	case len(names) < store.MaxKeywords:
		flags = append(flags, `\*`)
	}
	line = imap.AppendFlags(line, flags)
	s.conn.Write(append(line, "] flags that are kept\r\n"...))
}
