package filtertest

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"posthaste/filter"
	"posthaste/mail"
)

// A Storm is mail that flows through an engine while the program behind it is killed and restarted.
type Storm struct {
	Engine  filter.Engine
	Process *Process
	Mail    *filter.Mail
	Good    func(filter.Result) error // tells whether an answer of the program is whole and right
	Closed  bool                      // the guard fails closed
	Idle    func()                    // closes connections that the engine keeps; may be nil
	Brief   bool                      // unless tortured, only the engine itself must be back, not its guard
}

// Bounds of a storm.
const (
	workers  = 4
	restTime = 15 * time.Second // of a guard
	timeout  = 10 * time.Second // of a guard: a program that has just started is slow, and may miss it once
)

// Run kills and restarts the program. Every answer must be that of the program, or a silence that means
// what was asked for; after the rest time of the guard the program must be asked again; and nothing
// may be left behind. In short tests it happens once, else five times.
func (s Storm) Run(t *testing.T) {
	t.Helper()
	rounds := 1
	if Torture() {
		rounds = 5
	}
	if r, err := s.Engine.Scan(t.Context(), s.Mail); err != nil || s.Good(r) != nil {
		t.Fatalf("before the storm: %v, %+v", err, r)
	}
	goroutines, files := s.settled()
	guard := filter.NewGuard(s.Engine, timeout, s.Closed, nil)
	for round := range rounds {
		s.round(t, guard, round)
	}
	wait := time.Now().Add(5 * time.Second)
	for {
		g, f := s.settled()
		if g <= goroutines && f <= files {
			return
		}
		if time.Now().After(wait) {
			t.Fatalf("%d goroutines and %d files are left, before there were %d and %d", g, f, goroutines, files)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// round kills the program in the midst of mail and waits until the guard asks it again.
func (s Storm) round(t *testing.T, guard *filter.Guard, round int) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var tally tally
	var flow sync.WaitGroup
	for range workers {
		flow.Go(func() {
			for ctx.Err() == nil {
				r, err := guard.Scan(ctx, s.Mail)
				if ctx.Err() == nil {
					tally.count(s.judge(r, err))
				}
				time.Sleep(time.Millisecond) // a resting guard answers at once: leave the processor to others
			}
		})
	}
	tally.await(t, good, 2*workers)
	s.Process.Kill()
	tally.await(t, silent, workers)
	s.Process.Restart(t)
	back := time.Now()
	if s.Brief && !Torture() {
		r, err := s.Engine.Scan(ctx, s.Mail)
		tally.count(s.judge(r, err))
	} else {
		tally.reset(good)
		tally.await(t, good, 1)
	}
	took := time.Since(back)
	stop()
	flow.Wait()
	t.Logf("round %d: %s; asked again %v after the restart", round, tally.String(), took.Round(10*time.Millisecond))
	if took > 2*(restTime+timeout) {
		t.Errorf("asked again only after %v, want at most two rests and two timeouts, %v", took, 2*(restTime+timeout))
	}
	if tally.wrong != nil {
		t.Errorf("a wrong answer: %v", tally.wrong)
	}
}

// Kinds of answers.
const (
	good = iota
	silent
	wrong
)

// judge tells what an answer is.
func (s Storm) judge(r filter.Result, err error) (int, error) {
	if err != nil {
		return wrong, err
	}
	if len(r.Findings) != 1 || r.Findings[0].Rule != "ENGINE_SILENT" {
		if err := s.Good(r); err != nil {
			return wrong, fmt.Errorf("%w: %+v", err, r)
		}
		return good, nil
	}
	switch {
	case s.Closed && (r.Action != mail.Greylist || r.Reply == nil || r.Reply.Code != 451):
		return wrong, fmt.Errorf("silence does not put mail off: %+v", r)
	case !s.Closed && (r.Action != mail.Accept || r.Findings[0].Weight != 0):
		return wrong, fmt.Errorf("silence keeps mail: %+v", r)
	}
	return silent, nil
}

// settled returns how many goroutines there are, and open files.
func (s Storm) settled() (goroutines, files int) {
	if s.Idle != nil {
		s.Idle()
	}
	all, _ := os.ReadDir("/proc/self/fd")
	return runtime.NumGoroutine(), len(all)
}

// A tally counts answers.
type tally struct {
	mu    sync.Mutex // guards what follows
	sum   [3]int
	since [3]int // since the last reset
	wrong error  // the first
}

func (t *tally) count(kind int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sum[kind]++
	t.since[kind]++
	if t.wrong == nil {
		t.wrong = err
	}
}

func (t *tally) reset(kind int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.since[kind] = 0
}

func (t *tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(fmt.Sprintf("%d good, %d silent, %d wrong", t.sum[good], t.sum[silent], t.sum[wrong]))
}

// await returns once there were n answers of a kind since the last reset.
func (t *tally) await(test *testing.T, kind, n int) {
	test.Helper()
	for begin := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		t.mu.Lock()
		enough := t.since[kind] >= n
		t.mu.Unlock()
		if enough {
			return
		}
		if time.Since(begin) > patience {
			test.Fatalf("still not %d answers of kind %d after %v: %s", n, kind, patience, t)
		}
	}
}
