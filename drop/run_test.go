package drop

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// running runs p in a bubble of synctest until the test ends.
func running(t *testing.T, p *Picker) {
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); done.Wait() })
	synctest.Wait()
}

// pass lets time pass, and what falls into it happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func write(t *testing.T, p *Picker) {
	t.Helper()
	must(t, Write(p.cfg.Dir, Submission{Recipients: to("bob")}, strings.NewReader("x\n")))
}

func TestRunTakesWhatLiesThereAndWhatComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := picker(t, "ann")
		write(t, p)
		write(t, p)
		running(t, p)
		if taken, _ := s.counts(); taken != 2 {
			t.Fatalf("took %d of 2 that lay there", taken)
		}
		for n := 3; n < 6; n++ {
			write(t, p)
			pass(pollInterval)
			if taken, _ := s.counts(); taken != n {
				t.Fatalf("took %d of %d within %v", taken, n, pollInterval)
			}
		}
	})
}

func TestRunTriesAgainLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := picker(t, "ann")
		s.fail(errors.New("the disk is full"))
		write(t, p)
		running(t, p)
		for _, c := range []struct {
			after time.Duration
			tries int
		}{{0, 1}, {firstWait, 2}, {2 * firstWait, 3}, {4 * firstWait, 4}} {
			pass(c.after)
			if _, tries := s.counts(); tries != c.tries {
				t.Fatalf("after a further %v: %d attempts, want %d", c.after, tries, c.tries)
			}
		}
		pass(time.Hour)
		_, before := s.counts()
		pass(time.Hour)
		_, after := s.counts()
		if got, want := after-before, int(time.Hour/maxWait); got != want {
			t.Errorf("%d attempts an hour, want %d", got, want)
		}
		write(t, p) // the one that waits does not hold another up
		s.fail(nil)
		pass(pollInterval)
		if taken, _ := s.counts(); taken != 1 {
			t.Errorf("the other one waits too: took %d", taken)
		}
		pass(maxWait)
		if taken, _ := s.counts(); taken != 2 || len(p.files(t, "")) != 0 {
			t.Errorf("took %d of 2", taken)
		}
	})
}

func TestRunSurvivesTheLossOfTheDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := picker(t, "ann")
		away := p.cfg.Dir + ".away"
		must(t, os.Rename(p.cfg.Dir, away))
		running(t, p)
		pass(time.Minute)
		must(t, os.Rename(away, p.cfg.Dir))
		write(t, p)
		pass(pollInterval)
		if taken, _ := s.counts(); taken != 1 {
			t.Errorf("took %d", taken)
		}
	})
}

// A directory whose time stands still has nothing new, and is not read each second.
func TestRunReadsADirectoryOnlyWhenItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := picker(t, "ann")
		still := time.Now().Add(-time.Hour)
		must(t, os.Chtimes(p.cfg.Dir, still, still))
		running(t, p)
		write(t, p)
		must(t, os.Chtimes(p.cfg.Dir, still, still))
		pass(time.Minute)
		if taken, _ := s.counts(); taken != 0 {
			t.Error("the directory was read without need")
		}
		must(t, os.Chtimes(p.cfg.Dir, time.Now(), time.Now()))
		pass(pollInterval)
		if taken, _ := s.counts(); taken != 1 {
			t.Errorf("took %d after the directory changed", taken)
		}
	})
}

func TestRunRemovesWhatNobodyFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := picker(t, "ann")
		for name, age := range map[string]time.Duration{"old": tempAge + time.Minute, "young": tempAge - time.Minute} {
			file := filepath.Join(p.cfg.Dir, tempPrefix+name)
			must(t, os.WriteFile(file, []byte("half"), 0o600))
			must(t, os.Chtimes(file, time.Time{}, time.Now().Add(-age)))
		}
		running(t, p)
		if left := p.files(t, ""); len(left) != 1 || left[0] != tempPrefix+"young" {
			t.Errorf("left are %v", left)
		}
	})
}
