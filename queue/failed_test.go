package queue

import (
	"testing"

	"posthaste/kv/memkv"
	"posthaste/mail"
)

// What failed elsewhere is in the queue once, to be answered and not to be tried.
func TestPutFailed(t *testing.T) {
	q := New(Config{KV: memkv.New(), Hostname: "mx.north.test"})
	why := mail.NewStatus(552, "5.2.2", "the mailbox of\nbob is full")
	for range 2 {
		if _, err := q.PutFailed(t.Context(), "0123456789abcdef", why, envelope("ann@south.test", "bob@north.test"), mail.Bytes(letter)); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for e, err := range q.List(t.Context(), Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if got, want := e.Recipients[0].Reroute, "error:5.2.2 the mailbox of bob is full"; got != want {
			t.Errorf("goes by %q, want %q", got, want)
		}
	}
	if n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
	if _, err := q.PutFailed(t.Context(), "0123456789abcdef", why, envelope("ann@south.test", "a@b.test", "c@d.test"), mail.Bytes(letter)); err == nil {
		t.Error("two recipients are accepted")
	}
}
