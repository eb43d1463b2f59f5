package filter

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/mail"
)

func TestEditsChangeTheHeader(t *testing.T) {
	const before = "A: 1\r\nB: 2\r\nA: 3\r\n\r\nbody\r\n"
	for _, c := range []struct {
		name  string
		edits Edits
		want  string
	}{
		{"nothing", Edits{}, before},
		{"a field at the end", Edits{Fields: []FieldEdit{{Op: AddField, Name: "C", Value: "4"}}}, "A: 1\r\nB: 2\r\nA: 3\r\nC: 4\r\n\r\nbody\r\n"},
		{"a field at the top", Edits{Fields: []FieldEdit{{Op: InsertField, Name: "C", Value: "4"}}}, "C: 4\r\nA: 1\r\nB: 2\r\nA: 3\r\n\r\nbody\r\n"},
		{"a field beyond the last", Edits{Fields: []FieldEdit{{Op: InsertField, At: 99, Name: "C", Value: "4"}}}, "A: 1\r\nB: 2\r\nA: 3\r\nC: 4\r\n\r\nbody\r\n"},
		{"the second of a name", Edits{Fields: []FieldEdit{{Op: ChangeField, At: 2, Name: "a", Value: "5"}}}, "A: 1\r\nB: 2\r\na: 5\r\n\r\nbody\r\n"},
		{"delete", Edits{Fields: []FieldEdit{{Op: ChangeField, At: 1, Name: "A"}}}, "B: 2\r\nA: 3\r\n\r\nbody\r\n"},
		{"what is not there is added", Edits{Fields: []FieldEdit{{Op: ChangeField, At: 1, Name: "C", Value: "4"}}}, "A: 1\r\nB: 2\r\nA: 3\r\nC: 4\r\n\r\nbody\r\n"},
		{"a value makes no second field", Edits{Fields: []FieldEdit{{Op: AddField, Name: "C", Value: "4\nBcc: x"}}}, "A: 1\r\nB: 2\r\nA: 3\r\nC: 4\r\n\tBcc: x\r\n\r\nbody\r\n"},
		{"the body", Edits{Body: []byte("other\r\n")}, "A: 1\r\nB: 2\r\nA: 3\r\n\r\nother\r\n"},
	} {
		if got := string(c.edits.Apply([]byte(before))); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// flaky is an engine that fails while broken.
type flaky struct {
	broken bool
	asked  int
	hangs  bool
}

func (f *flaky) Name() string { return "flaky" }

func (f *flaky) Scan(ctx context.Context, _ *Mail) (Result, error) {
	f.asked++
	if f.hangs {
		<-ctx.Done()
		return Result{}, ctx.Err()
	}
	if f.broken {
		return Result{}, errors.New("connection refused")
	}
	return Result{Action: mail.Junk}, nil
}

func TestGuardLeavesASilentEngineAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := &flaky{broken: true}
		g := NewGuard(engine, 0, false, nil)
		m := &Mail{Envelope: &mail.Envelope{}}
		for range 10 {
			r, err := g.Scan(t.Context(), m)
			if err != nil || r.Action != mail.Accept || len(r.Findings) != 1 || r.Findings[0].Weight != 0 {
				t.Fatalf("got %+v, %v: want mail to go on, and a finding without weight", r, err)
			}
		}
		if engine.asked != maxFailures {
			t.Errorf("asked %d times, want %d until it is left alone", engine.asked, maxFailures)
		}
		engine.broken = false
		time.Sleep(minRest) // virtual
		if r, _ := g.Scan(t.Context(), m); r.Action != mail.Junk {
			t.Errorf("got %+v once it is back", r)
		}
	})
}

func TestGuardRestsAsLongAsItIsWorth(t *testing.T) {
	for _, row := range []struct {
		claim     string
		took, few time.Duration
	}{
		{"a refusal costs nothing", 0, minRest},
		{"half a second is paid for with five", 500 * time.Millisecond, 5 * time.Second},
		{"never longer than the longest", 9 * time.Second, maxRest},
	} {
		t.Run(row.claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := NewGuard(nil, 0, false, nil)
				g.Engine = &flaky{}
				fail := func(context.Context) error { time.Sleep(row.took); return errors.New("broken") }
				for range maxFailures {
					g.Do(t.Context(), "", fail)
				}
				time.Sleep(row.few - time.Nanosecond)
				if err := g.Do(t.Context(), "", fail); err != ErrResting {
					t.Errorf("asked before %v were over: %v", row.few, err)
				}
				time.Sleep(time.Nanosecond)
				status := mail.NewStatus(550, "5.7.1", "an answer")
				if err := g.Do(t.Context(), "", func(context.Context) error { return status }); err != error(status) {
					t.Errorf("not asked after %v: %v", row.few, err)
				}
				if err := g.Do(t.Context(), "", fail); err == ErrResting {
					t.Error("an answer did not end the rest")
				}
			})
		})
	}
}

func TestGuardBoundsTimeAndFailsClosedOnRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(&flaky{hangs: true}, 0, true, nil)
		r, err := g.Scan(t.Context(), &Mail{Envelope: &mail.Envelope{}})
		if err != nil || r.Action != mail.Greylist || r.Reply == nil || !strings.HasPrefix(r.Reply.Error(), "451 ") {
			t.Errorf("got %+v, %v: want a 451", r, err)
		}
	})
}

func TestAPanicOfOneIsThatOfTheCaller(t *testing.T) {
	var done atomic.Int32
	defer func() {
		if p := recover(); p == nil || done.Load() != 9 {
			t.Errorf("panic %v after %d calls", p, done.Load())
		}
	}()
	Each(10, func(i int) {
		if i == 5 {
			panic("a bug")
		}
		done.Add(1)
	})
}
