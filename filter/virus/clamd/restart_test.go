package clamd

import (
	"context"
	"sync"
	"testing"
	"time"

	"posthaste/filter"
	"posthaste/filter/virus"
	"posthaste/filter/virus/clamdtest"
	"posthaste/mail"
)

// TestClamdIsKilledUnderLoad kills clamd while thousands of messages a second come, all with a virus, some
// guarded to go on without it and some to wait for it. Each gets the stated answer, none is called clean, and once
// clamd is back, all are found again.
func TestClamdIsKilledUnderLoad(t *testing.T) {
	p := clamdtest.New(t, "")
	e := engine(t, p, Config{Policy: virus.Policy{Found: mail.Reject}, Connections: 4})
	open, closed := filter.NewGuard(e, 5*time.Second, false, nil), filter.NewGuard(e, 5*time.Second, true, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var mu sync.Mutex
	counts := map[string]int{}
	count := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		counts[what]++
	}
	for i := range 8 {
		guard, silence := open, mail.Accept
		if i%2 == 1 {
			guard, silence = closed, mail.Greylist
		}
		load.Go(func() {
			m := letter(clamdtest.Signature)
			pace := time.NewTicker(time.Millisecond)
			defer pace.Stop()
			for ; ctx.Err() == nil; <-pace.C {
				r, err := guard.Scan(ctx, m)
				switch {
				case err != nil: // the test has ended
				case r.Action == mail.Reject && r.Findings[0].Rule == "VIRUS_FOUND":
					count("found")
				case r.Action == silence && len(r.Findings) == 1 && r.Findings[0].Rule == "ENGINE_SILENT":
					count("silent " + silence.String())
				default:
					t.Errorf("got %+v", r)
					return
				}
			}
		})
	}
	until := func(what string, more int) {
		t.Helper()
		mu.Lock()
		want := counts[what] + more
		mu.Unlock()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for limit := time.After(clamdtest.Patience); ; {
			mu.Lock()
			got := counts[what]
			mu.Unlock()
			if got >= want {
				return
			}
			select {
			case <-tick.C:
			case <-limit:
				t.Errorf("%d %q after %v, want %d", got, what, clamdtest.Patience, want)
				return
			}
		}
	}
	until("found", 100)
	p.Kill()
	until("silent accept", 100)
	until("silent greylist", 100)
	p.Start(t)
	until("found", 100) // after the rest of the guards
	cancel()
	load.Wait()
	t.Logf("%v", counts)
}

func BenchmarkPing(b *testing.B) {
	e := engine(b, clamdtest.New(b, ""), Config{})
	for b.Loop() {
		if err := e.Ping(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScan(b *testing.B) {
	e := engine(b, clamdtest.New(b, ""), Config{})
	m := letter("a body of some lines\r\n")
	for b.Loop() {
		if _, err := e.Scan(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	}
}
