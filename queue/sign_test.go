package queue

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/mail"
)

func TestReportsAreSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Sign: func(_ context.Context, report []byte) []byte {
			return append([]byte("DKIM-Signature: of this\r\n"), report...)
		}})
		defer w.stop()
		w.answer = func(to mail.Address, _ time.Time) *mail.Status {
			if to.Domain == "south.test" {
				return unknown
			}
			return nil
		}
		_, err := w.q.Put(t.Context(), envelope("ann@north.test", "bob@south.test"), mail.Bytes(letter))
		must(t, err)
		synctest.Wait()
		if got := w.read("ann@north.test"); !strings.HasPrefix(got, "DKIM-Signature: of this\r\n") || !strings.Contains(got, "Mail Delivery System") {
			t.Errorf("the report is\n%s", got)
		}
	})
}
