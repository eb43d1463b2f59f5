package interop

import (
	"slices"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// news is what a server tells a client unasked.
type news struct {
	exists  chan uint32
	expunge chan uint32
	flags   chan []imap.Flag
}

func newNews() (news, *imapclient.Options) {
	const room = 16 // more than any test causes
	n := news{make(chan uint32, room), make(chan uint32, room), make(chan []imap.Flag, room)}
	return n, &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(data *imapclient.UnilateralDataMailbox) {
			if data.NumMessages != nil {
				n.exists <- *data.NumMessages
			}
		},
		Expunge: func(seq uint32) { n.expunge <- seq },
		Fetch: func(data *imapclient.FetchMessageData) {
			if buffer, err := data.Collect(); err == nil {
				n.flags <- buffer.Flags
			}
		},
	}}
}

// next returns what comes from c within our patience.
func next[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s came within %v", what, patience)
		panic("unreachable")
	}
}

func TestGoClientsSeeEachOthersChanges(t *testing.T) {
	w := newSite(t, settings{})
	heard, options := newNews()
	watcher, actor := w.imap(t, ann, options), w.imap(t, ann, nil)
	_, err := watcher.Select("INBOX", nil).Wait()
	must(t, err)
	_, err = actor.Select("INBOX", nil).Wait()
	must(t, err)
	idle, err := watcher.Idle()
	must(t, err)

	appendTo(t, actor, "INBOX", "Subject: 1\r\n\r\n1\r\n")
	if n := next(t, "EXISTS", heard.exists); n != 1 {
		t.Errorf("EXISTS %d", n)
	}
	must(t, actor.Store(imap.SeqSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged, "$Hot"}}, nil).Close())
	if flags := next(t, "FETCH", heard.flags); !slices.Contains(flags, imap.FlagFlagged) || !slices.Contains(flags, "$Hot") {
		t.Errorf("FETCH FLAGS %v", flags)
	}
	_, err = actor.Move(imap.SeqSetNum(1), "Archive").Wait()
	must(t, err)
	if n := next(t, "EXPUNGE", heard.expunge); n != 1 {
		t.Errorf("EXPUNGE %d", n)
	}
	// Mail from outside wakes it as well.
	w.submit(t, "Subject: 2\r\n\r\n2\r\n", ann)
	if n := next(t, "EXISTS", heard.exists); n != 1 {
		t.Errorf("EXISTS %d after delivery", n)
	}
	must(t, idle.Close())
	must(t, idle.Wait())
	if moved := w.mailbox(t, ann, "Archive"); len(moved) != 1 || !moved[0].has(`\Flagged`, "$hot") && !moved[0].has(`\Flagged`, "$Hot") {
		t.Errorf("Archive holds %+v", moved)
	}
}

func TestGoClientSearchesListsAndSynchronises(t *testing.T) {
	w := newSite(t, settings{})
	c := w.imap(t, ann, nil)
	for _, capability := range []imap.Cap{imap.CapIMAP4rev2, imap.CapIdle, imap.CapMove, imap.CapCondStore, imap.CapListStatus,
		imap.CapSpecialUse, imap.CapUIDPlus, imap.CapESearch, imap.CapLiteralPlus} {
		if !c.Caps().Has(capability) {
			t.Errorf("no capability %s", capability)
		}
	}
	selected, err := c.Select("INBOX", &imap.SelectOptions{CondStore: true}).Wait()
	must(t, err)
	for _, letter := range letters {
		appendTo(t, c, "INBOX", letter, imap.FlagSeen)
	}
	since := selected.HighestModSeq

	t.Run("SEARCH", func(t *testing.T) { goSearch(t, c) })
	t.Run("LIST with STATUS and special uses", func(t *testing.T) { goList(t, c) })
	t.Run("CONDSTORE", func(t *testing.T) { goCondstore(t, w, c, since) })
	t.Run("UID EXPUNGE", func(t *testing.T) { goUIDExpunge(t, w, c) })
	t.Run("RENAME, UNSUBSCRIBE and DELETE", func(t *testing.T) { goRename(t, c) })
}

func goSearch(t *testing.T, c *imapclient.Client) {
	for _, row := range []struct {
		claim    string
		criteria imap.SearchCriteria
		want     []imap.UID
	}{
		{"by header", imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Subject", Value: "TWO"}}}, []imap.UID{2}},
		{"by text in another charset's letters", imap.SearchCriteria{Body: []string{"ärger"}}, []imap.UID{2}},
		{"by size", imap.SearchCriteria{Larger: 10000}, []imap.UID{3}},
		{"by flags, negated", imap.SearchCriteria{Flag: []imap.Flag{imap.FlagSeen}, NotFlag: []imap.Flag{imap.FlagFlagged}}, []imap.UID{1, 2, 3}},
		{"by either", imap.SearchCriteria{Or: [][2]imap.SearchCriteria{{{Larger: 10000}, {Body: []string{"..dots"}}}}}, []imap.UID{1, 3}},
		{"by what never was", imap.SearchCriteria{Since: time.Now().AddDate(0, 0, 2)}, nil},
	} {
		data, err := c.UIDSearch(&row.criteria, nil).Wait()
		if err != nil || !slices.Equal(data.AllUIDs(), row.want) {
			t.Errorf("%s: %v, %v; want %v", row.claim, data, err, row.want)
		}
	}
	data, err := c.UIDSearch(&imap.SearchCriteria{}, &imap.SearchOptions{ReturnMin: true, ReturnMax: true, ReturnCount: true}).Wait()
	if err != nil || data.Min != 1 || data.Max != 3 || data.Count != 3 {
		t.Errorf("ESEARCH: %+v, %v", data, err)
	}
}

func goList(t *testing.T, c *imapclient.Client) {
	must(t, c.Create("Entwürfe/Übung", nil).Wait())
	list, err := c.List("", "*", &imap.ListOptions{ReturnStatus: &imap.StatusOptions{NumMessages: true, UIDNext: true, Size: true}, ReturnSpecialUse: true}).Collect()
	must(t, err)
	byName := map[string]*imap.ListData{}
	for _, l := range list {
		byName[l.Mailbox] = l
	}
	if l := byName["INBOX"]; l == nil || l.Status == nil || *l.Status.NumMessages != 3 || l.Status.UIDNext != 4 {
		t.Errorf("INBOX: %+v", l)
	}
	if l := byName["Sent"]; l == nil || !slices.Contains(l.Attrs, imap.MailboxAttrSent) {
		t.Errorf("Sent: %+v", l)
	}
	if byName["Entwürfe/Übung"] == nil {
		t.Errorf("no Entwürfe/Übung in %v", keys(byName))
	}
}

func goCondstore(t *testing.T, w *site, c *imapclient.Client, since uint64) {
	changed := func(since uint64) []imap.UID {
		got, err := c.Fetch(imap.SeqSet{{Start: 1}}, &imap.FetchOptions{UID: true, Flags: true, ModSeq: true, ChangedSince: since}).Collect()
		must(t, err)
		var uids []imap.UID
		for _, m := range got {
			uids = append(uids, m.UID)
		}
		return uids
	}
	if got := changed(since); !slices.Equal(got, []imap.UID{1, 2, 3}) {
		t.Errorf("changed since the start: %v", got)
	}
	got, err := c.Fetch(imap.SeqSetNum(3), &imap.FetchOptions{ModSeq: true}).Collect()
	must(t, err)
	since = got[0].ModSeq
	must(t, c.Store(imap.UIDSetNum(2), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagAnswered}}, nil).Close())
	if got := changed(since); !slices.Equal(got, []imap.UID{2}) {
		t.Errorf("changed since the last delivery: %v", got)
	}
	must(t, c.Store(imap.UIDSetNum(2), &imap.StoreFlags{Op: imap.StoreFlagsSet, Flags: []imap.Flag{imap.FlagDraft}}, &imap.StoreOptions{UnchangedSince: since}).Close())
	if m := w.bySubject(t, ann, "INBOX")["two"]; !m.has(`\Answered`, `\Seen`) {
		t.Errorf("a stale STORE changed flags to %v", m.flags)
	}
}

func goUIDExpunge(t *testing.T, w *site, c *imapclient.Client) {
	must(t, c.Store(imap.UIDSetNum(1, 3), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close())
	must(t, c.UIDExpunge(imap.UIDSetNum(3)).Close())
	if got := keys(w.bySubject(t, ann, "INBOX")); got != "one two" {
		t.Errorf("left: %q", got)
	}
}

func goRename(t *testing.T, c *imapclient.Client) {
	must(t, c.Subscribe("Entwürfe/Übung").Wait())
	must(t, c.Rename("Entwürfe", "Notizen", nil).Wait())
	subscribed := func() string {
		list, err := c.List("", "Notizen*", &imap.ListOptions{SelectSubscribed: true}).Collect()
		must(t, err)
		names := map[string]bool{}
		for _, l := range list {
			names[l.Mailbox] = true
		}
		return keys(names)
	}
	if got := subscribed(); got != "Notizen/Übung" {
		t.Errorf("subscribed: %q", got)
	}
	must(t, c.Unsubscribe("Notizen/Übung").Wait())
	if got := subscribed(); got != "" {
		t.Errorf("subscribed after UNSUBSCRIBE: %q", got)
	}
	must(t, c.Delete("Notizen/Übung").Wait())
	if left, err := c.List("", "Notizen/%", nil).Collect(); err != nil || len(left) != 0 {
		t.Errorf("left: %+v, %v", left, err)
	}
}
