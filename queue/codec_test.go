package queue

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"posthaste/kv"
	"posthaste/mail"
)

var comparesEntries = cmp.Options{
	cmp.AllowUnexported(Entry{}, Recipient{}, contentRef{}), cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}),
}

// oldEntry is what testdata/entry.format1 holds, as the first format wrote it.
func oldEntry() *Entry {
	env := envelope("ann@north.test", "bob@south.test", "cat@west.test")
	env.SMTPUTF8, env.RequireTLS, env.Body, env.Ret, env.EnvID = true, true, mail.Body8Bit, mail.RetHdrs, "e1"
	env.Received, env.ID = letterTime, "0123456789abcdef"
	env.Origin = mail.Origin{Account: 7, Login: "ann", IP: netip.MustParseAddr("192.0.2.1"), Name: "n", Helo: "h", Protocol: "ESMTPSA", TLS: "TLS1.3"}
	e := newEntry(env, letterTime)
	e.Size, e.content.body = 1234, 77
	bob, cat := &e.Recipients[0], &e.Recipients[1]
	bob.State, bob.Attempts, bob.warned, bob.Status, bob.Next = Deferred, 3, true, greylist, letterTime.Add(time.Hour)
	cat.State, cat.Next, cat.Notify, cat.ORcpt = Held, time.Time{}, mail.NotifyDelay, "rfc822;cat@west.test"
	return e
}

func TestFirstFormatIsRead(t *testing.T) {
	stored, err := os.ReadFile("testdata/entry.format1")
	must(t, err)
	got, err := decodeEntry("0123456789abcdef", stored)
	must(t, err)
	if d := cmp.Diff(oldEntry(), got, comparesEntries); d != "" {
		t.Error(d)
	}
}

func TestEntryIsReadAsWritten(t *testing.T) {
	e := oldEntry()
	env := &e.Envelope
	env.Priority, env.HoldUntil, env.DeliverBy = -9, letterTime.Add(time.Hour), letterTime.Add(2*time.Hour)
	env.ByMode, env.ByTrace, env.TLSOptional, env.RequireTLS = mail.ByReturn, true, true, false
	e.Recipients[0].Reroute, e.Recipients[0].overdue, e.Recipients[0].lifetime = "relay:backup from 4", true, 30*24*time.Hour
	got, err := decodeEntry(e.ID, e.encode())
	must(t, err)
	if d := cmp.Diff(e, got, comparesEntries); d != "" {
		t.Error(d)
	}
	e.content = contentRef{blob: "20261122-blob"}
	got, err = decodeEntry(e.ID, e.encode())
	if err != nil || got.content != e.content {
		t.Errorf("content %v, %v; want %v", got, err, e.content)
	}
}

// A damaged entry still says where its content is, so that it can be freed, unless that is damaged too.
func TestDamagedEntryNamesItsContent(t *testing.T) {
	stored := oldEntry().encode()
	for i := range stored {
		damaged := append([]byte(nil), stored...)
		damaged[i] ^= 0x80
		got := readEntry("0123456789abcdef", damaged)
		if want := kv.BodyID(77); got.content.body != want && got.content.body != 0 {
			t.Errorf("byte %d damaged: content %v, want %v or none", i, got.content.body, want)
		}
	}
	cut := readEntry("0123456789abcdef", stored[:20])
	if cut.corrupt == "" || cut.content.body != 77 {
		t.Errorf("cut entry: %q, content %v", cut.corrupt, cut.content.body)
	}
}
