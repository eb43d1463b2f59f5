package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"posthaste/blob/memblob"
	"posthaste/kv/memkv"
	"posthaste/mail"
)

// The model is the account as maps. The machine below does to both what rapid draws and compares all
// that a client can see.

type modelEmail struct {
	content  []byte
	keywords map[string]bool
}

type modelRow struct {
	uid     mail.UID
	email   *modelEmail
	deleted bool
}

type modelBox struct {
	name string
	rows []modelRow
	next mail.UID
}

type machine struct {
	kv       *memkv.Store
	blobs    *memblob.Store
	store    *Store
	account  *Account
	boxes    map[MailboxID]*modelBox
	views    map[MailboxID]*View // as some session saw them last
	highest  mail.ModSeq
	now      time.Time
	messages int
	validity uint32
	known    map[string]mail.UID // delivery IDs
}

func newMachine(t *rapid.T) *machine {
	m := &machine{kv: memkv.New(), blobs: memblob.New(), boxes: map[MailboxID]*modelBox{}, views: map[MailboxID]*View{},
		now: time.Unix(1_800_000_000, 0), known: map[string]mail.UID{}}
	m.open(t)
	if err := m.store.Create(context.Background(), 1, 0); err != nil {
		t.Fatal(err)
	}
	list, err := m.account.Mailboxes(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, box := range list {
		m.boxes[box.ID] = &modelBox{name: box.Name, next: 1}
		m.validity = max(m.validity, box.UIDValidity)
	}
	return m
}

// prefill brings IDs close to the end of a chunk.
func (m *machine) prefill(t *rapid.T) {
	const made, gone = chunkRows - 4, chunkRows - 8
	msg, raw := m.message(t)
	if _, err := m.account.Append(context.Background(), Inbox, slices.Repeat([]Append{{Message: msg, Received: m.now}}, made)); err != nil {
		t.Fatal(err)
	}
	if _, err := m.account.Remove(context.Background(), Inbox, UIDSet{{1, gone}}); err != nil {
		t.Fatal(err)
	}
	for i := range made {
		m.boxes[Inbox].add(&modelEmail{raw, map[string]bool{}}, false)
		if i < gone {
			m.boxes[Inbox].rows = m.boxes[Inbox].rows[:0]
		}
	}
}

func (m *machine) open(t *rapid.T) {
	s, err := New(Config{KV: m.kv, Blobs: m.blobs})
	if err != nil {
		t.Fatal(err)
	}
	s.now = func() time.Time { return m.now }
	m.store, m.account = s, s.Account(1)
	m.views = map[MailboxID]*View{}
}

func (m *machine) box(t *rapid.T, label string) (MailboxID, *modelBox) {
	id := rapid.SampledFrom(slices.Sorted(maps.Keys(m.boxes))).Draw(t, label)
	return id, m.boxes[id]
}

// uids draws a set of UIDs, some of which exist.
func (m *machine) uids(t *rapid.T, box *modelBox) UIDSet {
	if rapid.Bool().Draw(t, "all") {
		return AllUIDs()
	}
	first := rapid.Uint32Range(1, uint32(box.next)+1).Draw(t, "first")
	last := rapid.Uint32Range(first, uint32(box.next)+2).Draw(t, "last")
	return UIDSet{{mail.UID(first), mail.UID(last)}}
}

// modelBodies become bodies and, the last, a blob.
var modelBodies = []string{"", "x", "y", "z", strings.Repeat("long ", 2000), randomText(100_000)}

var modelFlags = []string{`\Seen`, `\Flagged`, `$Junk`, "custom", "Other"}

func (m *machine) flags(t *rapid.T) []string {
	return slices.Compact(slices.Sorted(slices.Values(rapid.SliceOfN(rapid.SampledFrom(modelFlags), 0, 3).Draw(t, "flags"))))
}

func flagMap(flags []string) map[string]bool {
	set := make(map[string]bool)
	for _, f := range flags {
		set[f] = true
	}
	return set
}

func (m *machine) message(t *rapid.T) (*Message, []byte) {
	m.messages++
	raw := content(fmt.Sprint("message ", m.messages), rapid.SampledFrom(modelBodies).Draw(t, "body"))
	msg, err := m.store.Prepare(context.Background(), raw)
	if err != nil {
		t.Fatal(err)
	}
	return msg, raw
}

func (m *machine) Deliver(t *rapid.T) {
	id, box := m.box(t, "box")
	msg, raw := m.message(t)
	flags := m.flags(t)
	prefix := []byte("Received: x\r\n")
	name := fmt.Sprint("delivery ", rapid.IntRange(0, 30).Draw(t, "id"))
	got, err := m.account.Deliver(context.Background(), Delivery{ID: name, Mailbox: id, Prefix: prefix, Message: msg, Received: m.now, Keywords: flags})
	if err != nil {
		t.Fatal(err)
	}
	if uid, known := m.known[name]; known {
		if !got.Repeated || got.UID != uid {
			t.Fatalf("repeat of %s stored again: %+v", name, got)
		}
		return
	}
	if got.Mailbox != id || got.Repeated || got.UID != box.next {
		t.Fatalf("delivered %+v, want mailbox %d uid %d", got, id, box.next)
	}
	m.known[name] = got.UID
	box.add(&modelEmail{append(prefix, raw...), flagMap(flags)}, false)
}

func (b *modelBox) add(e *modelEmail, deleted bool) mail.UID {
	b.rows = append(b.rows, modelRow{b.next, e, deleted})
	b.next++
	return b.next - 1
}

func (m *machine) Append(t *rapid.T) {
	id, box := m.box(t, "box")
	var list []Append
	for range rapid.IntRange(1, 3).Draw(t, "n") {
		msg, raw := m.message(t)
		flags := m.flags(t)
		deleted := rapid.Bool().Draw(t, "deleted")
		box.add(&modelEmail{raw, flagMap(flags)}, deleted)
		if deleted {
			flags = append(flags, `\Deleted`)
		}
		list = append(list, Append{Message: msg, Received: m.now, Keywords: flags})
	}
	if _, err := m.account.Append(context.Background(), id, list); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) SetFlags(t *rapid.T) {
	id, box := m.box(t, "box")
	c := FlagChange{UIDs: m.uids(t, box), Op: FlagOp(rapid.IntRange(0, 2).Draw(t, "op")), Flags: m.flags(t)}
	deleted := rapid.Bool().Draw(t, "deleted")
	if deleted {
		c.Flags = append(c.Flags, `\deleted`)
	}
	if rapid.Bool().Draw(t, "conditional") {
		c.Conditional = true
		c.UnchangedSince = mail.ModSeq(rapid.Uint64Range(0, uint64(m.highest)).Draw(t, "since"))
	}
	before := modSeqs(view2(t, m.account, id))
	got, err := m.account.SetFlags(context.Background(), id, c)
	if err != nil {
		t.Fatal(err)
	}
	var modified []mail.UID
	for i := range box.rows {
		row := &box.rows[i]
		if !c.UIDs.Contains(row.uid) {
			continue
		}
		if c.Conditional && before[row.uid] > c.UnchangedSince {
			modified = append(modified, row.uid)
			continue
		}
		row.set(c.Op, c.Flags, deleted)
	}
	if !slices.Equal(got.Modified, modified) {
		t.Fatalf("modified %v, want %v", got.Modified, modified)
	}
}

func (r *modelRow) set(op FlagOp, flags []string, deleted bool) {
	if op == ReplaceFlags {
		clear(r.email.keywords)
		r.deleted = deleted
	}
	if deleted {
		r.deleted = op != RemoveFlags
	}
	for _, f := range flags {
		if strings.EqualFold(f, `\deleted`) {
			continue
		}
		if op == RemoveFlags {
			delete(r.email.keywords, f)
		} else {
			r.email.keywords[f] = true
		}
	}
}

func modSeqs(v *View) map[mail.UID]mail.ModSeq {
	set := make(map[mail.UID]mail.ModSeq)
	for _, row := range v.Rows(0, v.Len()) {
		set[row.UID] = row.ModSeq
	}
	return set
}

func view2(t *rapid.T, a *Account, id MailboxID) *View {
	v, err := a.View(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (m *machine) Expunge(t *rapid.T) {
	id, box := m.box(t, "box")
	set := m.uids(t, box)
	all := rapid.Bool().Draw(t, "remove")
	var want []mail.UID
	box.rows = slices.DeleteFunc(box.rows, func(r modelRow) bool {
		gone := set.Contains(r.uid) && (all || r.deleted)
		if gone {
			want = append(want, r.uid)
		}
		return gone
	})
	do := m.account.Expunge
	if all {
		do = m.account.Remove
	}
	got, err := do(context.Background(), id, set)
	if err != nil || !slices.Equal(got.UIDs, want) {
		t.Fatalf("removed %v, %v; want %v", got.UIDs, err, want)
	}
}

func (m *machine) Transfer(t *rapid.T) {
	from, src := m.box(t, "src")
	to, dst := m.box(t, "dst")
	set := m.uids(t, src)
	move := rapid.Bool().Draw(t, "move")
	var want Copied
	for _, r := range slices.Clone(src.rows) {
		if !set.Contains(r.uid) {
			continue
		}
		e := r.email
		if slices.ContainsFunc(dst.rows, func(x modelRow) bool { return x.email == e }) {
			e = &modelEmail{e.content, maps.Clone(e.keywords)}
		}
		want.From = append(want.From, r.uid)
		want.To = append(want.To, dst.add(e, r.deleted))
	}
	do := m.account.Copy
	if move {
		do = m.account.Move
		src.rows = slices.DeleteFunc(src.rows, func(r modelRow) bool { return slices.Contains(want.From, r.uid) })
	}
	got, err := do(context.Background(), from, set, to)
	if err != nil || !slices.Equal(got.From, want.From) || !slices.Equal(got.To, want.To) {
		t.Fatalf("got %+v, %v; want %+v", got, err, want)
	}
}

func (m *machine) Mailbox(t *rapid.T) {
	name := rapid.SampledFrom([]string{"a", "a/b", "a/b/c", "d", "inbox/x"}).Draw(t, "name")
	box, err := m.account.MailboxByName(context.Background(), name)
	switch {
	case errors.Is(err, ErrNoMailbox) || err == nil && box.NoSelect:
		box, err = m.account.CreateMailbox(context.Background(), name, "")
		if err != nil {
			t.Fatal(err)
		}
		if box.UIDValidity <= m.validity {
			t.Fatalf("UIDVALIDITY %d of %s is not above %d", box.UIDValidity, name, m.validity)
		}
	case err != nil:
		t.Fatal(err)
	case rapid.Bool().Draw(t, "rename"):
		m.rename(t, box, rapid.SampledFrom([]string{"e", "e/f", "d/g"}).Draw(t, "new"))
	default:
		if err := m.account.DeleteMailbox(context.Background(), box.ID); err != nil {
			t.Fatal(err)
		}
		delete(m.boxes, box.ID)
	}
	m.adopt(t)
}

func (m *machine) rename(t *rapid.T, box Mailbox, to string) {
	err := m.account.RenameMailbox(context.Background(), box.ID, to)
	if errors.Is(err, ErrMailboxExists) || errors.Is(err, ErrMailboxName) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if now, err := m.account.MailboxByName(context.Background(), to); err != nil || now.ID != box.ID {
		t.Fatalf("renamed %s to %s: found %+v, %v", box.Name, to, now, err)
	}
}

// adopt takes mailboxes that the store made into the model, which must be empty and new.
func (m *machine) adopt(t *rapid.T) {
	list, err := m.account.Mailboxes(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, box := range list {
		if m.boxes[box.ID] == nil && !box.NoSelect {
			m.boxes[box.ID] = &modelBox{name: box.Name, next: 1}
		}
		m.validity = max(m.validity, box.UIDValidity)
	}
}

func (m *machine) RenameInbox(t *rapid.T) {
	name := rapid.SampledFrom([]string{"old", "older"}).Draw(t, "name")
	err := m.account.RenameMailbox(context.Background(), Inbox, name)
	if errors.Is(err, ErrMailboxExists) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	m.adopt(t)
	box, err := m.account.MailboxByName(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range m.boxes[Inbox].rows {
		m.boxes[box.ID].add(r.email, r.deleted)
	}
	m.boxes[Inbox].rows = nil
}

func (m *machine) Snapshot(t *rapid.T) {
	if err := m.account.snapshot(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) Sweep(t *rapid.T) {
	m.now = m.now.Add(2 * time.Hour)
	if err := m.store.Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) Forget(t *rapid.T) {
	m.account.forget() // sessions keep their views
}

func (m *machine) Crash(t *rapid.T) {
	m.kv = m.kv.Crash()
	m.open(t)
}

// Check compares all that a client can see.
func (m *machine) Check(t *rapid.T) {
	used, emails := int64(0), map[*modelEmail]bool{}
	for id, box := range m.boxes {
		v := view2(t, m.account, id)
		m.checkView(t, v, box)
		if old := m.views[id]; old != nil {
			checkDiff(t, old, v)
		}
		if rapid.Bool().Draw(t, "look") {
			m.views[id] = v
		}
		m.highest = max(m.highest, v.Mailbox().HighestModSeq)
		for _, r := range box.rows {
			if !emails[r.email] {
				emails[r.email] = true
				used += int64(len(r.email.content))
			}
		}
	}
	u, err := m.account.Quota(context.Background())
	if err != nil || u.Used != used || u.Emails != int64(len(emails)) {
		t.Fatalf("quota %+v, %v; want %d bytes of %d emails", u, err, used, len(emails))
	}
}

func (m *machine) checkView(t *rapid.T, v *View, box *modelBox) {
	want := Mailbox{}
	if v.Len() != len(box.rows) {
		t.Fatalf("%s has uids %v, want %d rows", box.name, uids(v), len(box.rows))
	}
	ids := make([]EmailID, 0, v.Len())
	contents := make(map[EmailID][]byte)
	for i, row := range v.Rows(0, v.Len()) {
		r := box.rows[i]
		ids = append(ids, row.Email)
		contents[row.Email] = r.email.content
		names := slices.Sorted(v.Names(row.Keywords))
		if row != v.At(i) || row.UID != r.uid || row.Deleted != r.deleted || row.Size != int64(len(r.email.content)) ||
			!slices.Equal(names, slices.Sorted(maps.Keys(r.email.keywords))) || row.ModSeq > v.Mailbox().HighestModSeq {
			t.Fatalf("%s row %d: %+v %v, want %+v %v (highest %d)", box.name, i, row, names, r, r.email.keywords, v.Mailbox().HighestModSeq)
		}
		want.Emails++
		want.Size += row.Size
		want.Unseen += one(!r.email.keywords[`\Seen`])
		want.Deleted += one(r.deleted)
		want.DeletedUnseen += one(r.deleted && !r.email.keywords[`\Seen`])
	}
	got := v.Mailbox()
	if got.Emails != want.Emails || got.Size != want.Size || got.Unseen != want.Unseen || got.Deleted != want.Deleted ||
		got.DeletedUnseen != want.DeletedUnseen || got.UIDNext != box.next {
		t.Fatalf("counts %+v, want %+v and UIDNEXT %d", got, want, box.next)
	}
	n := 0
	err := m.account.Contents(context.Background(), ids, func(id EmailID, content []byte) error {
		n++
		if !bytes.Equal(content, contents[id]) {
			return fmt.Errorf("email %d came back changed", id)
		}
		return nil
	})
	if err != nil || n != len(ids) {
		t.Fatalf("%d of %d contents, %v", n, len(ids), err)
	}
}

// checkDiff compares Diff with a comparison of all rows.
func checkDiff(t *rapid.T, old, v *View) {
	d := v.Diff(old)
	var want Diff
	was := make(map[mail.UID]Row)
	for _, r := range old.Rows(0, old.Len()) {
		was[r.UID] = r
		if _, ok := v.Find(r.UID); !ok {
			want.Expunged = append(want.Expunged, r.UID)
		}
	}
	want.Appended = v.Len()
	for i, r := range v.Rows(0, v.Len()) {
		before, ok := was[r.UID]
		if !ok {
			want.Appended = min(want.Appended, i)
		} else if before.ModSeq != r.ModSeq {
			want.Changed = append(want.Changed, i)
			if r.ModSeq < before.ModSeq {
				t.Fatalf("MODSEQ of %d fell from %d to %d", r.UID, before.ModSeq, r.ModSeq)
			}
		} else if before != r {
			t.Fatalf("row changed without MODSEQ: %+v, then %+v", before, r)
		}
	}
	if !slices.Equal(d.Expunged, want.Expunged) || !slices.Equal(d.Changed, want.Changed) || d.Appended != want.Appended {
		t.Fatalf("diff %+v, want %+v", d, want)
	}
	if cmp.Compare(v.Mailbox().HighestModSeq, old.Mailbox().HighestModSeq) < 0 {
		t.Fatal("HIGHESTMODSEQ fell")
	}
}

func TestAccountBehavesAsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		if rapid.Bool().Draw(t, "prefill") {
			m.prefill(t)
		}
		defer func() { m.store.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"Deliver": m.Deliver, "Append": m.Append, "Append2": m.Append, "SetFlags": m.SetFlags, "SetFlags2": m.SetFlags,
			"Expunge": m.Expunge, "Transfer": m.Transfer, "Transfer2": m.Transfer, "Mailbox": m.Mailbox, "RenameInbox": m.RenameInbox,
			"Snapshot": m.Snapshot, "Sweep": m.Sweep, "Forget": m.Forget, "Crash": m.Crash, "": m.Check,
		})
	})
}
