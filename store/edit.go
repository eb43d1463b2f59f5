package store

import (
	"maps"
	"slices"

	"posthaste/mail"
)

// An edit makes the next state from one, sharing every chunk that does not change. Chunks that are
// not loaded are left alone: they are read later, then brought up to date from the log.
type edit struct {
	token   *token // marks the chunks that are ours
	s       *state
	cloned  bool               // s.emails is ours
	boxes   map[MailboxID]bool // those of s.members that are ours
	missing map[uint64]bool    // chunks of emails that a loaded mailbox now points into
	touched map[MailboxID]bool // mailboxes whose record must be read again
}

// A token marks the chunks that an edit made, without keeping the edit alive.
type token struct{ _ byte }

func newEdit(from *state) *edit {
	next := *from
	next.members = make(map[MailboxID]memberTable, len(from.members)+1)
	maps.Copy(next.members, from.members)
	return &edit{token: new(token), s: &next, boxes: make(map[MailboxID]bool), missing: make(map[uint64]bool), touched: make(map[MailboxID]bool)}
}

// apply makes the change c, the one after the present version.
func (e *edit) apply(c *change) {
	e.s.version = c.version
	if len(c.keywords) > 0 {
		e.s.keywords = append(slices.Clip(e.s.keywords), c.keywords...)
	}
	for _, x := range c.subs {
		e.subscribe(x)
	}
	for _, id := range c.touched {
		e.touched[id] = true
	}
	for _, x := range c.boxes {
		if len(x.before) == 0 { // a new mailbox counts as loaded: all its rows are yet to come
			e.s.members[x.id] = nil
		}
	}
	e.create(c.created)
	for _, x := range c.added {
		e.add(x)
	}
	for _, x := range c.removed {
		e.remove(x)
	}
	for _, x := range c.marks {
		e.mark(x)
	}
	for _, x := range c.flips {
		e.flip(x)
	}
	e.destroy(c.destroyed)
	for _, x := range c.boxes {
		if len(x.after) == 0 {
			delete(e.s.members, x.id)
		}
	}
}

func (e *edit) subscribe(x subChange) {
	i, ok := slices.BinarySearch(e.s.subs, x.name)
	switch {
	case x.on && !ok:
		e.s.subs = slices.Insert(slices.Clone(e.s.subs), i, x.name)
	case !x.on && ok:
		e.s.subs = slices.Delete(slices.Clone(e.s.subs), i, i+1)
	}
}

// create adds rows of new emails, by ascending ID, to the chunks that are loaded and to new ones.
func (e *edit) create(rows []emailRow) {
	for len(rows) > 0 {
		n := emailChunkOf(rows[0].id)
		end := 1
		for end < len(rows) && emailChunkOf(rows[end].id) == n {
			end++
		}
		if c := e.chunk(n); c != nil {
			c.rows = append(c.rows, rows[:end]...)
		} else if rows[0].id == firstOf(n) {
			e.insert(&emailChunk{n: n, rows: slices.Clone(rows[:end]), edit: e.token})
		}
		rows = rows[end:]
	}
}

// firstOf returns the first email of chunk n. IDs have no gaps when they are made, so a chunk whose
// first email is new has no others.
func firstOf(n uint64) EmailID { return max(EmailID(n<<chunkBits), 1) }

// chunk returns chunk n of emails to be changed, or nil when it is not loaded.
func (e *edit) chunk(n uint64) *emailChunk {
	i, ok := e.s.emails.search(n)
	if !ok {
		return nil
	}
	c := e.s.emails[i]
	if c.edit == e.token {
		return c
	}
	e.own()
	c = &emailChunk{n: n, rows: append(make([]emailRow, 0, len(c.rows)+8), c.rows...), more: maps.Clone(c.more), edit: e.token}
	e.s.emails[i] = c
	return c
}

func (e *edit) own() {
	if !e.cloned {
		e.s.emails = append(make(emailTable, 0, len(e.s.emails)+4), e.s.emails...)
		e.cloned = true
	}
}

func (e *edit) insert(c *emailChunk) {
	e.own()
	i, ok := e.s.emails.search(c.n)
	if !ok {
		e.s.emails = slices.Insert(e.s.emails, i, c)
	}
}

// email calls fn with the row of id, to be changed, when it is loaded.
func (e *edit) email(id EmailID, fn func(c *emailChunk, row *emailRow)) {
	c := e.chunk(emailChunkOf(id))
	if c == nil {
		return
	}
	if row := c.find(id); row != nil {
		fn(c, row)
	}
}

// members returns the chunks of a mailbox to be changed; ok is false when they are not loaded.
func (e *edit) table(box MailboxID) (t memberTable, ok bool) {
	t, ok = e.s.members[box]
	if ok && !e.boxes[box] {
		t = append(make(memberTable, 0, len(t)+4), t...)
		e.s.members[box] = t
		e.boxes[box] = true
	}
	return t, ok
}

// member returns chunk i of a mailbox to be changed.
func (e *edit) member(t memberTable, i int) *memberChunk {
	c := t[i]
	if c.edit != e.token {
		c = &memberChunk{n: c.n, rows: append(make([]memberRow, 0, len(c.rows)+8), c.rows...), edit: e.token, low: c.low, high: c.high}
		t[i] = c
	}
	return c
}

func (e *edit) add(x members) {
	for i := range x.rows {
		e.email(x.rows[i].email, func(c *emailChunk, row *emailRow) { c.putIn(row, x.box) })
	}
	t, ok := e.table(x.box)
	if !ok {
		return
	}
	for rows := x.rows; len(rows) > 0; {
		n := memberChunkOf(rows[0].uid)
		end := 1
		for end < len(rows) && memberChunkOf(rows[end].uid) == n {
			end++
		}
		i, ok := t.search(n)
		if !ok {
			fresh := newMemberChunk(n)
			fresh.edit = e.token
			t = slices.Insert(t, i, fresh)
		}
		c := e.member(t, i)
		c.rows = append(c.rows, rows[:end]...) // UIDs only ascend
		c.pointTo(rows[:end])
		rows = rows[end:]
	}
	e.s.members[x.box] = t
	for i := range x.rows {
		if n := emailChunkOf(x.rows[i].email); e.s.emails.chunk(n) == nil {
			e.missing[n] = true
		}
	}
}

func (e *edit) remove(x members) {
	for i := range x.rows {
		e.email(x.rows[i].email, func(c *emailChunk, row *emailRow) { c.takeOut(row, x.box) })
	}
	t, ok := e.table(x.box)
	if !ok {
		return
	}
	empty := false
	for rows := x.rows; len(rows) > 0; {
		n := memberChunkOf(rows[0].uid)
		end := 1
		for end < len(rows) && memberChunkOf(rows[end].uid) == n {
			end++
		}
		if i, ok := t.search(n); ok {
			c := e.member(t, i)
			c.rows = without(c.rows, rows[:end], func(a, b *memberRow) bool { return a.uid < b.uid })
			empty = empty || len(c.rows) == 0
		}
		rows = rows[end:]
	}
	if empty {
		t = slices.DeleteFunc(t, func(c *memberChunk) bool { return len(c.rows) == 0 })
	}
	e.s.members[x.box] = t
}

// without removes from rows, in place, those of gone; both are in order of less.
func without[T any](rows, gone []T, less func(a, b *T) bool) []T {
	kept := rows[:0]
	for i := range rows {
		for len(gone) > 0 && less(&gone[0], &rows[i]) {
			gone = gone[1:]
		}
		if len(gone) > 0 && !less(&rows[i], &gone[0]) {
			continue
		}
		kept = append(kept, rows[i])
	}
	return kept
}

func (e *edit) mark(x mark) {
	t, ok := e.table(x.box)
	if !ok {
		return
	}
	for _, r := range x.uids {
		i, _ := t.search(memberChunkOf(r.First))
		for ; i < len(t) && t[i].n <= memberChunkOf(r.Last); i++ {
			c := e.member(t, i)
			j, _ := c.find(r.First)
			for ; j < len(c.rows) && c.rows[j].uid <= r.Last; j++ {
				c.rows[j].deleted, c.rows[j].modseq = x.on, e.s.version
			}
		}
	}
}

func (e *edit) flip(x flip) {
	for _, r := range x.emails {
		for n := emailChunkOf(r.first); n <= emailChunkOf(r.last); n++ {
			if c := e.chunk(n); c != nil {
				c.flip(r, x.after, e.s.version)
			}
		}
	}
}

// flip sets the keywords of the rows of r that are in c, which is being edited.
func (c *emailChunk) flip(r emailRange, after Keywords, version mail.ModSeq) {
	i, _ := slices.BinarySearchFunc(c.rows, r.first, func(row emailRow, id EmailID) int {
		return int(int64(row.id) - int64(id))
	})
	for ; i < len(c.rows) && c.rows[i].id <= r.last; i++ {
		c.rows[i].keywords, c.rows[i].modseq = after, version
	}
}

// destroy removes the rows of emails, by ascending ID. A chunk stays when it is empty: there may be
// more emails to come in it.
func (e *edit) destroy(gone []emailRow) {
	for len(gone) > 0 {
		n := emailChunkOf(gone[0].id)
		end := 1
		for end < len(gone) && emailChunkOf(gone[end].id) == n {
			end++
		}
		if c := e.chunk(n); c != nil {
			for i := range gone[:end] {
				delete(c.more, gone[i].id)
			}
			c.rows = without(c.rows, gone[:end], func(a, b *emailRow) bool { return a.id < b.id })
		}
		gone = gone[end:]
	}
}
