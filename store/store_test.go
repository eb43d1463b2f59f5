package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"posthaste/blob/memblob"
	"posthaste/kv/memkv"
	"posthaste/mail"
)

// newStore returns a store in memory with one account.
func newStore(t testing.TB) (*Store, *Account) {
	t.Helper()
	s, err := New(Config{KV: memkv.New(), Blobs: memblob.New()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Create(context.Background(), 1, 0); err != nil {
		t.Fatal(err)
	}
	return s, s.Account(1)
}

func content(subject, body string) []byte {
	return []byte("From: Ann <ann@north.test>\r\nTo: bob@south.test\r\nSubject: " + subject +
		"\r\nDate: Tue, 3 Nov 2026 10:00:00 +0100\r\n\r\n" + body + "\r\n")
}

func prepare(t testing.TB, s *Store, content []byte) *Message {
	t.Helper()
	m, err := s.Prepare(context.Background(), content)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// fill delivers n messages to INBOX.
func fill(t testing.TB, s *Store, a *Account, n int) {
	t.Helper()
	for i := range n {
		m := prepare(t, s, content(fmt.Sprint("number ", i), "body"))
		if _, err := a.Append(t.Context(), Inbox, []Append{{Message: m}}); err != nil {
			t.Fatal(err)
		}
	}
}

func view(t testing.TB, a *Account, box MailboxID) *View {
	t.Helper()
	v, err := a.View(t.Context(), box)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func uids(v *View) []mail.UID {
	var list []mail.UID
	for _, row := range v.Rows(0, v.Len()) {
		list = append(list, row.UID)
	}
	return list
}

func TestNewAccountHasMailboxesWithRoles(t *testing.T) {
	_, a := newStore(t)
	list, err := a.Mailboxes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range list {
		got = append(got, m.Name+"="+string(m.Role))
		if !m.Subscribed || m.UIDNext != 1 || m.UIDValidity == 0 || m.HighestModSeq == 0 {
			t.Errorf("%+v: want subscribed, UIDNEXT 1, UIDVALIDITY and HIGHESTMODSEQ", m)
		}
	}
	want := "INBOX=inbox Archive=archive Drafts=drafts Junk=junk Sent=sent Trash=trash"
	if strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestNoAccount(t *testing.T) {
	s, _ := newStore(t)
	if _, err := s.Account(2).View(t.Context(), Inbox); !errors.Is(err, ErrNoAccount) {
		t.Errorf("View: %v, want ErrNoAccount", err)
	}
	m := prepare(t, s, content("x", "y"))
	if _, err := s.Account(2).Deliver(t.Context(), Delivery{Message: m}); !errors.Is(err, ErrNoAccount) {
		t.Errorf("Deliver: %v, want ErrNoAccount", err)
	}
}

func TestDeliverThenReadBack(t *testing.T) {
	s, a := newStore(t)
	for _, body := range []string{"short", strings.Repeat("a line that repeats\r\n", 2000), randomText(200 << 10)} {
		raw := content("hello", body)
		prefix := []byte("Return-Path: <x@y.test>\r\nDelivered-To: bob@south.test\r\n")
		d := Delivery{ID: body[:5], Prefix: prefix, Message: prepare(t, s, raw), Received: time.Unix(1e9, 0), Keywords: []string{"$Junk", "Custom"}}
		got, err := a.Deliver(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		v := view(t, a, Inbox)
		row := v.At(v.Len() - 1)
		if row.UID != got.UID || row.Email != got.Email || row.Received != 1e9 || row.Size != int64(len(prefix)+len(raw)) {
			t.Errorf("row %+v does not match delivery %+v", row, got)
		}
		if names := slices.Collect(v.Names(row.Keywords)); !slices.Equal(names, []string{"$Junk", "Custom"}) {
			t.Errorf("keywords %v", names)
		}
		back, err := a.Content(t.Context(), got.Email)
		if err != nil || !bytes.Equal(back, append(prefix, raw...)) {
			t.Errorf("content of %d bytes came back as %d bytes, %v", len(prefix)+len(raw), len(back), err)
		}
		again, err := a.Deliver(t.Context(), d)
		if err != nil || !again.Repeated || again.UID != got.UID {
			t.Errorf("repeat: %+v, %v; want the first outcome", again, err)
		}
	}
	if u, err := a.Quota(t.Context()); err != nil || u.Emails != 3 {
		t.Errorf("quota %+v, %v; want 3 emails", u, err)
	}
}

// randomText returns text that does not compress well.
func randomText(n int) string {
	var b strings.Builder
	x := uint32(1)
	for b.Len() < n {
		x = x*1664525 + 1013904223
		fmt.Fprintf(&b, "%08x", x^x>>7)
	}
	return b.String()
}

func TestFactsAreThoseOfTheContent(t *testing.T) {
	s, a := newStore(t)
	fill(t, s, a, 3)
	v := view(t, a, Inbox)
	n := 0
	err := a.Facts(t.Context(), []EmailID{v.At(0).Email, 999, v.At(2).Email, v.At(1).Email}, func(f *Facts) error {
		n++
		if !bytes.Contains(f.Envelope, []byte(`"number `)) || !bytes.HasPrefix(f.BodyStructure, []byte(`("TEXT" "PLAIN"`)) {
			t.Errorf("envelope %s, structure %s", f.Envelope, f.BodyStructure)
		}
		if f.Preview != "body" || f.Sent.Format(time.RFC3339) != "2026-11-03T10:00:00+01:00" {
			t.Errorf("preview %q, sent %v", f.Preview, f.Sent)
		}
		return nil
	})
	if n != 3 || err != nil {
		t.Errorf("facts of %d emails, %v; want 3", n, err)
	}
}

func TestQuotaRefuses(t *testing.T) {
	s, a := newStore(t)
	m := prepare(t, s, content("x", "y"))
	if err := a.SetQuota(t.Context(), m.Size()+10); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Deliver(t.Context(), Delivery{Message: m}); err != nil {
		t.Fatal(err)
	}
	_, err := a.Deliver(t.Context(), Delivery{Message: m})
	if !errors.Is(err, ErrQuota) || !strings.Contains(err.Error(), fmt.Sprintf("%d of %d bytes", m.Size(), m.Size()+10)) {
		t.Errorf("got %v, want ErrQuota with used and limit", err)
	}
	if v := view(t, a, Inbox); v.Len() != 1 || v.Mailbox().UIDNext != 2 {
		t.Errorf("%d messages, UIDNEXT %d after a refusal", v.Len(), v.Mailbox().UIDNext)
	}
}

func TestRoomIsWhatTheQuotaLeaves(t *testing.T) {
	s, a := newStore(t)
	m := prepare(t, s, content("x", "y"))
	room := func(claim string, want bool) {
		t.Helper()
		if got, err := a.HasRoom(t.Context()); got != want || err != nil {
			t.Errorf("%s: room %v, %v", claim, got, err)
		}
	}
	quota := func(limit int64) {
		t.Helper()
		if err := a.SetQuota(t.Context(), limit); err != nil {
			t.Fatal(err)
		}
	}
	room("an account without a quota", true)
	if _, err := a.Deliver(t.Context(), Delivery{Message: m}); err != nil {
		t.Fatal(err)
	}
	room("with mail and no quota", true)
	quota(m.Size())
	room("once the quota is what it holds", false)
	quota(m.Size() + 1)
	room("once the quota is raised", true)
	if _, err := s.Account(99).HasRoom(t.Context()); !errors.Is(err, ErrNoAccount) {
		t.Errorf("an account that is not there: %v", err)
	}
}
