package admin

import (
	"strings"
	"testing"

	"posthaste/auth"
	"posthaste/blob/memblob"
	"posthaste/directory"
	"posthaste/kv/memkv"
	"posthaste/mail"
	"posthaste/store"
)

func newAdmin(t *testing.T) *Admin {
	t.Helper()
	keys := memkv.New()
	dir := directory.New(keys, directory.Config{})
	t.Cleanup(func() { dir.Close() })
	mails, err := store.New(store.Config{KV: keys, Blobs: memblob.New()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mails.Close() })
	a := New(Config{Directory: dir, Auth: auth.New(auth.Config{Directory: dir}), Store: mails, Hostname: "mx.north.test"})
	if _, err := a.AddDomain(t.Context(), DomainRequest{Name: "north.test"}); err != nil {
		t.Fatal(err)
	}
	return a
}

// A crash between the directory and the store leaves an account without mailboxes, in which no mail
// could be stored.
func TestAddingAnAccountAgainGivesItItsMailboxes(t *testing.T) {
	a := newAdmin(t)
	half, err := a.cfg.Directory.AddAccount(t.Context(), mail.Address{Local: "ann", Domain: "north.test"}, directory.AccountOptions{})
	if err != nil {
		t.Fatal(err)
	}
	request := AccountRequest{Address: "ann@north.test", Password: "correct horse"}
	for range 2 {
		if _, err := a.AddAccount(t.Context(), request); err == nil || !strings.Contains(err.Error(), "account passwd ann@north.test") {
			t.Errorf("adding it again: %v; want a hint at account passwd", err)
		}
		if boxes, err := a.cfg.Store.Account(half.ID).Mailboxes(t.Context()); err != nil || len(boxes) == 0 {
			t.Errorf("mailboxes %v, %v", boxes, err)
		}
	}
}
