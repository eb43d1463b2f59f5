package kvtest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"posthaste/kv"
)

// runSyncs looks at the time between applying a commit and its sync.
func runSyncs(t *testing.T, cfg Config) {
	if cfg.RealTime {
		t.Skip("this driver's disk cannot be held back")
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T, SyncHolder, kv.Store)
	}{
		{"no update returns before its sync", holdUpdate},
		{"no view returns before the commits it saw are synced", holdView},
		{"no update that writes nothing returns before what it read is synced", holdEmptyUpdate},
		{"no update that fails returns before what it read is synced", holdFailedUpdate},
		{"no watch is told of a version before its sync", holdWatch},
		{"updates go on while the disk is busy, each seeing those before it", chain},
		{"the end of the context does not matter once a commit has started", holdContext},
		{"a view of a quiet partition waits for nobody", quietView},
		{"a crash before the sync leaves nothing of it", crashBeforeSync},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				holder, ok := cfg.New(t).(SyncHolder)
				if !ok {
					t.Skip("this driver's disk cannot be held back")
				}
				store := holder.Start(t)
				count(t, store, "p")
				test.run(t, holder, store)
				if err := store.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// begin runs f in the background; the result comes on the channel.
func begin(f func() error) chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// isHeld fails when one of calls ended though the disk is held back.
func isHeld(t *testing.T, calls ...chan error) {
	t.Helper()
	synctest.Wait()
	for i, call := range calls {
		if len(call) > 0 {
			err := <-call
			t.Errorf("call %d returned %v before the sync", i, err)
			call <- err
		}
	}
}

func ended(t *testing.T, want error, calls ...chan error) {
	t.Helper()
	for i, call := range calls {
		if err := <-call; !errors.Is(err, want) {
			t.Errorf("call %d: %v, want %v", i, err, want)
		}
	}
}

func beginIncrement(t *testing.T, s kv.Store) chan error {
	return begin(func() error { _, err := s.Update(t.Context(), "p", increment); return err })
}

func holdUpdate(t *testing.T, m SyncHolder, s kv.Store) {
	release := m.HoldSyncs()
	call := beginIncrement(t, s)
	isHeld(t, call)
	release()
	ended(t, nil, call)
}

// holdReader checks that read, which sees a commit that is not synced, does not return before it is.
func holdReader(t *testing.T, m SyncHolder, s kv.Store, want error, read func() error) {
	t.Helper()
	release := m.HoldSyncs()
	commit := beginIncrement(t, s)
	isHeld(t, commit)
	reader := begin(read)
	isHeld(t, commit, reader)
	release()
	ended(t, nil, commit)
	ended(t, want, reader)
}

func holdView(t *testing.T, m SyncHolder, s kv.Store) {
	holdReader(t, m, s, nil, func() error {
		return s.View(t.Context(), "p", func(kv.Reader) error { return nil })
	})
}

func holdEmptyUpdate(t *testing.T, m SyncHolder, s kv.Store) {
	holdReader(t, m, s, nil, func() error {
		_, err := s.Update(t.Context(), "p", func(kv.Txn) error { return nil })
		return err
	})
}

func holdFailedUpdate(t *testing.T, m SyncHolder, s kv.Store) {
	no := errors.New("no")
	holdReader(t, m, s, no, func() error {
		_, err := s.Update(t.Context(), "p", func(kv.Txn) error { return no })
		return err
	})
}

func holdWatch(t *testing.T, m SyncHolder, s kv.Store) {
	w := watch(t, s, "p")
	release := m.HoldSyncs()
	call := beginIncrement(t, s)
	isHeld(t, call)
	if len(w) != 0 {
		t.Errorf("told of version %d before its sync", <-w)
	}
	release()
	ended(t, nil, call)
	w.reach(t, 2)
}

func chain(t *testing.T, m SyncHolder, s kv.Store) {
	release := m.HoldSyncs()
	var calls []chan error
	for range 5 {
		calls = append(calls, beginIncrement(t, s))
		isHeld(t, calls...)
	}
	var saw string
	reader := begin(func() error {
		return s.View(t.Context(), "p", func(r kv.Reader) error {
			value, err := r.Get([]byte("n"))
			saw = string(value)
			return err
		})
	})
	isHeld(t, append(calls, reader)...)
	release()
	ended(t, nil, append(calls, reader)...)
	if saw != "6" {
		t.Errorf("the view saw n=%s, want 6: updates waited for the disk", saw)
	}
}

func holdContext(t *testing.T, m SyncHolder, s kv.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	release := m.HoldSyncs()
	call := begin(func() error { _, err := s.Update(ctx, "p", increment); return err })
	isHeld(t, call)
	cancel()
	isHeld(t, call)
	release()
	ended(t, nil, call)
	wantKeys(t, s, "p", "n=2")
}

func quietView(t *testing.T, m SyncHolder, s kv.Store) {
	release := m.HoldSyncs()
	call := begin(func() error { _, err := s.Update(t.Context(), "other", increment); return err })
	isHeld(t, call)
	wantKeys(t, s, "p", "n=1") // returns, or the bubble is dead
	release()
	ended(t, nil, call)
}

func crashBeforeSync(t *testing.T, m SyncHolder, s kv.Store) {
	release := m.HoldSyncs()
	call := beginIncrement(t, s)
	isHeld(t, call)
	m.Crash(t, 0)
	release()
	<-call
	after := m.Start(t)
	wantKeys(t, after, "p", "n=1")
	if err := after.Close(); err != nil {
		t.Error(err)
	}
}
