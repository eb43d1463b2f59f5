package queue

import (
	"testing"
	"testing/synctest"
	"time"

	"posthaste/mail"
)

// Recipients at one destination that are deferred together go out again in one transaction.
func TestWhatWasDeferredTogetherIsTriedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.stop()
		start := time.Now()
		w.answer = func(to mail.Address, _ time.Time) *mail.Status {
			if time.Since(start) < time.Second {
				return greylist
			}
			return nil
		}
		w.put("ann@north.test", "bob@south.test", "cleo@south.test", "dan@south.test")
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(w.jobs) != 2 || len(w.jobs[1].Envelope.Recipients) != 3 {
			t.Errorf("%d jobs, want 2 with 3 recipients each", len(w.jobs))
		}
	})
}
