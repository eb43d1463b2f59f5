package arc

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"posthaste/dns"
	"posthaste/mailauth/results"
	"posthaste/message"
)

func validate(t testing.TB, content []byte) Chain {
	t.Helper()
	return NewVerifier(resolver(t, records(t))).Verify(t.Context(), message.ParseHeader(content), content)
}

func TestWhatHopsFoundIsTold(t *testing.T) {
	c := validate(t, forward(t, forward(t, []byte(letter))))
	if c.Result != Pass || len(c.Sets) != 2 || c.Oldest != 1 {
		t.Fatalf("%+v", c)
	}
	s := c.Sets[1]
	want := []results.Result{
		{Method: "arc", Value: "pass", Properties: []results.Property{{Type: "header", Name: "oldest-pass", Value: "1"}}},
		{Method: "spf", Value: "pass", Properties: []results.Property{{Type: "smtp", Name: "mailfrom", Value: "ann@south.test"}}},
		{Method: "dkim", Value: "pass", Comment: "2048-bit key", Properties: []results.Property{{Type: "header", Name: "d", Value: "south.test"}}},
	}
	if s.Instance != 2 || s.Domain != "north.test" || s.AuthServ != "mx.north.test" || s.Claimed != Pass || !reflect.DeepEqual(s.Results, want) {
		t.Errorf("%+v", s)
	}
}

func TestAListThatChangesTheBodyStartsAfresh(t *testing.T) {
	once := forward(t, []byte(letter))
	twice := forward(t, once)
	changed := append(twice, "-- \r\nthe list\r\n"...)
	if c := validate(t, changed); c.Result != Fail || !strings.Contains(c.Reason, "body") || len(c.Sets) != 2 {
		t.Errorf("%+v", c)
	}
	// A list changes it before it seals: its set fits, that of the hop before does not any more.
	v := NewVerifier(resolver(t, records(t)))
	before := v.Verify(t.Context(), message.ParseHeader(once), once)
	footer := append(append([]byte(nil), once...), "-- \r\nthe list\r\n"...)
	fields, err := sealer().Seal(footer, before, time.Unix(1_700_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	if c := validate(t, append(fields, footer...)); c.Result != Pass || c.Oldest != 2 {
		t.Errorf("%+v", c)
	}
}

func TestLongChains(t *testing.T) {
	content := []byte(letter)
	for range MaxSets {
		content = forward(t, content)
	}
	c := validate(t, content)
	if c.Result != Pass || len(c.Sets) != MaxSets || c.Oldest != 1 {
		t.Fatalf("%d sets: %s (%s), oldest %d", len(c.Sets), c.Result, c.Reason, c.Oldest)
	}
	if _, err := sealer().Seal(content, c, time.Now()); !errors.Is(err, ErrSealed) {
		t.Errorf("set %d: %v", MaxSets+1, err)
	}
	content = []byte(strings.ReplaceAll(string(content), "i=50;", "i=51;"))
	if c := validate(t, content); c.Result != Fail {
		t.Errorf("an instance of 51: %+v", c.Result)
	}
}

// asked counts questions; it answers none while broken.
type asked struct {
	Resolver
	n      atomic.Int32
	broken bool
}

var errBroken = errors.New("the server does not answer")

func (a *asked) TXT(ctx context.Context, name string) (dns.Answer[string], error) {
	if a.n.Add(1); a.broken {
		return dns.Answer[string]{}, errBroken
	}
	return a.Resolver.TXT(ctx, name)
}

func TestADNSFailureIsTemporary(t *testing.T) {
	content := forward(t, forward(t, []byte(letter)))
	a := &asked{Resolver: resolver(t, records(t)), broken: true}
	c := NewVerifier(a).Verify(t.Context(), message.ParseHeader(content), content)
	if c.Result != TempError || !strings.Contains(c.Reason, errBroken.Error()) {
		t.Errorf("%+v", c)
	}
	if n := a.n.Load(); n != 1 {
		t.Errorf("one key was asked for %d times", n)
	}
	if _, err := sealer().Seal(content, c, time.Now()); !errors.Is(err, ErrSealed) {
		t.Errorf("sealed what could not be validated: %v", err)
	}
	a.n.Store(0)
	if c := NewVerifier(a).Verify(t.Context(), message.ParseHeader([]byte(letter)), []byte(letter)); c.Result != None || a.n.Load() != 0 {
		t.Errorf("without a chain: %s, asked %d times", c.Result, a.n.Load())
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(forward(f, forward(f, []byte(letter))))
	f.Add([]byte("ARC-Seal: i=1; cv=none\nARC-Message-Signature: i=1\nARC-Authentication-Results: i=1; x\n\n"))
	v := NewVerifier(resolver(f, records(f)))
	f.Fuzz(func(t *testing.T, content []byte) {
		h := message.ParseHeader(content)
		c := v.Verify(t.Context(), h, content)
		if len(c.Sets) > MaxSets || (c.Result == Pass) != (c.Reason == "" && c.Result != None) {
			t.Errorf("%+v", c)
		}
		fields, err := sealer().Seal(content, c, time.Unix(1, 0))
		if err != nil || c.Result == Fail || len(h.Fields()) == 0 {
			return
		}
		whole := append(fields, content...)
		if c := v.Verify(t.Context(), message.ParseHeader(whole), whole); c.Result != Pass {
			t.Errorf("our own set: %s (%s)\n%q", c.Result, c.Reason, whole)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, n := range []int{1, 5, MaxSets} {
		content := []byte(letter)
		for range n {
			content = forward(b, content)
		}
		b.Run(fmt.Sprintf("sets=%d", n), func(b *testing.B) {
			v := NewVerifier(resolver(b, records(b)))
			b.ReportAllocs()
			for b.Loop() {
				if c := v.Verify(b.Context(), message.ParseHeader(content), content); c.Result != Pass {
					b.Fatal(c.Reason)
				}
			}
		})
	}
}
