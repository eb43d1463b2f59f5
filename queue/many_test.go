package queue

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/kv"
	"posthaste/kv/memkv"
	"posthaste/mail"
)

// slow is a store whose commits take a second, so that outcomes gather.
type slow struct{ kv.Store }

func (s slow) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Version, error) {
	time.Sleep(time.Second)
	return s.Store.Update(ctx, p, fn)
}

// TestManyOutcomesAtOnce has many recipients, each at a host of its own, fail at the same moment: all
// with as long an answer as is kept, or all for good, each with a report that returns the message.
func TestManyOutcomesAtOnce(t *testing.T) {
	const recipients = 1000
	for _, c := range []struct {
		claim string
		code  int
		want  string
	}{
		{"deferred with long answers", 451, "4.2.1"},
		{"failed with large reports", 550, "5.2.1"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Config{KV: slow{memkv.New()}})
				defer w.stop()
				long := strings.Repeat("no ", 1300)
				w.answer = func(to mail.Address, _ time.Time) *mail.Status {
					if to.Domain == "north.test" {
						return nil
					}
					return mail.NewStatus(c.code, c.want, "%s", long)
				}
				env := envelope("ann@north.test")
				env.Ret = mail.RetFull
				for i := range recipients {
					env.Recipients = append(env.Recipients, mail.Recipient{Address: address(fmt.Sprintf("bob@south%d.test", i))})
				}
				id, err := w.q.Put(t.Context(), env, mail.Bytes(letter+string(noise(60<<10))))
				must(t, err)
				time.Sleep(90 * time.Second)
				synctest.Wait()
				if c.code == 550 {
					if got := w.took; len(got) != recipients || w.size() != 0 {
						t.Errorf("%d reports arrived and %d entries are left, want %d and none", len(got), w.size(), recipients)
					}
					return
				}
				e, err := w.q.Show(t.Context(), id)
				must(t, err)
				for _, r := range e.Recipients {
					if r.State != Deferred || r.Attempts != 1 {
						t.Fatalf("%s is %s after %d attempts", r.Address, r.State, r.Attempts)
					}
				}
			})
		})
	}
}
