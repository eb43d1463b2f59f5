package store

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sort"

	"posthaste/mail"
)

// An EmailID names an email within its account for ever; IDs ascend in order of arrival (RFC 8474).
type EmailID uint64

// A ThreadID names a thread: it is the EmailID of an email of it, mostly the first.
type ThreadID uint64

// View returns mailbox id at the newest durable version, or ErrNoMailbox. It is cheap when nothing
// changed in the mailbox, and then returns the same *View as before.
func (a *Account) View(ctx context.Context, id MailboxID) (*View, error) {
	s, err := a.at(ctx, id)
	if err != nil {
		return nil, err
	}
	box, err := s.box(id)
	if err != nil {
		return nil, err
	}
	if box.NoSelect {
		return nil, fmt.Errorf("store: %q only holds other mailboxes: %w", box.Name, ErrNoMailbox)
	}
	return a.viewOf(s, s.mailbox(box)), nil
}

// viewOf returns the one view of box at s, a new one only where the last shows something else.
func (a *Account) viewOf(s *state, box Mailbox) *View {
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.views[box.ID]
	table := s.members[box.ID]
	if old != nil && old.box == box && slices.Equal(old.members, table) && slices.Equal(old.keywords, s.keywords) {
		return old
	}
	v := &View{version: s.version, box: box, keywords: s.keywords, emails: s.emails, members: table}
	v.starts = make([]int, len(table)+1)
	for i, c := range table {
		v.starts[i+1] = v.starts[i] + len(c.rows)
	}
	if a.state == s { // else it is not the newest any more
		if a.views == nil {
			a.views = make(map[MailboxID]*View)
		}
		a.views[box.ID] = v
	}
	return v
}

// A View is an immutable picture of one mailbox at one version. Rows are in order of UID; a row's
// index plus 1 is its sequence number.
type View struct {
	version  mail.ModSeq
	box      Mailbox
	keywords keywordNames
	emails   emailTable
	members  memberTable
	starts   []int // the index of the first row of each chunk, and Len
}

// Version is a version of the account at which the mailbox was as the view shows it.
func (v *View) Version() mail.ModSeq { return v.version }

// Mailbox returns name, counts and UIDs as of the view.
func (v *View) Mailbox() Mailbox { return v.box }

// Len returns the number of rows.
func (v *View) Len() int { return v.starts[len(v.starts)-1] }

// At returns row i, 0 to Len()-1.
func (v *View) At(i int) Row {
	c := v.chunkAt(i)
	return v.row(&v.members[c].rows[i-v.starts[c]])
}

// chunkAt returns the index of the chunk that has row i.
func (v *View) chunkAt(i int) int {
	if c := i >> chunkBits; c < len(v.members) && v.starts[c] <= i && i < v.starts[c+1] {
		return c
	}
	return sort.SearchInts(v.starts, i+1) - 1
}

func (v *View) row(m *memberRow) Row {
	r := Row{UID: m.uid, Email: m.email, Saved: m.saved, ModSeq: m.modseq, Deleted: m.deleted}
	if e, _ := v.emails.find(m.email); e != nil {
		r.Thread, r.Size, r.Received, r.Keywords = e.thread, int64(e.size), e.received, e.keywords
		r.ModSeq = max(r.ModSeq, e.modseq)
	}
	return r
}

// UID returns the UID of row i, faster than At.
func (v *View) UID(i int) mail.UID {
	c := v.chunkAt(i)
	return v.members[c].rows[i-v.starts[c]].uid
}

// Find returns the index of uid; when there is none, ok is false and i is that of the next higher UID
// (Len() when there is none).
func (v *View) Find(uid mail.UID) (i int, ok bool) {
	c, ok := v.members.search(memberChunkOf(uid))
	if !ok {
		return v.starts[c], false
	}
	j, ok := v.members[c].find(uid)
	return v.starts[c] + j, ok
}

// Rows yields the rows from index from (included) to to (excluded), faster than At.
func (v *View) Rows(from, to int) iter.Seq2[int, Row] {
	return func(yield func(int, Row) bool) {
		if from >= to {
			return
		}
		for i, c := from, v.chunkAt(from); i < to; c++ {
			rows := v.members[c].rows
			for j := i - v.starts[c]; j < len(rows) && i < to; j++ {
				if !yield(i, v.row(&rows[j])) {
					return
				}
				i++
			}
		}
	}
}

// FirstUnseen returns the index of the first row without \Seen, or Len().
func (v *View) FirstUnseen() int {
	if v.box.Unseen == 0 {
		return v.Len()
	}
	for c, chunk := range v.members {
		for j := range chunk.rows {
			if e, _ := v.emails.find(chunk.rows[j].email); e != nil && !e.keywords.Seen() {
				return v.starts[c] + j
			}
		}
	}
	return v.Len()
}

// A Row is one membership with its email.
type Row struct {
	UID      mail.UID
	Email    EmailID
	Thread   ThreadID
	Size     int64 // RFC822.SIZE
	Received int64 // Unix seconds: INTERNALDATE
	Saved    int64 // Unix seconds: SAVEDATE (RFC 8514)
	ModSeq   mail.ModSeq
	Deleted  bool // \Deleted
	Keywords Keywords
}

// A Diff is how one view became another.
type Diff struct {
	Expunged []mail.UID // ascending: in the old view only
	Changed  []int      // ascending: index in the new view of rows whose flags changed
	Appended int        // index in the new view of the first row the old one lacks; Len() for none
}

// Diff tells what changed from old, an earlier view of the same mailbox. Parts that did not change
// are shared between views and cost nothing.
func (v *View) Diff(old *View) Diff {
	d := Diff{Appended: v.Len()}
	if v == old {
		return d
	}
	d.Appended, _ = v.Find(old.box.UIDNext)
	fresh := v.freshChunks(old)
	i, j := 0, 0
	for i < len(old.members) || j < len(v.members) {
		switch {
		case j == len(v.members) || i < len(old.members) && old.members[i].n < v.members[j].n:
			for k := range old.members[i].rows {
				d.Expunged = append(d.Expunged, old.members[i].rows[k].uid)
			}
			i++
		case i == len(old.members) || v.members[j].n < old.members[i].n:
			j++ // all of it is appended
		default:
			d.chunk(v, j, old.members[i], old.version, fresh)
			i++
			j++
		}
	}
	return d
}

// chunk adds the differences between chunk j of v and was, the same chunk in the older view.
func (d *Diff) chunk(v *View, j int, was *memberChunk, version mail.ModSeq, fresh []uint64) {
	is := v.members[j]
	if is != was {
		k := 0
		for i := range was.rows {
			for k < len(is.rows) && is.rows[k].uid < was.rows[i].uid {
				k++
			}
			if k == len(is.rows) || is.rows[k].uid != was.rows[i].uid {
				d.Expunged = append(d.Expunged, was.rows[i].uid)
			}
		}
	}
	if is == was && !touches(is, fresh) {
		return
	}
	for k := range is.rows {
		if i := v.starts[j] + k; i >= d.Appended {
			return
		} else if v.row(&is.rows[k]).ModSeq > version {
			d.Changed = append(d.Changed, i)
		}
	}
}

// freshChunks returns the numbers, ascending, of the chunks of emails that v does not share with old.
func (v *View) freshChunks(old *View) []uint64 {
	var fresh []uint64
	for _, c := range v.emails {
		if old.emails.chunk(c.n) != c {
			fresh = append(fresh, c.n)
		}
	}
	return fresh
}

// touches tells whether c may point into one of the chunks of emails.
func touches(c *memberChunk, emails []uint64) bool {
	i := sort.Search(len(emails), func(i int) bool { return emails[i] >= c.low })
	return i < len(emails) && emails[i] <= c.high
}
