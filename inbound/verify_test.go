package inbound

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

// primary is the host behind us.
type primary struct {
	answer *mail.Status
	asked  int
	took   time.Duration
}

func (p *primary) Probe(ctx context.Context, _ mail.Address) *mail.Status {
	p.asked++
	select {
	case <-ctx.Done():
		return mail.NewStatus(451, "4.4.1", "no answer in time")
	case <-time.After(p.took):
		return p.answer
	}
}

func answer(code int, enhanced string) *mail.Status {
	return &mail.Status{Code: code, Enhanced: enhanced, Text: "so it is", Peer: "mx.relay.test"}
}

var down = mail.NewStatus(451, "4.4.1", "nobody answers")

func TestVerifierRemembers(t *testing.T) {
	yes, no := answer(250, "2.1.5"), answer(550, "5.1.1")
	for _, c := range []struct {
		claim       string
		first, then *mail.Status
		after       time.Duration
		strict      bool
		want        int // the code at the end
		asked       int
	}{
		{"a yes is believed for a week", yes, no, 7*24*time.Hour - time.Minute, false, 250, 1},
		{"then asked again", yes, no, 7*24*time.Hour + time.Minute, false, 550, 2},
		{"a yes counts for a month while the host is down", yes, down, 31*24*time.Hour - time.Minute, true, 250, 2},
		{"and no longer", yes, down, 31*24*time.Hour + time.Minute, true, 450, 2},
		{"a no is believed for three hours", no, yes, 3*time.Hour - time.Minute, false, 550, 1},
		{"then asked again", no, yes, 3*time.Hour + time.Minute, false, 250, 2},
		{"a no counts for three days while the host is down", no, down, 72*time.Hour - time.Minute, false, 550, 2},
		{"after that all are taken", no, down, 72*time.Hour + time.Minute, false, 250, 2},
		{"a host that is down is not asked again at once", down, yes, time.Second, false, 250, 1},
		{"but soon", down, no, downTime, false, 550, 2},
		{"greylisting says nothing", answer(450, "4.2.0"), no, time.Second, true, 550, 2},
		{"a host that blocks us says nothing", answer(550, "5.7.1"), answer(554, "5.7.1"), time.Second, true, 450, 2},
		{"a full mailbox is the recipient's", answer(552, "5.2.2"), yes, time.Second, true, 550, 1},
		{"550 without enhanced code is the recipient's", answer(550, ""), yes, time.Second, true, 550, 1},
	} {
		t.Run(c.claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &primary{answer: c.first}
				v := NewVerifier(VerifierConfig{KV: memkv.New(), Prober: p, Defer: c.strict})
				to := address("Ann@relay.test")
				v.Check(t.Context(), to)
				p.answer = c.then
				time.Sleep(c.after)
				if got := mail.StatusOf(v.Check(t.Context(), to)); got.Code != c.want || p.asked != c.asked {
					t.Errorf("%v after %d questions, want %d after %d", got, p.asked, c.want, c.asked)
				}
			})
		})
	}
}

func TestSlowPrimaryKeepsNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &primary{answer: answer(250, ""), took: time.Hour}
		v := NewVerifier(VerifierConfig{KV: memkv.New(), Prober: p, Defer: true})
		start := time.Now()
		done := make(chan error)
		for range 10 {
			go func() { done <- v.Check(t.Context(), address("ann@relay.test")) }()
		}
		for range 10 {
			if err := <-done; mail.StatusOf(err).Code != 450 {
				t.Errorf("%v, want 450", err)
			}
		}
		if d := time.Since(start); d > probeTime || p.asked != 1 {
			t.Errorf("%d questions took %v, want one of %v at most", p.asked, d, probeTime)
		}
	})
}

func TestVerifyCacheIsBounded(t *testing.T) {
	store := memkv.New()
	c := verifyCache{store}
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	old := verified{At: now.Add(-positiveKept), Answer: *answer(250, "")}
	must(t, c.save(t.Context(), address("old@relay.test"), old))
	long := verified{At: now, Answer: mail.Status{Code: 250, Text: strings.Repeat("x", 10000)}}
	must(t, c.save(t.Context(), address("long@relay.test"), long))
	if v, err := c.load(t.Context(), address("long@relay.test")); err != nil || len(v.Answer.Text) != maxVerifiedText {
		t.Errorf("%d bytes of text, %v", len(v.Answer.Text), err)
	}
	// Too many in one partition, by hand: what is beyond the bound goes at the next look.
	p := verifyPartition(address("old@relay.test"))
	value := []byte(`{"at":"2026-11-22T00:00:00Z","answer":{"code":250,"text":""}}`)
	must(t, second(store.Update(t.Context(), p, func(tx kv.Txn) error {
		for i := range 2 * maxVerified {
			tx.Put(fmt.Appendf(nil, "x%d", i), value)
		}
		return nil
	})))
	fresh := verified{At: now, Answer: *answer(250, "")}
	for range pruneEvery {
		must(t, c.save(t.Context(), address("old@relay.test"), fresh))
	}
	if n := count(t, store, p); n > maxVerified+pruneEvery {
		t.Errorf("%d answers are remembered, want %d at most", n, maxVerified+pruneEvery)
	}
}

func count(t *testing.T, store kv.Store, p kv.Partition) (n int) {
	must(t, store.View(t.Context(), p, func(r kv.Reader) error {
		keys, errf := r.Scan(nil, nil, false)
		n = 0
		for range keys {
			n++
		}
		return errf()
	}))
	return n
}
