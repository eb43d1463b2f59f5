package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"posthaste/blob"
	"posthaste/blob/memblob"
	"posthaste/kv"
	"posthaste/kv/memkv"
	"posthaste/kv/pebblekv"
	"posthaste/mail"
)

// keys counts the keys of the account that start with first.
func keys(t *testing.T, a *Account, first byte) int {
	t.Helper()
	n := 0
	err := a.store.cfg.KV.View(t.Context(), a.partition, func(r kv.Reader) error {
		seq, errf := r.Scan([]byte{first}, []byte{first + 1}, false)
		for range seq {
			n++
		}
		return errf()
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOldViewCanBeFetchedUntilRetentionEnds(t *testing.T) {
	s, a := newStore(t)
	now := time.Unix(1_900_000_000, 0)
	s.now = func() time.Time { return now }
	fill(t, s, a, 3)
	big := prepare(t, s, content("big", randomText(200<<10)))
	if _, err := a.Append(t.Context(), Inbox, []Append{{Message: big}}); err != nil {
		t.Fatal(err)
	}
	old := view(t, a, Inbox)
	if _, err := a.Remove(t.Context(), Inbox, AllUIDs()); err != nil {
		t.Fatal(err)
	}
	if v := view(t, a, Inbox); v.Len() != 0 || old.Len() != 4 {
		t.Fatalf("%d and %d rows; want the old view unchanged", v.Len(), old.Len())
	}
	fetch := func() (n int) {
		for i := range old.Len() {
			_, err := a.Content(t.Context(), old.At(i).Email)
			if err == nil {
				n++
			} else if !errors.Is(err, ErrNoEmail) {
				t.Error(err)
			}
		}
		return n
	}
	now = now.Add(defaultRetention - time.Minute)
	if err := s.Sweep(t.Context()); err != nil || fetch() != 4 {
		t.Errorf("within retention %d of 4 can be fetched, %v", fetch(), err)
	}
	now = now.Add(2 * time.Minute)
	if err := s.Sweep(t.Context()); err != nil || fetch() != 0 {
		t.Errorf("after retention %d can be fetched, %v", fetch(), err)
	}
	for _, first := range []byte{keyFacts, keyDestroyed, keyReference, keyThread} {
		if n := keys(t, a, first); n != 0 {
			t.Errorf("%d keys %q are left", n, first)
		}
	}
}

func TestSharedContentGoesWithTheLastEmail(t *testing.T) {
	for _, size := range []int{100, 200 << 10} {
		s, a := newStore(t)
		now := time.Unix(1_900_000_000, 0)
		s.now = func() time.Time { return now }
		if _, err := a.Append(t.Context(), Inbox, []Append{{Message: prepare(t, s, content("x", randomText(size)))}}); err != nil {
			t.Fatal(err)
		}
		for range 2 { // makes a second and a third email
			if _, err := a.Copy(t.Context(), Inbox, UIDSet{{1, 1}}, Inbox); err != nil {
				t.Fatal(err)
			}
		}
		for uid := mail.UID(1); uid <= 3; uid++ {
			v := view(t, a, Inbox)
			if _, err := a.Content(t.Context(), v.At(v.Len()-1).Email); err != nil {
				t.Errorf("%d bytes, before removing %d: %v", size, uid, err)
			}
			if _, err := a.Remove(t.Context(), Inbox, UIDSet{{uid, uid}}); err != nil {
				t.Fatal(err)
			}
			now = now.Add(2 * defaultRetention)
			if err := s.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := keys(t, a, keyReference) + keys(t, a, keyFacts); n != 0 {
			t.Errorf("%d bytes: %d keys are left", size, n)
		}
	}
}

func TestEraseLeavesNothing(t *testing.T) {
	s, a := newStore(t)
	fill(t, s, a, 3)
	before := view(t, a, Inbox).Version()
	for range 2 {
		if err := s.Erase(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	if n := keys(t, a, 0); n != 0 {
		t.Errorf("%d keys are left", n)
	}
	if _, err := a.View(t.Context(), Inbox); !errors.Is(err, ErrNoAccount) {
		t.Errorf("got %v, want ErrNoAccount", err)
	}
	if err := s.Create(t.Context(), 1, 0); err != nil {
		t.Fatal(err)
	}
	if v := view(t, a, Inbox); v.Version() <= before || v.Len() != 0 {
		t.Errorf("made again at version %d with %d messages, was %d", v.Version(), v.Len(), before)
	}
}

func TestWatchTellsOfEveryChange(t *testing.T) {
	s, a := newStore(t)
	var told atomic.Int32
	cancel := a.Watch(func() { told.Add(1) })
	fill(t, s, a, 1)
	if told.Load() != 1 {
		t.Errorf("told %d times of one change", told.Load())
	}
	if err := a.snapshot(t.Context(), 1); err != nil || told.Load() != 1 {
		t.Errorf("a snapshot was told: %d, %v", told.Load(), err)
	}
	cancel()
	fill(t, s, a, 1)
	if told.Load() != 1 {
		t.Error("told after cancel")
	}
}

func TestViewIsSharedUntilTheMailboxChanges(t *testing.T) {
	s, a := newStore(t)
	fill(t, s, a, 1)
	v := view(t, a, Inbox)
	if _, err := a.CreateMailbox(t.Context(), "other", ""); err != nil {
		t.Fatal(err)
	}
	if view(t, a, Inbox) != v {
		t.Error("a change elsewhere made a new view")
	}
	fill(t, s, a, 1)
	if view(t, a, Inbox) == v {
		t.Error("a delivery made no new view")
	}
}

func TestLogIsTrimmedByAgeOnlyBehindTheSnapshot(t *testing.T) {
	s, a := newStore(t)
	now := time.Now()
	s.now = func() time.Time { return now }
	fill(t, s, a, 5)
	now = now.Add(logAge + time.Hour)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := keys(t, a, keyLog); n != 6 {
		t.Errorf("%d entries are left before a snapshot, want all 6", n)
	}
	if err := errors.Join(a.snapshot(t.Context(), 1), s.Sweep(t.Context())); err != nil {
		t.Fatal(err)
	}
	if n := keys(t, a, keyLog); n != 0 {
		t.Errorf("%d old entries are left", n)
	}
	a.forget()
	fill(t, s, a, 1)
	if v := view(t, a, Inbox); v.Len() != 6 {
		t.Errorf("%d messages, want 6", v.Len())
	}
}

func TestSweepWritesChunksOfAccountsNobodyOpens(t *testing.T) {
	s, a := newStore(t)
	m := prepare(t, s, content("x", "y"))
	for range snapshotEvery + 1 {
		if _, err := a.Deliver(t.Context(), Delivery{Message: m}); err != nil {
			t.Fatal(err)
		}
	}
	if n := keys(t, a, keyMembers); n != 0 {
		t.Fatalf("%d chunks without Run", n)
	}
	if err := s.Sweep(t.Context()); err != nil || keys(t, a, keyMembers) != 1 || keys(t, a, keyEmails) != 1 {
		t.Errorf("%d chunks after a sweep, %v; want 1", keys(t, a, keyMembers), err)
	}
	a.forget()
	if v := view(t, a, Inbox); v.Len() != snapshotEvery+1 {
		t.Errorf("%d rows", v.Len())
	}
}

func TestDeliveryIDsAreForgottenAfterAWeek(t *testing.T) {
	s, a := newStore(t)
	now := time.Now()
	s.now = func() time.Time { return now }
	m := prepare(t, s, content("x", "y"))
	for _, id := range []string{"short", strings.Repeat("long", 100)} {
		if _, err := a.Deliver(t.Context(), Delivery{ID: id, Message: m}); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(7 * 24 * time.Hour)
	if err := s.Sweep(t.Context()); err != nil || keys(t, a, keyDelivery) != 2 {
		t.Errorf("%d of 2 are left after 7 days, %v", keys(t, a, keyDelivery), err)
	}
	now = now.Add(2 * 24 * time.Hour)
	if err := s.Sweep(t.Context()); err != nil || keys(t, a, keyDelivery) != 0 {
		t.Errorf("%d are left after 9 days, %v", keys(t, a, keyDelivery), err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	s, err := New(Config{KV: memkv.New(), CacheBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m := prepare(t, s, content("x", "y"))
	for id := mail.AccountID(1); id <= 20; id++ {
		if err := s.Create(t.Context(), id, 0); err != nil {
			t.Fatal(err)
		}
		a := s.Account(id)
		if _, err := a.Append(t.Context(), Inbox, slices.Repeat([]Append{{Message: m}}, 200)); err != nil {
			t.Fatal(err)
		}
		view(t, a, Inbox)
		if s.cacheSize > s.cfg.CacheBytes {
			t.Fatalf("%d bytes after %d accounts, bound %d", s.cacheSize, id, s.cfg.CacheBytes)
		}
	}
	s.dropUnused(time.Now().Add(time.Hour))
	if s.cacheSize != 0 {
		t.Errorf("%d bytes are left", s.cacheSize)
	}
}

func TestBlobsWithoutReferenceGo(t *testing.T) {
	blobs := memblob.New()
	s, err := New(Config{KV: memkv.New(), Blobs: blobs})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Create(t.Context(), 1, 0); err != nil {
		t.Fatal(err)
	}
	kept := prepare(t, s, content("kept", randomText(200<<10)))
	prepare(t, s, content("never stored", randomText(200<<10)))
	if _, err := s.Account(1).Append(t.Context(), Inbox, []Append{{Message: kept}}); err != nil {
		t.Fatal(err)
	}
	count := func() (n int) {
		if err := blobs.List(t.Context(), func(_ blob.Name, _ int64) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	held := blob.NewName(time.Now(), [32]byte{1})
	if err := blobs.Put(t.Context(), held, strings.NewReader("held"), 4); err != nil {
		t.Fatal(err)
	}
	_, err = s.cfg.KV.Update(t.Context(), "queue/7", func(txn kv.Txn) error {
		txn.Put(append([]byte{'R'}, held...), nil)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.sweepBlobs(t.Context()); err != nil || count() != 3 {
		t.Errorf("young blobs: %d are left, %v; want 3", count(), err)
	}
	s.now = func() time.Time { return time.Now().Add(blobGrace + time.Hour) }
	if err := s.sweepBlobs(t.Context()); err != nil || count() != 2 {
		t.Errorf("old blobs: %d are left, %v; want those of the account and of the queue", count(), err)
	}
}

// TestSessionsAtOnce runs writers and readers of one mailbox on a real disk, then compares what is
// left with what was told.
func TestSessionsAtOnce(t *testing.T) {
	db, err := pebblekv.Open(pebblekv.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s, err := New(Config{KV: db, Blobs: memblob.New()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Create(t.Context(), 1, 0); err != nil {
		t.Fatal(err)
	}
	a := s.Account(1)
	ctx, stop := context.WithCancel(t.Context())
	var work, house sync.WaitGroup
	house.Go(func() { s.Run(ctx) })
	var mu sync.Mutex
	stored := make(map[mail.UID]string)
	for w := range 4 {
		work.Go(func() {
			for i := range 40 {
				subject := fmt.Sprintf("w%d-%d", w, i)
				m, err := s.Prepare(ctx, content(subject, "body"))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := a.Append(ctx, Inbox, []Append{{Message: m}})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				stored[got.UIDs[0]] = subject
				mu.Unlock()
				if i%8 == 7 {
					if _, err := a.SetFlags(ctx, Inbox, FlagChange{UIDs: UIDSet{{got.UIDs[0], got.UIDs[0] + 3}}, Flags: []string{`\Seen`, fmt.Sprint("w", w)}}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for range 3 {
		work.Go(func() { follow(t, a, 160) })
	}
	work.Go(func() {
		for range 20 {
			if err := a.snapshot(ctx, 1); err != nil {
				t.Error(err)
			}
			a.forget()
		}
	})
	work.Wait()
	stop()
	house.Wait()
	v := view(t, a, Inbox)
	if v.Len() != len(stored) || len(stored) != 160 {
		t.Errorf("%d rows, %d stored, want 160", v.Len(), len(stored))
	}
	for _, row := range v.Rows(0, v.Len()) {
		c, err := a.Content(t.Context(), row.Email)
		if err != nil || !strings.Contains(string(c), "Subject: "+stored[row.UID]+"\r\n") {
			t.Errorf("uid %d: %v, want subject %s", row.UID, err, stored[row.UID])
		}
	}
}

// follow is a session: it applies diffs to its own list of UIDs until there are n.
func follow(t *testing.T, a *Account, n int) {
	woken := make(chan struct{}, 1)
	defer a.Watch(func() {
		select {
		case woken <- struct{}{}:
		default:
		}
	})()
	old, err := a.View(t.Context(), Inbox)
	if err != nil {
		t.Error(err)
		return
	}
	mine := uids(old)
	for len(mine) < n {
		v, err := a.View(t.Context(), Inbox)
		if err != nil {
			t.Error(err)
			return
		}
		d := v.Diff(old)
		for i := d.Appended; i < v.Len(); i++ {
			mine = append(mine, v.UID(i))
		}
		if !slices.Equal(mine, uids(v)) || len(d.Expunged) > 0 {
			t.Errorf("diff %+v leaves %v, view has %v", d, mine, uids(v))
			return
		}
		if v == old && len(mine) < n {
			select {
			case <-woken:
			case <-t.Context().Done():
				return
			}
		}
		old = v
	}
}

// TestTwoNodes has another store on the same keys put an email into a mailbox that this one has open,
// from a chunk that this one never read.
func TestTwoNodes(t *testing.T) {
	s, a := newStore(t)
	m := prepare(t, s, content("x", "y"))
	archive, err := a.MailboxByRole(t.Context(), RoleArchive)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Append(t.Context(), archive.ID, slices.Repeat([]Append{{Message: m}}, 2*chunkRows)); err != nil {
		t.Fatal(err)
	}
	fill(t, s, a, 1)
	a.forget()
	view(t, a, Inbox)
	other, err := New(Config{KV: s.cfg.KV})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.Account(1).Copy(t.Context(), archive.ID, UIDSet{{3, 3}}, Inbox); err != nil {
		t.Fatal(err)
	}
	v := view(t, a, Inbox)
	if row := v.At(v.Len() - 1); v.Len() != 2 || row.Email != 3 || row.Size != m.Size() {
		t.Errorf("%d rows, the last %+v; want email 3 of %d bytes", v.Len(), row, m.Size())
	}
}
