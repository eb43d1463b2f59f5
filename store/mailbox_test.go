package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"posthaste/kv/memkv"
)

func names(t *testing.T, a *Account) []string {
	t.Helper()
	list, err := a.Mailboxes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range list {
		if m.Role == "" {
			out = append(out, m.Name)
		}
		if m.NoSelect {
			out[len(out)-1] += "!"
		}
	}
	return out
}

func TestCleanName(t *testing.T) {
	for _, c := range []struct{ claim, name, want string }{
		{"INBOX is one name in any case", "inBox", "INBOX"},
		{"so is the first level of what is below it", "inbox/Inbox", "INBOX/Inbox"},
		{"but no other level", "a/inbox", "a/inbox"},
		{"a separator at the end is dropped", "a/b/", "a/b"},
		{"names are in NFC", "Entwu\u0308rfe", "Entw\u00fcrfe"},
		{"an empty level is refused", "a//b", ""},
		{"a leading separator is refused", "/a", ""},
		{"nothing is refused", "", ""},
		{"dots alone are refused", "../a", ""},
		{"control characters are refused", "a\x01b", ""},
		{"what is not UTF-8 is refused", "a\xff", ""},
		{"too long a name is refused", strings.Repeat("x", maxNameBytes+1), ""},
		{"too deep a name is refused", strings.Repeat("x/", maxNameLevels) + "x", ""},
		{"the longest name is taken", strings.Repeat("x", maxNameBytes), strings.Repeat("x", maxNameBytes)},
	} {
		got, err := cleanName(c.name)
		if got != c.want || (err != nil) != (c.want == "") || err != nil && !errors.Is(err, ErrMailboxName) {
			t.Errorf("%s: %q, %v", c.claim, got, err)
		}
	}
}

func TestCreateMakesWhatIsAbove(t *testing.T) {
	_, a := newStore(t)
	box, err := a.CreateMailbox(t.Context(), "a/b/c", RoleAll)
	if err != nil || box.Name != "a/b/c" || box.Role != RoleAll {
		t.Fatalf("%+v, %v", box, err)
	}
	if got := names(t, a); !slices.Equal(got, []string{"a", "a/b"}) {
		t.Errorf("above it are %v", got)
	}
	if _, err := a.CreateMailbox(t.Context(), "A/b", RoleAll); !errors.Is(err, ErrMailboxExists) {
		t.Errorf("a second mailbox of the role: %v, want ErrMailboxExists", err)
	}
	if _, err := a.CreateMailbox(t.Context(), "Inbox", ""); !errors.Is(err, ErrMailboxExists) {
		t.Errorf("a second INBOX: %v, want ErrMailboxExists", err)
	}
}

func TestDeleteKeepsWhatIsBelow(t *testing.T) {
	_, a := newStore(t)
	box, err := a.CreateMailbox(t.Context(), "a/b", "")
	if err != nil {
		t.Fatal(err)
	}
	top, err := a.MailboxByName(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.DeleteMailbox(t.Context(), top.ID); err != nil {
		t.Fatal(err)
	}
	if got := names(t, a); !slices.Equal(got, []string{"a!", "a/b"}) {
		t.Errorf("after deleting a: %v, want a as a name only", got)
	}
	if err := a.DeleteMailbox(t.Context(), top.ID); !errors.Is(err, ErrMailboxInUse) {
		t.Errorf("deleting it again: %v, want ErrMailboxInUse", err)
	}
	if _, err := a.View(t.Context(), top.ID); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("selecting it: %v, want ErrNoMailbox", err)
	}
	again, err := a.CreateMailbox(t.Context(), "a", "")
	if err != nil || again.ID != top.ID || again.UIDValidity <= top.UIDValidity {
		t.Errorf("made again as %+v, %v; want a new UIDVALIDITY", again, err)
	}
	if err := a.DeleteMailbox(t.Context(), top.ID); err != nil {
		t.Fatal(err)
	}
	if err := a.DeleteMailbox(t.Context(), box.ID); err != nil {
		t.Fatal(err)
	}
	if got := names(t, a); len(got) != 0 {
		t.Errorf("after deleting the last below it: %v, want nothing", got)
	}
	if err := a.DeleteMailbox(t.Context(), Inbox); !errors.Is(err, ErrMailboxInUse) {
		t.Errorf("deleting INBOX: %v, want ErrMailboxInUse", err)
	}
}

func TestRenameTakesWhatIsBelowAlong(t *testing.T) {
	_, a := newStore(t)
	if _, err := a.CreateMailbox(t.Context(), "a/b/c", ""); err != nil {
		t.Fatal(err)
	}
	if err := a.Subscribe(t.Context(), "a/b/c", true); err != nil {
		t.Fatal(err)
	}
	b, err := a.MailboxByName(t.Context(), "a/b")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.RenameMailbox(t.Context(), b.ID, "a/b/c/d"); !errors.Is(err, ErrMailboxName) {
		t.Errorf("renaming below itself: %v, want ErrMailboxName", err)
	}
	if err := a.RenameMailbox(t.Context(), b.ID, "x/y"); err != nil {
		t.Fatal(err)
	}
	if got := names(t, a); !slices.Equal(got, []string{"a", "x", "x/y", "x/y/c"}) {
		t.Errorf("got %v", got)
	}
	subs, err := a.Subscriptions(t.Context())
	if err != nil || !slices.Contains(subs, "x/y/c") || slices.Contains(subs, "a/b/c") {
		t.Errorf("subscriptions %v, %v", subs, err)
	}
}

func TestCreateSubscribesNothing(t *testing.T) {
	_, a := newStore(t)
	before, err := a.Subscriptions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.CreateMailbox(t.Context(), "a/b/c", ""); err != nil {
		t.Fatal(err)
	}
	if after, err := a.Subscriptions(t.Context()); err != nil || !slices.Equal(after, before) {
		t.Errorf("subscriptions %v, %v; want %v", after, err, before)
	}
}

func TestRenameInboxLeavesItEmpty(t *testing.T) {
	s, a := newStore(t)
	fill(t, s, a, 3)
	if err := a.RenameMailbox(t.Context(), Inbox, "old"); err != nil {
		t.Fatal(err)
	}
	old, err := a.MailboxByName(t.Context(), "old")
	if err != nil {
		t.Fatal(err)
	}
	if v := view(t, a, old.ID); v.Len() != 3 {
		t.Errorf("%d messages moved, want 3", v.Len())
	}
	if v := view(t, a, Inbox); v.Len() != 0 || v.Mailbox().UIDNext != 4 {
		t.Errorf("INBOX has %d messages and UIDNEXT %d", v.Len(), v.Mailbox().UIDNext)
	}
}

func TestSubscriptionsNeedNoMailbox(t *testing.T) {
	_, a := newStore(t)
	if err := a.Subscribe(t.Context(), "inbox/none", true); err != nil {
		t.Fatal(err)
	}
	subs, err := a.Subscriptions(t.Context())
	if err != nil || !slices.Contains(subs, "INBOX/none") {
		t.Errorf("%v, %v", subs, err)
	}
	if err := a.Subscribe(t.Context(), "INBOX", false); err != nil {
		t.Fatal(err)
	}
	if box, err := a.Mailbox(t.Context(), Inbox); err != nil || box.Subscribed {
		t.Errorf("%+v, %v; want it unsubscribed", box, err)
	}
}

func TestMailboxesAreBounded(t *testing.T) {
	_, a := newStore(t)
	if _, err := a.update(t.Context(), func(w *writer) error {
		for i := range maxMailboxes - len(firstMailboxes) {
			w.newBox(boxRecord{Name: fmt.Sprint("m", i)})
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.CreateMailbox(t.Context(), "one more", ""); !errors.Is(err, ErrLimit) {
		t.Errorf("got %v, want ErrLimit", err)
	}
}

func TestKeywordsAreBounded(t *testing.T) {
	s, a := newStore(t)
	fill(t, s, a, 1)
	var flags []string
	for i := range MaxKeywords - builtinKeywords {
		flags = append(flags, fmt.Sprint("k", i))
	}
	set := func(flags ...string) error {
		_, err := a.SetFlags(t.Context(), Inbox, FlagChange{UIDs: AllUIDs(), Flags: flags})
		return err
	}
	if err := set(flags...); err != nil {
		t.Fatal(err)
	}
	v := view(t, a, Inbox)
	if got := slices.Collect(v.Names(v.At(0).Keywords)); !slices.Equal(got, flags) {
		t.Errorf("got %v", got)
	}
	if err := set("K5"); err != nil || view(t, a, Inbox) != v {
		t.Errorf("a known keyword in another case: %v; want no change", err)
	}
	for _, bad := range []string{"more", "a b", "", "(", `\Custom`, strings.Repeat("x", maxKeywordBytes+1), "ü"} {
		if err := set(bad); !errors.Is(err, ErrKeyword) {
			t.Errorf("%.20q: %v, want ErrKeyword", bad, err)
		}
	}
}

func TestRefilingIntoAndOutOfJunkIsTold(t *testing.T) {
	var told []Refiled
	s, err := New(Config{KV: memkv.New(), Refiled: func(r Refiled) { told = append(told, r) }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Create(t.Context(), 7, 0); err != nil {
		t.Fatal(err)
	}
	a := s.Account(7)
	role := func(r Role) MailboxID {
		box, err := a.MailboxByRole(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return box.ID
	}
	m, err := s.Prepare(t.Context(), []byte("Subject: x\r\n\r\ny\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := a.Deliver(t.Context(), Delivery{Message: m, Role: RoleJunk}); err != nil || got.Mailbox != role(RoleJunk) {
		t.Fatalf("delivered to %v, %v, want the mailbox for junk", got.Mailbox, err)
	}
	move := func(from, to Role) {
		if _, err := a.Move(t.Context(), role(from), AllUIDs(), role(to)); err != nil {
			t.Fatal(err)
		}
	}
	move(RoleJunk, RoleInbox)
	move(RoleInbox, RoleArchive) // says nothing
	move(RoleArchive, RoleJunk)
	if len(told) != 2 || told[0].From != RoleJunk || told[0].To != RoleInbox || told[1].To != RoleJunk || len(told[1].Emails) != 1 || told[1].Account != 7 {
		t.Errorf("told %+v", told)
	}
}
